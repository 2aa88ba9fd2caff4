"""Training loss of stage 3: weighted error of the prediction, key-point heat maps of the motion decoder where they are asked for."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from xdancer.skeleton import BODY, VISIBLE
from xdancer.types import PoseBatch, VideoLatents
from xdancer.video_diffusion.model import Motion, Portrait, VideoDiffusion
from xdancer.video_diffusion.noise import clean_of, draw_noise, draw_timesteps, loss_weight, target_of
from xdancer.video_diffusion.warp import pixel_grid


@dataclass(frozen=True)
class DiffusionLoss:
    """`total` is what is differentiated."""

    total: Tensor
    diffusion: Tensor
    """The diffusion part of it alone."""
    clean: Float[Tensor, "batch frame channel rows columns"]
    """x̂, the picture the network believes in."""


def heatmap_targets(pose: PoseBatch, rows: int, columns: int, *, width: float = 1.0) -> Float[Tensor, "batchframe 18 rows columns"]:
    """Gaussian bumps of `width` cells at the visible body keypoints."""
    grid = pixel_grid(rows, columns, pose.keypoints)
    points = pose.keypoints[:, :, BODY].flatten(0, 1)[:, :, None, None]
    bumps = torch.exp(-(grid - points).square().sum(-1) / (2 * (width * 2 / rows) ** 2))
    return bumps * (pose.confidence[:, :, BODY] >= VISIBLE).flatten(0, 1)[:, :, None, None]


def heatmap_loss(model: VideoDiffusion, maps: Tensor, pose: PoseBatch) -> Tensor:
    """Squared error of the motion decoder's heat maps; bumps count as much as the empty plane."""
    assert model.heatmap_head is not None
    target = heatmap_targets(pose, *maps.shape[-2:])
    return ((model.heatmap_head(maps) - target).square() * (0.1 + target)).mean() * 10


def _targets(model: VideoDiffusion, frames: Tensor, cached: VideoLatents | None) -> Tensor:
    """Clean latents (batch, frame, channel, rows, columns)."""
    if cached is None:
        mean, deviation = (value.unflatten(0, frames.shape[:2]) for value in model.image_space.posterior(frames.flatten(0, 1)))
    else:
        mean, deviation = cached.frames, cached.deviation
    return mean + deviation * torch.randn_like(mean) if model.config.sample_latents else mean


def diffusion_loss(
    model: VideoDiffusion, portrait: Portrait, motion: Motion, frames: Float[Tensor, "batch frame 3 height width"],
    *, timesteps: Int[Tensor, " batch"] | None = None, cached: VideoLatents | None = None,
) -> DiffusionLoss:  # fmt: skip
    """One denoising step of `frames` (in [-1, 1]), or of their `cached` latents, at random timesteps."""
    config, scheduler = model.config, model.scheduler
    clean = _targets(model, frames, cached)
    if timesteps is None:
        timesteps = draw_timesteps(config, len(frames), frames.device)
    noise = draw_noise(clean, config.noise_offset)
    noisy = scheduler.add_noise(clean, noise, cast(Any, timesteps))
    prediction = model(noisy, timesteps, portrait, motion)
    error = (prediction - target_of(scheduler, clean, noise, timesteps)).square().flatten(1).mean(1)
    loss = (loss_weight(scheduler, timesteps, config.min_snr_gamma).to(error) * error).mean()
    diffusion = loss.detach()
    estimate = clean_of(scheduler, prediction, noisy, timesteps)
    if config.l1_weight:
        pictures = model.image_space.decode(estimate.flatten(0, 1)).unflatten(0, frames.shape[:2])
        loss = loss + config.l1_weight * F.l1_loss(pictures, frames)
    return DiffusionLoss(loss, diffusion, estimate.detach())
