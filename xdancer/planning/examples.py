"""Random inputs of the right shapes: for predictions, and for the benchmarks."""

import torch
from torch import Tensor

from xdancer.motion_gpt.model import MotionGPT, Segment
from xdancer.types import PoseBatch

KEYPOINTS = 60


def random_poses(batch: int, frames: int) -> PoseBatch:
    """Keypoints around the middle of the picture."""
    return PoseBatch(torch.rand(batch, frames, KEYPOINTS, 2) - 0.5, torch.rand(batch, frames, KEYPOINTS))


def random_segment(gpt: MotionGPT, batch: int) -> Segment:
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
