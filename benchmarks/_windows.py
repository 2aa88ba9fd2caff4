"""Random windows for the motion GPT's benchmarks."""

import torch
from torch import Tensor

from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig, Segment

SMALL = MotionGPTConfig(layers=12, heads=12, width=768, music_features={"librosa": 35})
"""GPT-2 small in the paper's window of 2224 positions."""


def segment(gpt: MotionGPT, batch: int) -> Segment:
    """A window of random tokens and music."""
    config = gpt.config
    rows = config.context_frames + config.frames
    music = {name: torch.randn(batch, rows + config.music_lookahead_frames, width) for name, width in config.music_features.items()}
    context_music, own_music = gpt.stack_music(music).split([config.context_frames, config.frames], dim=1)

    def tokens(frames: int) -> Tensor:
        return torch.randint(config.codes, (batch, frames, config.parts, config.slots))

    return Segment(
        tokens(config.frames), tokens(config.context_frames), tokens(config.previous_frames), own_music, context_music,
        torch.ones(batch, dtype=torch.bool),
    )  # fmt: skip
