"""Relative positions by frame and slot: queries and keys are turned, so that attention sees how many frames and tokens lie between them.

Rotary embeddings (Su et al. 2021, arXiv 2104.09864) with two clocks instead of one: half of a head's channels turn with the frame, half with
the place inside the frame. Not in the paper, whose positions are learned like GPT-2's.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from xdancer.motion_gpt.layout import TokenLayout

LONGEST = 100.0
"""The slowest channel's wave is this many times as long as the fastest one's 2π frames (or tokens)."""


def rotations(layout: TokenLayout, head_width: int) -> Float[Tensor, "position half 2"]:
    """Cosine and sine of every position's angles, one pair for every two channels of a head.

    Raises:
        ValueError: the channels of a head cannot be shared between the two clocks.
    """
    if head_width % 4:
        raise ValueError(f"relative_positions needs heads of a multiple of 4 channels, got {head_width}. Change width or heads.")
    quarter = head_width // 4
    speeds = LONGEST ** (-torch.arange(quarter, dtype=torch.float32) / quarter)
    moments = torch.tensor([layout.moment(position) for position in range(layout.window)], dtype=torch.float32)  # (position, 2)
    angles = (moments[:, :, None] * speeds).flatten(1)
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def rotate(x: Float[Tensor, "*batch position width"], turn: Float[Tensor, "position half 2"]) -> Tensor:
    """Turn every pair of channels of a query or key by its position's angles."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = turn[..., 0].to(x.dtype), turn[..., 1].to(x.dtype)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
