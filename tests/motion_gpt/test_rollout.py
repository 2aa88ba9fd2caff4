"""Rollout: any length, the start kept, segments that see what training showed them, equal seeds give equal dances."""

import pytest
import torch

from xdancer.motion_gpt import rollout
from xdancer.motion_gpt.model import ABSENT, MotionGPT, Segment
from xdancer.motion_gpt.rollout import context_frames_before, generate_motion, pad_music
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.types import MotionTokens


def start_tokens(batch: int = 2, frames: int = 1) -> MotionTokens:
    return MotionTokens(torch.randint(11, (batch, frames, 3, 2)))


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 6, 13])
@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_any_length(make_gpt, make_music, frames: int, overlap: int) -> None:
    gpt = make_gpt(overlap_frames=overlap)
    start = start_tokens()
    tokens = generate_motion(gpt, make_music(10), start, frames=frames).ids
    assert tokens.shape == (2, frames, 3, 2)
    assert torch.equal(tokens[:, :1], start.ids)
    assert tokens.min() >= 0
    assert tokens.max() < 11


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_equal_seeds_give_equal_dances(tiny_gpt: MotionGPT, make_music, guidance: float) -> None:
    music, start = make_music(20), start_tokens()

    def dance(seed: int) -> torch.Tensor:
        sampling = SamplingConfig(guidance=guidance)
        return generate_motion(tiny_gpt, music, start, frames=12, sampling=sampling, generator=torch.Generator().manual_seed(seed)).ids

    assert torch.equal(dance(3), dance(3))
    assert not torch.equal(dance(3), dance(4))


def test_a_longer_start_is_kept(tiny_gpt: MotionGPT, make_music) -> None:
    start = start_tokens(frames=7)
    tokens = generate_motion(tiny_gpt, make_music(20), start, frames=11).ids
    assert torch.equal(tokens[:, :7], start.ids)
    with pytest.raises(ValueError, match="start has 7 frames"):
        generate_motion(tiny_gpt, make_music(20), start, frames=6)


def test_segments_see_overlap_context_previous_frames_and_their_own_music(
    tiny_gpt: MotionGPT, make_music, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Segment, int]] = []
    sample = rollout.sample_segment

    def record(gpt: MotionGPT, segment: Segment, **settings) -> torch.Tensor:
        seen.append((segment, settings["given"]))
        return sample(gpt, segment, **settings)

    monkeypatch.setattr(rollout, "sample_segment", record)
    music = make_music(12)
    ids = generate_motion(tiny_gpt, music, start_tokens(), frames=8).ids
    (first, given_first), (second, given_second), (third, _) = seen
    assert (given_first, given_second) == (1, 2)
    assert first.context.eq(ABSENT).all()
    assert first.previous.eq(ABSENT).all()
    assert torch.equal(second.motion[:, :2], ids[:, 2:4])  # the overlap
    assert torch.equal(second.previous, ids[:, 0:2])
    assert torch.equal(second.context, ids[:, 0:2])
    assert torch.equal(third.context, ids[:, 2:4])  # from the frames before the overlap
    stacked = tiny_gpt.stack_music(music)
    assert torch.equal(second.music, stacked[:, 2:6])
    assert torch.equal(third.context_music, stacked[:, 2:4])


def test_context_is_spread_over_the_frames_before() -> None:
    assert context_frames_before(0, count=8, span=52) == []
    assert context_frames_before(52, count=4, span=52) == [6, 19, 32, 45]
    assert context_frames_before(104, count=4, span=52) == [58, 71, 84, 97]
    assert context_frames_before(2, count=4, span=52) == [0, 0, 1, 1]


def test_music_after_the_end_of_the_song_is_zero_as_in_training(tiny_gpt: MotionGPT, make_music) -> None:
    music, start = make_music(6), start_tokens()
    longer = {name: torch.cat([value, torch.zeros(2, 9, value.shape[2])], dim=1) for name, value in music.items()}
    dances = [generate_motion(tiny_gpt, songs, start, frames=11, generator=torch.Generator().manual_seed(0)).ids for songs in (music, longer)]
    assert torch.equal(*dances)


def test_songs_of_unequal_length_make_one_batch(tiny_gpt: MotionGPT, make_music) -> None:
    songs = [{name: value[0, :length] for name, value in make_music(9).items()} for length in (5, 9)]
    batch = pad_music(songs)
    assert {value.shape[:2] for value in batch.values()} == {(2, 9)}
    assert torch.equal(batch["drums"][0, :5], songs[0]["drums"])
    assert batch["drums"][0, 5:].eq(0).all()
    assert torch.equal(batch["librosa"][1], songs[1]["librosa"])
