"""A tiny motion GPT with everything switched on, and makers of its inputs."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from xdancer.motion_gpt.model import ABSENT, MotionGPT, MotionGPTConfig, Segment

TINY = MotionGPTConfig(
    layers=2, heads=2, width=16, frames=4, context_frames=2, overlap_frames=2, parts=3, slots=2, codes=11,
    music_features={"librosa": 5, "drums": 2}, music_lookahead_frames=2, previous_frames=2,
)  # fmt: skip


@pytest.fixture
def make_gpt() -> Callable[..., MotionGPT]:
    """A tiny model with some config values changed, whose logits really depend on every input (fresh ones are near uniform)."""

    def make(**changes) -> MotionGPT:
        torch.manual_seed(0)
        gpt = MotionGPT(replace(TINY, **changes)).eval()
        with torch.no_grad():
            for parameter in gpt.parameters():
                parameter.add_(0.3 * (TINY.width / gpt.config.width) ** 0.5 * torch.randn_like(parameter))
        return gpt

    return make


@pytest.fixture
def tiny_gpt(make_gpt: Callable[..., MotionGPT]) -> MotionGPT:
    return make_gpt()


@pytest.fixture
def make_music() -> Callable[..., dict[str, torch.Tensor]]:
    """Random features of `rows` frames."""
    return lambda rows, batch=2: {name: torch.randn(batch, rows, width) for name, width in TINY.music_features.items()}


@pytest.fixture
def make_segment(make_music) -> Callable[[MotionGPT], Segment]:
    """A random window; the first item of the batch has no previous frames."""

    def make(gpt: MotionGPT) -> Segment:
        config, ahead = gpt.config, gpt.config.music_lookahead_frames

        def tokens(frames: int) -> torch.Tensor:
            return torch.randint(config.codes, (2, frames, config.parts, config.slots))

        stacked = gpt.stack_music(make_music(config.context_frames + config.frames + ahead))
        context_music, music = stacked.split([config.context_frames, config.frames], dim=1)
        previous = tokens(config.previous_frames)
        previous[0] = ABSENT
        return Segment(tokens(config.frames), tokens(config.context_frames), previous, music, context_music, torch.ones(2, dtype=torch.bool))

    return make
