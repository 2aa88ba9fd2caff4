"""The noise schedule: training pairs, targets, loss weights, conversions. One place, so that phases and sampling cannot differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from diffusers import DDIMScheduler
from jaxtyping import Float, Int
from torch import Tensor

from xdancer.video_diffusion.config import VideoDiffusionConfig


def make_scheduler(config: VideoDiffusionConfig) -> DDIMScheduler:
    """DDIM over the config's betas: zero terminal SNR by rescaling, trailing spacing, no clipping."""
    return DDIMScheduler(
        num_train_timesteps=config.train_timesteps,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule=config.beta_schedule,
        clip_sample=False,
        set_alpha_to_one=True,
        prediction_type=config.prediction,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=config.zero_terminal_snr,
    )


def per_item(values: Tensor, like: Tensor) -> Tensor:
    """(batch,) → broadcastable over `like`."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))


@contextmanager
def fixed_draws(device: torch.device, seed: int) -> Iterator[None]:
    """Random numbers that depend on `seed` only; behind it the generators of CPU and `device` stand where they stood."""
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        if mps is not None:
            torch.mps.set_rng_state(mps)


def draw_noise(like: Float[Tensor, "batch frame channel rows columns"], offset: float) -> Tensor:
    """Unit noise, with a random constant of size `offset` per item and channel: the model learns brightness too."""
    noise = torch.randn_like(like)
    if offset:
        noise = noise + offset * torch.randn_like(like[:, :1, :, :1, :1])
    return noise


def draw_timesteps(config: VideoDiffusionConfig, batch: int, device: torch.device) -> Int[Tensor, " batch"]:
    """Uniform timesteps, a share of them at the last."""
    timesteps = torch.randint(0, config.train_timesteps, (batch,), device=device)
    if config.terminal_share:
        timesteps = timesteps.masked_fill(torch.rand(batch, device=device) < config.terminal_share, config.train_timesteps - 1)
    return timesteps


def target_of(scheduler: DDIMScheduler, clean: Tensor, noise: Tensor, timesteps: Int[Tensor, " batch"]) -> Tensor:
    """What the network is asked for, by the schedule's prediction type."""
    kind = scheduler.config["prediction_type"]
    if kind == "sample":
        return clean
    return noise if kind == "epsilon" else scheduler.get_velocity(clean, noise, cast(Any, timesteps))


def clean_of(scheduler: DDIMScheduler, prediction: Tensor, noisy: Tensor, timesteps: Int[Tensor, " batch"]) -> Tensor:
    """x̂ from the network's prediction (exact for `sample`; ε has none at zero SNR)."""
    kind = scheduler.config["prediction_type"]
    if kind == "sample":
        return prediction
    alpha = per_item(scheduler.alphas_cumprod.to(noisy.device)[timesteps], noisy)
    if kind == "epsilon":
        return (noisy - (1 - alpha).sqrt() * prediction) / alpha.sqrt().clamp_min(1e-4)
    return alpha.sqrt() * noisy - (1 - alpha).sqrt() * prediction


def loss_weight(scheduler: DDIMScheduler, timesteps: Int[Tensor, " batch"], gamma: float) -> Float[Tensor, " batch"]:
    """min-SNR weight (Hang et al. 2023): the squared error of x̂ weighs min(SNR, γ), that of ε is SNR times as large, that of v SNR + 1 times.

    For v the SNR is counted from 1, so that the step of zero SNR keeps weight 1 instead of 0.
    """
    if not gamma:
        return torch.ones(len(timesteps), device=timesteps.device)
    alpha = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
    snr = alpha / (1 - alpha).clamp_min(1e-8)
    kind = scheduler.config["prediction_type"]
    if kind == "sample":
        return snr.clamp(max=gamma)
    if kind == "v_prediction":
        snr = snr + 1
    return (gamma / snr).clamp(max=1)
