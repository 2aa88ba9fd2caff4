"""Smoothing of decoded dances over time.

The tokenizer decodes every frame by itself, so that neighbouring frames of one movement get different rounding: positions tremble by about the
tokenizer's error. On the embedded data set a standard deviation of one frame takes this away; measurements in `docs/experiments.md`.
"""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F

from xdancer.types import PoseBatch


def smooth_pose(pose: PoseBatch, sigma: float) -> PoseBatch:
    """Keypoints under a Gaussian of `sigma` frames over time; first and last pose are repeated outward, confidence stays. 0 changes nothing."""
    if sigma <= 0:
        return pose
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=pose.keypoints.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    tracks = pose.keypoints.float().flatten(2).transpose(1, 2)  # (batch, coordinate, frame)
    padded = F.pad(tracks, (radius, radius), mode="replicate").flatten(0, 1)[:, None]
    smooth = F.conv1d(padded, (weights / weights.sum())[None, None])[:, 0]
    return replace(pose, keypoints=smooth.unflatten(0, tracks.shape[:2]).transpose(1, 2).reshape(pose.keypoints.shape))
