"""Operations of stage 3's frozen networks, which a step runs forward and its prediction leaves out."""

import warnings
from functools import cache
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode

from xdancer.planning.step import IMAGE_ENCODER, Run
from xdancer.planning.watch import StepWatch
from xdancer.video_diffusion.config import VideoDiffusionConfig

TOKENS, LAYERS, WIDTH = 257, 24, 1024
"""Of CLIP ViT-L/14 at 224 × 224."""


def frozen_flops(run: Run) -> int:
    """Of a round: the autoencoder over all pictures and portraits, the image encoder over the portraits; 0 for stages 1 and 2.

    Cached latents spare both.
    """
    config = run.model
    if not isinstance(config, VideoDiffusionConfig):
        return 0
    flops = run.batch * (run.frames + 1) * encoder_flops(config.height, config.width) if config.autoencoder else 0
    return flops + (run.batch * image_encoder_flops() if config.image_encoder else 0)


@cache
def encoder_flops(height: int, width: int) -> int:
    """Of SD1.5's autoencoder for the latents of one picture, walked through on a fake one."""
    import torch
    from diffusers import AutoencoderKL

    watch = StepWatch()
    layers: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2,
        "block_out_channels": (128, 256, 512, 512),
    }  # fmt: skip
    with FakeTensorMode(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        autoencoder = AutoencoderKL(**layers)
        with watch:
            autoencoder.encode(torch.zeros(1, 3, height, width))
    return watch.flops


def image_encoder_flops() -> int:
    """Two for every parameter and token, and the two products of attention: 2 · P · N + 4 · L · N² · D."""
    return 2 * IMAGE_ENCODER * TOKENS + 4 * LAYERS * TOKENS**2 * WIDTH
