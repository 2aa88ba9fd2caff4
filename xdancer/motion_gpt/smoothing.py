"""Smoothing of decoded dances over time.

The tokenizer decodes every frame by itself, so that neighbouring frames of one movement get different rounding: positions tremble by about the
tokenizer's error. On the embedded data set a standard deviation of one frame takes this away; measurements in `docs/experiments.md`.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from xdancer.types import PoseBatch


def smooth_pose(pose: PoseBatch, sigma: float) -> PoseBatch:
    """Keypoints under a Gaussian of `sigma` frames over time; first and last pose are repeated outward, confidence stays. 0 changes nothing."""
    if sigma <= 0:
        return pose
    weights = _gaussian(sigma, pose.keypoints.device)
    radius = len(weights) // 2
    tracks = pose.keypoints.float().flatten(2).transpose(1, 2)  # (batch, coordinate, frame)
    padded = F.pad(tracks, (radius, radius), mode="replicate").flatten(0, 1)[:, None]
    smooth = F.conv1d(padded, weights[None, None])[:, 0]
    return replace(pose, keypoints=smooth.unflatten(0, tracks.shape[:2]).transpose(1, 2).reshape(pose.keypoints.shape))


def smooth_stream(poses: Iterable[PoseBatch], sigma: float) -> Iterator[PoseBatch]:
    """Single frames as `smooth_pose` would make them of the whole dance, each as soon as the frames that it needs have come."""
    if sigma <= 0:
        yield from poses
        return
    near: list[PoseBatch] = []
    weights = _gaussian(sigma, "cpu")
    radius = len(weights) // 2
    for pose in poses:
        near = [*(near or [pose] * radius), pose]
        if len(near) == len(weights):
            yield _centre(near, weights)
            near = near[1:]
    for _ in range(radius if near else 0):
        near = [*near, near[-1]]
        if len(near) == len(weights):
            yield _centre(near, weights)
            near = near[1:]


def _gaussian(sigma: float, device: torch.device | str) -> Float[Tensor, " frame"]:
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return weights / weights.sum()


def _centre(near: list[PoseBatch], weights: Float[Tensor, " frame"]) -> PoseBatch:
    """The middle one of consecutive poses, its keypoints their weighted mean."""
    places = torch.stack([pose.keypoints.float() for pose in near])
    return replace(near[len(near) // 2], keypoints=torch.einsum("tbfkc,t->bfkc", places, weights.to(places.device)))
