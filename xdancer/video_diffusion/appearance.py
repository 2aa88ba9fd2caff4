"""What the cross-attention reads of the portrait: a CLIP image embedding, a learned null, or (help) its colours along the limbs."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.types import PoseBatch
from xdancer.video_diffusion.warp import LIMBS, limb_ends, sample_picture

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class NullEmbedding(nn.Module):
    """One learned token, the same for every portrait (no image encoder given)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))

    def forward(self, portrait: Float[Tensor, "batch 3 height width"], pose: PoseBatch) -> Float[Tensor, "batch token dim"]:
        return self.token.expand(len(portrait), -1, -1)


class ClipEmbedding(nn.Module):
    """CLIP's image embedding as one token. The encoder is frozen, stays by path, and never enters the state dict."""

    def __init__(self, folder: str, width: int) -> None:
        super().__init__()
        self.folder = folder
        self.null = nn.Parameter(torch.zeros(1, 1, width))
        self.__dict__["_encoder"] = None

    def load(self) -> Any:
        """The encoder.

        Raises:
            CheckpointError: the folder is missing or does not fit.
        """
        from xdancer.video_diffusion.pretrained import load_image_encoder

        if self.__dict__["_encoder"] is None:
            self.__dict__["_encoder"] = load_image_encoder(self.folder, width=self.null.shape[-1])
        return self.__dict__["_encoder"]

    @torch.no_grad()
    def embed(self, portrait: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """The frozen encoder's part."""
        encoder = self.load().to(portrait.device)
        size = encoder.config.image_size
        mean, std = (torch.tensor(values, device=portrait.device)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
        picture = F.interpolate(portrait.float(), (size, size), mode="bicubic", align_corners=False, antialias=True)
        return encoder(((picture + 1) / 2 - mean) / std).image_embeds.to(portrait.dtype)

    def token(self, embedding: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch token dim"]:
        """What the cross-attention reads of `embed`."""
        return embedding[:, None] + self.null

    def forward(self, portrait: Float[Tensor, "batch 3 height width"], pose: PoseBatch) -> Float[Tensor, "batch token dim"]:
        return self.token(self.embed(portrait))


class PortraitColours(nn.Module):
    """One token per limb: the portrait's mean colours at its start, middle and end, and which limb it is."""

    def __init__(self, width: int, *, samples: int = 3, hidden: int = 64) -> None:
        super().__init__()
        self.samples = samples
        self.limb = nn.Parameter(0.5 * torch.randn(len(LIMBS), width))
        self.project = nn.Sequential(nn.Linear(3 * samples + 1, hidden), nn.SiLU(), nn.Linear(hidden, width))

    def forward(self, portrait: Float[Tensor, "batch 3 height width"], pose: PoseBatch) -> Float[Tensor, "batch token dim"]:
        ends = limb_ends(pose.frames(slice(0, 1)))
        share = torch.linspace(0.2, 0.8, self.samples, device=portrait.device)[:, None]
        points = ends.start[:, 0, :, None] * (1 - share) + ends.end[:, 0, :, None] * share
        smooth = F.avg_pool2d(portrait, 3, stride=1, padding=1, count_include_pad=False)
        visible = ends.confidence[:, 0, :, None]
        colours = sample_picture(smooth, points).permute(0, 2, 3, 1).flatten(2) * visible
        return self.project(torch.cat([colours, visible], dim=-1)) + self.limb
