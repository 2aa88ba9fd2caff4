"""Pictures ↔ latents: a frozen autoencoder by path, or an orthogonal projection of patches that needs no weights."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.errors import CheckpointError


def cosine_basis(size: int) -> Float[Tensor, "frequency position"]:
    """Orthonormal DCT-II basis of `size` samples, rows by ascending frequency."""
    position = torch.arange(size, dtype=torch.float64) + 0.5
    basis = torch.cos(math.pi / size * torch.arange(size, dtype=torch.float64)[:, None] * position) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def opponent_basis() -> Float[Tensor, "3 3"]:
    """Orthonormal colour axes: brightness, red–blue, green–magenta."""
    axes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 2.0, -1.0]], dtype=torch.float64)
    return axes / axes.norm(dim=1, keepdim=True)


class PatchSpace(nn.Module):
    """Latents = the leading principal components of `patch`×`patch`×3 pixel patches (orthogonal: squared errors keep their meaning).

    Until `fit` has seen pictures the axes are a cosine transform over opponent colours, ordered by frequency.
    """

    components: Tensor
    mean: Tensor
    scale: Tensor
    fitted: Tensor

    def __init__(self, *, patch: int, channels: int) -> None:
        super().__init__()
        if not 0 < channels <= 3 * patch * patch:
            raise ValueError(f"latent_channels {channels}: patches of {patch}×{patch}×3 have 1 to {3 * patch * patch} axes.")
        self.patch = patch
        cosine = torch.einsum("cd,uy,vx->cuvdyx", opponent_basis(), cosine_basis(patch), cosine_basis(patch))
        frequency = torch.arange(patch)
        cost = frequency[:, None].pow(2) + frequency.pow(2) + 0.1
        order = torch.stack([cost, 6 * cost, 6 * cost]).flatten().argsort(stable=True)[:channels]
        self.register_buffer("components", cosine.reshape(3 * patch * patch, -1)[order].float())
        self.register_buffer("mean", torch.zeros(3 * patch * patch))
        self.register_buffer("scale", torch.tensor(0.3))
        self.register_buffer("fitted", torch.tensor(False))

    @torch.no_grad()
    def fit(self, pictures: Float[Tensor, "batch 3 height width"]) -> None:
        """Principal components of these pictures' patches; latents get unit mean variance."""
        patches = F.pixel_unshuffle(pictures.float(), self.patch).permute(0, 2, 3, 1).flatten(0, 2)
        mean = patches.mean(0)
        centred = (patches - mean).double()
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        components = vectors.flip(1)[:, : len(self.components)].T
        components = components * components.sum(1, keepdim=True).sign().where(components.sum(1, keepdim=True) != 0, torch.ones(()))
        self.components.copy_(components)
        self.mean.copy_(mean)
        self.scale.copy_(values.flip(0)[: len(self.components)].mean().clamp_min(1e-6).rsqrt())
        self.fitted.fill_(True)

    def encode(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel rows columns"]:
        patches = F.pixel_unshuffle(pictures, self.patch)
        weight = self.components * self.scale
        return F.conv2d(patches, weight[:, :, None, None], -(weight @ self.mean))

    def posterior(self, pictures: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, Tensor]:
        """Latents, and that they are certain."""
        latents = self.encode(pictures)
        return latents, torch.zeros_like(latents)

    def decode(self, latents: Float[Tensor, "batch channel rows columns"]) -> Float[Tensor, "batch 3 height width"]:
        weight = (self.components / self.scale).T
        return F.pixel_shuffle(F.conv2d(latents, weight[:, :, None, None], self.mean), self.patch)


class VAESpace(nn.Module):
    """SD1.5's latents through a frozen AutoencoderKL that is loaded on first use and never enters the state dict."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder
        self.__dict__["_autoencoder"] = None

    def load(self) -> Any:
        """The autoencoder.

        Raises:
            CheckpointError: none is named, or the folder does not fit.
        """
        from xdancer.video_diffusion.pretrained import load_autoencoder

        if not self.folder:
            raise CheckpointError(
                "The renderer's config names no autoencoder: set `autoencoder` to the folder of a diffusers AutoencoderKL "
                "(SD1.5's `vae`, or sd-vae-ft-mse), or `patch_size` for a run without weights."
            )
        if self.__dict__["_autoencoder"] is None:
            self.__dict__["_autoencoder"] = load_autoencoder(self.folder)
        return self.__dict__["_autoencoder"]

    @torch.no_grad()
    def posterior(self, pictures: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (batch, channel, rows, columns), scaled as the diffusion expects."""
        autoencoder = self.load().to(pictures.device)
        found, scale = autoencoder.encode(pictures.to(autoencoder.dtype)).latent_dist, autoencoder.config.scaling_factor
        return found.mean.to(pictures.dtype) * scale, found.std.to(pictures.dtype) * scale

    def encode(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel rows columns"]:
        """Posterior means."""
        return self.posterior(pictures)[0]

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "batch channel rows columns"]) -> Float[Tensor, "batch 3 height width"]:
        autoencoder = self.load().to(latents.device)
        return autoencoder.decode((latents / autoencoder.config.scaling_factor).to(autoencoder.dtype)).sample.to(latents.dtype)
