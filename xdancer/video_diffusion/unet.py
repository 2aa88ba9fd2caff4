"""The two UNets, built from diffusers' classes with the config's sizes (no fork)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import nn
from torch.utils.checkpoint import checkpoint

from xdancer.video_diffusion.config import VideoDiffusionConfig

UNet = UNet2DConditionModel | UNetMotionModel
MOTION_MODULES = ".motion_modules."
"""Marks the temporal weights in a UNet's names; the rest of a UNetMotionModel is named as the 2D UNet it comes from."""


def _sizes(config: VideoDiffusionConfig) -> dict[str, Any]:
    return {
        "sample_size": config.latent_size[0],
        "block_out_channels": config.block_out_channels,
        "layers_per_block": config.layers_per_block,
        "cross_attention_dim": config.cross_attention_dim,
        "norm_num_groups": config.norm_groups,
    }


def build_unet2d(config: VideoDiffusionConfig, *, in_channels: int, out_channels: int) -> UNet2DConditionModel:
    """SD1.5's UNet at the config's size."""
    return UNet2DConditionModel(
        in_channels=in_channels,
        out_channels=out_channels,
        down_block_types=tuple("CrossAttnDownBlock2D" if level else "DownBlock2D" for level in config.attention_levels),
        up_block_types=tuple("CrossAttnUpBlock2D" if level else "UpBlock2D" for level in reversed(config.attention_levels)),
        attention_head_dim=config.attention_heads,  # diffusers' name lies: it is the number of heads
        **_sizes(config),
    )


def build_motion_unet(config: VideoDiffusionConfig, *, in_channels: int, out_channels: int) -> UNetMotionModel:
    """The same UNet with a temporal module behind every layer; their output projections are zero, so that video starts as pictures."""
    unet = UNetMotionModel(
        in_channels=in_channels,
        out_channels=out_channels,
        down_block_types=tuple("CrossAttnDownBlockMotion" if level else "DownBlockMotion" for level in config.attention_levels),
        up_block_types=tuple("CrossAttnUpBlockMotion" if level else "UpBlockMotion" for level in reversed(config.attention_levels)),
        num_attention_heads=config.attention_heads,
        motion_num_attention_heads=config.temporal_heads,
        motion_max_seq_length=config.temporal_positions,
        use_motion_mid_block=True,
        **_sizes(config),
    )
    for name, module in unet.named_modules():
        if name.endswith("proj_out") and MOTION_MODULES in name:
            assert isinstance(module, nn.Linear)
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return unet


def enable_checkpointing(unet: UNet) -> None:
    """Keep few activations for the backward pass and compute the others again, of motion modules too: diffusers leaves those out."""
    unet.enable_gradient_checkpointing()
    for module in unet.modules():
        if isinstance(module, AnimateDiffTransformer3D):
            module.forward = partial(_checkpointed, module.forward)


def _checkpointed(forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if torch.is_grad_enabled():
        return checkpoint(forward, *inputs, use_reentrant=False, **named)
    return forward(*inputs, **named)
