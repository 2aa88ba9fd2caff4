"""Losses of stage 1: Σ_parts ‖p̂ − p‖ + β Σ_parts ‖z_e − sg[z_q]‖ (the paper prints the stop-gradient on z_e, a misprint)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from xdancer.types import PoseBatch
from xdancer.vqvae.model import VQVAEConfig, VQVAEOutput


@dataclass(frozen=True)
class VQVAELoss:
    """The total and its summands, each a mean over the poses of the batch."""

    total: Float[Tensor, ""]
    reconstruction: Float[Tensor, ""]
    commitment: Float[Tensor, ""]


def pose_error(predicted: PoseBatch, target: PoseBatch, config: VQVAEConfig) -> Float[Tensor, "batch frame keypoint 3"]:
    """Weighted differences of (x, y, confidence), whose Euclidean length is the reconstruction error of a pose.

    Where `confidence_weighted`, a position counts by its confidence, at least `invisible_weight` (a missing keypoint only has its last known
    place); else all positions count alike.
    """
    place = predicted.keypoints - target.keypoints
    if config.confidence_weighted:
        visible = config.invisible_weight + (1 - config.invisible_weight) * target.confidence
        place = place * visible.sqrt()[..., None]
    confidence = (predicted.confidence - target.confidence)[..., None] * config.confidence_weight**0.5
    return torch.cat([place, confidence], dim=-1)


def vqvae_loss(output: VQVAEOutput, *, target: PoseBatch, config: VQVAEConfig) -> VQVAELoss:
    """Loss of a batch of reconstructions: per part the length of the difference, summed over parts, averaged over poses."""
    error = pose_error(output.pose, target, config)  # (batch, frame, keypoint, channel)
    parts = [_length(error[:, :, list(keypoints)].flatten(2)) for keypoints in config.part_keypoints]
    reconstruction = torch.stack(parts).sum(0).mean()
    commitment = _length((output.quantized.z_e - output.quantized.z_q).flatten(2)).sum(-1).mean()
    return VQVAELoss(total=reconstruction + config.beta * commitment, reconstruction=reconstruction, commitment=commitment)


def _length(rows: Tensor) -> Tensor:
    """Euclidean length of the last axis, with a finite gradient at zero."""
    return (rows.square().sum(-1) + 1e-12).sqrt()
