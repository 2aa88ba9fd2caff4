"""Wrong tokens among those that the model reads in training: how many, where, and never among the targets."""

from dataclasses import replace

import pytest
import torch

from xdancer.motion_gpt.model import ABSENT, MotionGPT, MotionGPTConfig, Segment
from xdancer.motion_gpt.module import MotionGPTModule
from xdancer.motion_gpt.reading import add_noise
from xdancer.types import DanceBatch, MusicFeatures, PoseBatch

CONFIG = MotionGPTConfig(
    layers=1, heads=1, width=8, frames=16, context_frames=4, overlap_frames=2, slots=2, music_features={"librosa": 3}, previous_frames=2,
    token_noise=0.2,
)  # fmt: skip


@pytest.fixture
def segment() -> Segment:
    ids = torch.randint(512, (64, 22, 5, 2))
    context, previous, motion = ids.split([4, 2, 16], dim=1)
    context = context.clone()
    context[::2] = ABSENT
    music = torch.zeros(64, 16, 3)
    return Segment(motion, context, previous, music, music[:, :4], torch.ones(64, dtype=torch.bool))


def make_module(config: MotionGPTConfig, tmp_path) -> MotionGPTModule:
    return MotionGPTModule(config, tmp_path / "none")


def test_the_asked_share_is_wrong_and_differs_between_segments(segment: Segment) -> None:
    noisy = add_noise(segment, CONFIG)
    shares = (noisy.motion != segment.motion).float().mean(dim=(1, 2, 3))
    assert abs(shares.mean() - 0.2) < 0.05
    assert shares.min() < 0.1 < 0.3 < shares.max() <= 0.5
    assert (noisy.previous != segment.previous).any()
    assert torch.equal(noisy.context[::2], segment.context[::2])  # what is absent stays absent
    assert (noisy.context[1::2] != segment.context[1::2]).any()
    for ids in (noisy.motion, noisy.previous, noisy.context[1::2]):
        assert 0 <= ids.min() <= ids.max() < 512


def test_without_noise_nothing_is_drawn(segment: Segment) -> None:
    before = torch.get_rng_state()
    assert add_noise(segment, replace(CONFIG, token_noise=0.0)) is segment
    assert torch.equal(torch.get_rng_state(), before)
    assert MotionGPTConfig().token_noise == 0  # the paper's model


def test_targets_stay_as_they_are(segment: Segment, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, read = make_module(CONFIG, tmp_path), {}
    monkeypatch.setattr(module, "read", lambda _: segment)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    monkeypatch.setattr(MotionGPT, "forward", lambda self, got: read.setdefault("segment", got) and torch.zeros(64, 16, 5, 2, 512))
    targets = []
    monkeypatch.setattr("xdancer.motion_gpt.module.cross_entropy", lambda logits, given: targets.append(given) or logits.mean(-1))
    pose = PoseBatch(torch.zeros(64, 22, 60, 2), torch.zeros(64, 22, 60))
    music = MusicFeatures({"librosa": torch.zeros(64, 22, 3)}, torch.zeros(64, 22, dtype=torch.bool))
    batch = DanceBatch(pose, music, torch.zeros(64, 4, dtype=torch.long), torch.ones(64, dtype=torch.bool), segment_frames=16)
    module.training_step(batch, 0)
    assert targets == [segment]
    assert not torch.equal(read["segment"].motion, segment.motion)


def test_impossible_noise_is_refused() -> None:
    with pytest.raises(ValueError, match=r"token_noise 0\.6 must lie in 0 … 0\.5"):
        MotionGPTConfig(token_noise=0.6)
