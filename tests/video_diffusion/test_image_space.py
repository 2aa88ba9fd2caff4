"""Latents without weights are orthogonal; the autoencoder stays by path."""

from pathlib import Path

import pytest
import torch

from xdancer.errors import CheckpointError
from xdancer.video_diffusion.image_space import PatchSpace, VAESpace, cosine_basis, opponent_basis


@pytest.mark.parametrize("basis", [cosine_basis(8), opponent_basis()])
def test_bases_are_orthonormal(basis: torch.Tensor) -> None:
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64))


@pytest.mark.parametrize("fit", [False, True])
def test_all_axes_lose_nothing_and_keep_squared_errors(fit: bool) -> None:
    pictures = torch.rand(2, 3, 16, 24) * 2 - 1
    space = PatchSpace(patch=4, channels=48)
    if fit:
        space.fit(pictures)
    latents = space.encode(pictures)
    assert latents.shape == (2, 48, 4, 6)
    torch.testing.assert_close(space.decode(latents), pictures, atol=1e-5, rtol=0)
    other = torch.rand_like(pictures)
    ratio = (space.encode(other) - latents).square().sum() / (other - pictures).square().sum()
    torch.testing.assert_close(ratio, space.scale.square())


def test_fit_finds_the_axes_of_the_pictures() -> None:
    pictures = torch.randn(4, 5, 8, 8).mean(1, keepdim=True).repeat(1, 3, 1, 1)  # grey: a third of the axes is enough
    space = PatchSpace(patch=4, channels=16)
    space.fit(pictures)
    assert bool(space.fitted)
    torch.testing.assert_close(space.decode(space.encode(pictures)), pictures, atol=1e-5, rtol=0)
    torch.testing.assert_close(space.encode(pictures).var(correction=0), torch.tensor(1.0), atol=0.05, rtol=0)


def test_autoencoder_latents_one_picture_at_a_time(tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    AutoencoderKL(block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                  norm_num_groups=4, latent_channels=4).save_pretrained(tmp_path)  # fmt: skip
    space = VAESpace(str(tmp_path))
    seen: list[int] = []
    autoencoder = space.load()
    for part in (autoencoder.encoder, autoencoder.decoder):
        part.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    pictures = torch.rand(3, 3, 32, 16)
    latents = space.encode(pictures)
    assert latents.shape == (3, 4, 4, 2)
    torch.testing.assert_close(latents[1:2], space.encode(pictures[1:2]))
    assert space.decode(latents).shape == (3, 3, 32, 16)
    assert set(seen) == {1}
    assert not space.state_dict()


def test_without_autoencoder_says_what_is_needed() -> None:
    with pytest.raises(CheckpointError, match=r"set `autoencoder` to the folder of a diffusers AutoencoderKL"):
        VAESpace("").encode(torch.zeros(1, 3, 8, 8))
    with pytest.raises(CheckpointError, match=r"nowhere is no AutoencoderKL folder"):
        VAESpace("nowhere").encode(torch.zeros(1, 3, 8, 8))
