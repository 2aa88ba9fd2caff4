"""Baseline PG: keypoints → skeleton picture → small conv net that is added at the UNet's first convolution (AnimateAnyone's pose guider).

Pictures are drawn exactly as DWPose draws them, and the layers are named as in Moore-AnimateAnyone, so that its weights load by name.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.pose.render import draw_skeleton
from xdancer.types import PoseBatch
from xdancer.video_diffusion.motion_decoder import zero_convolution

CHANNELS = (16, 32, 96, 256)
"""Of the picture at full size, a half, a quarter and an eighth (Moore-AnimateAnyone)."""


def skeleton_pictures(pose: PoseBatch, height: int, width: int) -> Float[Tensor, "batch frame 3 height width"]:
    """The poses as DWPose draws them, in [0, 1]; on the poses' device, without gradient."""
    poses = [one for item in range(len(pose.confidence)) for one in pose.to_array(item)]
    pictures = torch.stack([torch.from_numpy(draw_skeleton(one, height, width)) for one in poses])
    pictures = pictures.to(pose.keypoints.device).permute(0, 3, 1, 2).to(pose.keypoints.dtype) / 255
    return pictures.unflatten(0, pose.confidence.shape[:2])


class PoseGuider(nn.Module):
    """Skeleton picture → map of the first convolution's channels; zero at the start.

    Args:
        out_channels: of the UNet's first convolution.
        stride: pixels per latent cell, 2, 4 or 8.
        channels: of the picture at full size and behind each halving.
    """

    def __init__(self, *, out_channels: int, stride: int, channels: tuple[int, ...] = CHANNELS) -> None:
        super().__init__()
        halvings = stride.bit_length() - 1
        if stride != 2**halvings or halvings >= len(channels):
            raise ValueError(f"PoseGuider: {stride} pixels per latent cell; it can halve at most {len(channels) - 1} times.")
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for before, after in itertools.pairwise(channels[: halvings + 1]):
            self.blocks.append(nn.Conv2d(before, before, 3, padding=1))
            self.blocks.append(nn.Conv2d(before, after, 3, padding=1, stride=2))
        self.conv_out = zero_convolution(channels[halvings], out_channels, kernel=3)

    def forward(self, pose: PoseBatch, height: int, width: int) -> Float[Tensor, "batchframe channel rows columns"]:
        return self.read(skeleton_pictures(pose, height, width))

    def read(self, pictures: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batchframe channel rows columns"]:
        """The map of skeleton pictures in [0, 1]."""
        hidden = F.silu(self.conv_in(pictures.flatten(0, 1)))
        for block in self.blocks:
            hidden = F.silu(block(hidden))
        return self.conv_out(hidden)
