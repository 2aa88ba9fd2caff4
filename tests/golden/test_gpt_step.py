"""Three training steps of stage 2 give the stored numbers.

Made with torch 2.13 on x86-64 by running this file's `steps()`; the tolerance covers other BLAS builds. New numbers are a reviewed commit that
says what changed the training.
"""

import pytest
import torch

from xdancer.motion_gpt.model import ABSENT, MotionGPT, MotionGPTConfig, Segment
from xdancer.motion_gpt.module import cross_entropy

GOLDEN: dict[str, list[float]] = {"loss": [3.14917, 3.00107, 2.85701], "gradient": [1.30686, 1.27402, 1.23579]}


def steps() -> dict[str, list[float]]:
    """Loss and gradient norm of three steps on one fixed window."""
    torch.manual_seed(0)
    config = MotionGPTConfig(
        layers=2, heads=2, width=16, frames=4, context_frames=2, overlap_frames=1, slots=2, codes=16, music_features={"librosa": 3},
        music_lookahead_frames=1, previous_frames=1, dropout=0.0,
    )  # fmt: skip
    gpt = MotionGPT(config).train()
    count = torch.arange(2 * 7 * 5 * 2).reshape(2, 7, 5, 2) * 7 % 16
    context, previous, motion = count.split([2, 1, 4], dim=1)
    previous = torch.stack([previous[0], torch.full_like(previous[1], ABSENT)])
    stacked = gpt.stack_music({"librosa": torch.linspace(-2, 2, 2 * 7 * 3).reshape(2, 7, 3).sin()})
    segment = Segment(motion, context, previous, stacked[:, 2:], stacked[:, :2], torch.tensor([True, False]))
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=3e-3)
    found: dict[str, list[float]] = {"loss": [], "gradient": []}
    for _ in range(3):
        optimizer.zero_grad()
        loss = cross_entropy(gpt(segment), segment).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(gpt.parameters(), 1.0)
        optimizer.step()
        found["loss"].append(float(loss.detach()))
        found["gradient"].append(float(norm))
    return found


def test_three_steps() -> None:
    found = steps()
    for name, expected in GOLDEN.items():
        assert found[name] == pytest.approx(expected, rel=2e-3), found
