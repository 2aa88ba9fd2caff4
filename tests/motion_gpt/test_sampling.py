"""Cached decoding equals full recomputation; temperature, top-k, top-p, guidance and locks do what they say."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from xdancer.motion_gpt.decoding import Decoder
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.sampling import PartSampling, SamplingConfig, sample_frames, sample_segment, sample_tokens

GREEDY = SamplingConfig(temperature=0.0)


def uncached(gpt: MotionGPT, segment, given: int, guidance: float = 1.0, wishes: float = 1.0) -> torch.Tensor:
    """Greedy decoding by running the whole window again for every token."""
    motion = segment.motion.clone()
    for frame in range(given, gpt.config.frames):
        for part in range(gpt.config.parts):
            for slot in range(gpt.config.slots):
                now = replace(segment, motion=motion)
                logits = full = gpt(now)
                if guidance != 1:
                    logits = logits + (guidance - 1) * (full - gpt(replace(now, has_music=torch.zeros_like(segment.has_music))))
                if wishes != 1:
                    logits = logits + (wishes - 1) * (full - gpt(replace(now, style=None, figures=None)))
                motion[:, frame, part, slot] = logits[:, frame, part, slot].argmax(-1)
    return motion


@pytest.mark.parametrize(
    "change",
    [
        {}, {"global_music": False}, {"context_frames": 0}, {"previous_frames": 0}, {"context_frames": 0, "global_music": False},
        {"parallel_slots": True}, {"relative_positions": True},
    ],
)  # fmt: skip
@pytest.mark.parametrize("given", [0, 1, 3])
def test_cached_equals_uncached(make_gpt, make_segment, change: dict, given: int) -> None:
    gpt = make_gpt(**change)
    segment = make_segment(gpt)
    cached = sample_segment(gpt, segment, given=given, frames=4, sampling=GREEDY)
    assert torch.equal(cached[:, :given], segment.motion[:, :given])
    assert torch.equal(cached, uncached(gpt, segment, given))


def test_what_follows_the_given_frames_is_not_read(tiny_gpt: MotionGPT, make_segment) -> None:
    segment = make_segment(tiny_gpt)
    other = segment.motion.clone()
    other[:, 2:] = 0
    first = sample_segment(tiny_gpt, segment, given=2, frames=4, sampling=GREEDY)
    assert torch.equal(first, sample_segment(tiny_gpt, replace(segment, motion=other), given=2, frames=4, sampling=GREEDY))


def test_guidance_equals_the_formula(tiny_gpt: MotionGPT, make_segment) -> None:
    segment = make_segment(tiny_gpt)
    guided = sample_segment(tiny_gpt, segment, given=1, frames=4, sampling=SamplingConfig(temperature=0.0, guidance=3.0))
    assert torch.equal(guided, uncached(tiny_gpt, segment, 1, guidance=3.0))


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_guidance_by_what_is_asked_equals_the_formula(make_gpt, make_segment, guidance: float) -> None:
    gpt = make_gpt(styles=("calm", "wild"), motion_figures=True)
    segment = make_segment(gpt)
    rows = len(segment.motion)
    segment = replace(segment, style=torch.arange(rows) % 2, figures=torch.tensor([[0.5, torch.nan]]).expand(rows, 2))
    sampling = SamplingConfig(temperature=0.0, guidance=guidance, wish_guidance=4.0)
    guided = sample_segment(gpt, segment, given=1, frames=4, sampling=sampling)
    assert torch.equal(guided, uncached(gpt, segment, 1, guidance=guidance, wishes=4.0))
    assert not torch.equal(guided, uncached(gpt, segment, 1, guidance=guidance))


def test_a_reused_decoder_gives_the_same(tiny_gpt: MotionGPT, make_segment) -> None:
    segment, decoder = make_segment(tiny_gpt), Decoder(tiny_gpt)
    samples = [sample_segment(tiny_gpt, segment, given=1, frames=4, sampling=GREEDY, decoder=decoder) for _ in range(2)]
    assert torch.equal(*samples)


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(20_000, 4)
    generator = torch.Generator().manual_seed(1)

    def shares(**settings: float) -> torch.Tensor:
        drawn = sample_tokens(logits, SamplingConfig(**settings), generator)  # type: ignore[arg-type]
        return drawn.bincount(minlength=4) / len(drawn)

    assert (shares() - torch.tensor([0.5, 0.3, 0.15, 0.05])).abs().max() < 0.02
    assert (shares(top_k=2) - torch.tensor([0.625, 0.375, 0, 0])).abs().max() < 0.02
    assert (shares(top_p=0.9) - torch.tensor([0.5, 0.3, 0.15, 0]) / 0.95).abs().max() < 0.02
    assert shares(top_p=0.01)[0] == 1
    squared = torch.tensor([0.5, 0.3, 0.15, 0.05]).square()
    assert (shares(temperature=0.5) - squared / squared.sum()).abs().max() < 0.02
    assert shares(temperature=0.0)[0] == 1


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="top_p"):
        SamplingConfig(top_p=0.0)


def test_parts_draw_by_their_own_settings(tiny_gpt: MotionGPT, make_segment) -> None:
    segment = make_segment(tiny_gpt)
    sampling = SamplingConfig(temperature=2.0, parts={"upper_body": PartSampling(temperature=0.0), "head": PartSampling(top_k=1)})
    sampled = sample_segment(tiny_gpt, segment, given=1, frames=4, sampling=sampling)
    best = tiny_gpt(replace(segment, motion=sampled)).argmax(-1)
    assert torch.equal(sampled[:, 1:, [0, 2]], best[:, 1:, [0, 2]])
    assert not torch.equal(sampled[:, 1:, 1], best[:, 1:, 1])
    assert sampling.of("lower_body") == SamplingConfig(temperature=2.0)


def test_settings_of_parts_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'feet'.*upper_body"):
        SamplingConfig(parts={"feet": PartSampling(top_k=1)})
    with pytest.raises(ValueError, match="top_k=-1"):
        SamplingConfig(parts={"head": PartSampling(top_k=-1)})
    with pytest.raises(ValueError, match="no part head, only body"):
        SamplingConfig(parts={"head": PartSampling(top_k=1)}).by_part(1)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_locked_tokens_stay_and_the_others_are_drawn_behind_them(tiny_gpt: MotionGPT, make_segment, guidance: float) -> None:
    """Equal to drawing one token after the other with every known one put in its place."""
    segment = make_segment(tiny_gpt)
    locked = torch.rand(segment.motion.shape) < 0.6
    locked[1] |= locked[0]  # some tokens are locked in one dance of the batch only
    locked[:, 2] = True
    sampled = sample_segment(
        tiny_gpt, segment, given=1, frames=4, sampling=SamplingConfig(temperature=0.0, guidance=guidance), locked=locked
    )  # fmt: skip
    assert torch.equal(sampled[locked], segment.motion[locked])
    again = replace(segment, motion=sampled)
    logits = tiny_gpt(again)
    if guidance != 1:
        without = tiny_gpt(replace(again, has_music=torch.zeros_like(segment.has_music)))
        logits = without + guidance * (logits - without)
    drawn = ~locked
    drawn[:, 0] = False
    assert torch.equal(sampled[drawn], logits.argmax(-1)[drawn])
    assert not torch.equal(sampled[drawn], segment.motion[drawn])


def test_runs_of_locked_tokens_cost_one_step(tiny_gpt: MotionGPT, make_segment, monkeypatch: pytest.MonkeyPatch) -> None:
    segment, stops = make_segment(tiny_gpt), []
    logits = Decoder.logits
    monkeypatch.setattr(Decoder, "logits", lambda decoder, stop: stops.append(stop) or logits(decoder, stop))
    locked = torch.ones_like(segment.motion, dtype=torch.bool)
    locked[:, :, 2] = False  # the head's two tokens of each frame's six
    frames = list(sample_frames(tiny_gpt, segment, given=1, frames=4, sampling=GREEDY, locked=locked))
    assert [after - before for before, after in pairwise(stops)] == [1, 5, 1, 5, 1]
    assert [frame.shape for frame in frames] == [(2, 3, 2)] * 3
    assert torch.equal(torch.stack(frames, 1)[:, :, :2], segment.motion[:, 1:, :2])
