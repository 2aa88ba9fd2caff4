"""Baseline PG: keypoints → skeleton picture → small conv net that is added at the UNet's first convolution (AnimateAnyone's pose guider).

The picture is drawn in torch from the decoded tokens, in DWPose's colours; pictures of files are drawn by `xdancer.pose.render`.
"""

import colorsys

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.skeleton import BODY_LIMBS, HAND_LIMBS, LEFT_HAND, RIGHT_HAND
from xdancer.types import PoseBatch
from xdancer.video_diffusion.motion_decoder import zero_convolution
from xdancer.video_diffusion.warp import VISIBLE, pixel_grid

LINES = (*BODY_LIMBS, *((hand.start + a, hand.start + b) for hand in (LEFT_HAND, RIGHT_HAND) for a, b in HAND_LIMBS))


def line_colours() -> Float[Tensor, "line 3"]:
    """DWPose's palettes in [0, 1]: 17 body limbs around the colour circle at .6 brightness, 20 hand lines around it."""
    body = [tuple(0.6 * channel for channel in colorsys.hsv_to_rgb(line / 18, 1.0, 1.0)) for line in range(len(BODY_LIMBS))]
    hand = [colorsys.hsv_to_rgb(line / len(HAND_LIMBS), 1.0, 1.0) for line in range(len(HAND_LIMBS))]
    return torch.tensor([*body, *hand, *hand])


def skeleton_picture(pose: PoseBatch, height: int, width: int, *, thickness: float = 0.016) -> Float[Tensor, "batch frame 3 height width"]:
    """Lines between visible keypoints on black, in [0, 1]; `thickness` = half the width of a body line in units of `PoseBatch`."""
    grid = pixel_grid(height, width, pose.keypoints)
    start, end = (pose.keypoints[:, :, [line[side] for line in LINES]] for side in (0, 1))
    visible = torch.stack([pose.confidence[:, :, [line[side] for line in LINES]] >= VISIBLE for side in (0, 1)]).all(0)
    colours = line_colours().to(pose.keypoints)
    picture = torch.zeros(*pose.confidence.shape[:2], height, width, 3, device=grid.device, dtype=grid.dtype)
    for line in range(len(LINES)):
        radius = max(thickness * (1.0 if line < len(BODY_LIMBS) else 0.4), 1.0 / height)
        a, b = start[:, :, line, None, None], end[:, :, line, None, None]
        axis = b - a
        share = (((grid - a) * axis).sum(-1) / axis.square().sum(-1).clamp_min(1e-8)).clamp(0, 1)
        distance = (grid - a - share[..., None] * axis).norm(dim=-1)
        cover = ((radius - distance) * height / 2 + 0.5).clamp(0, 1) * visible[:, :, line, None, None]
        picture = picture + cover[..., None] * (colours[line] - picture)
    return picture.permute(0, 1, 4, 2, 3)


class PoseGuider(nn.Module):
    """Skeleton picture → map of the first convolution's channels; zero at the start (AnimateAnyone: 4×4 kernels there, 3×3 here)."""

    def __init__(self, *, out_channels: int, stride: int, channels: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        halvings = stride.bit_length() - 1
        if stride != 2**halvings or halvings > len(channels):
            raise ValueError(f"PoseGuider: {stride} pixels per latent cell; it can halve at most {len(channels)} times.")
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 3, padding=1), nn.SiLU()]
        for level, (before, after) in enumerate(zip(channels, (*channels[1:], channels[-1]), strict=True)):
            layers += [nn.Conv2d(before, after, 3, padding=1, stride=2 if level < halvings else 1), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.out = zero_convolution(channels[-1], out_channels)

    def forward(self, pose: PoseBatch, height: int, width: int) -> Float[Tensor, "batchframe channel rows columns"]:
        picture = skeleton_picture(pose, height, width).flatten(0, 1)
        return self.out(F.silu(self.body(picture)))
