"""Rollout: any length, the start kept, segments that see what training showed them, equal seeds give equal dances."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from xdancer.motion_gpt import rollout
from xdancer.motion_gpt.model import ABSENT, MotionGPT, Segment
from xdancer.motion_gpt.rollout import context_frames_before, few_threads, generate_motion, pad_music, stream_motion
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


@pytest.mark.parametrize("change", [{"context_frames": 0}, {"global_music": False}, {"parallel_slots": True, "relative_positions": True}])
def test_every_variant_dances(make_gpt: Callable[..., MotionGPT], make_music, change: dict) -> None:
    assert generate_motion(make_gpt(**change), make_music(12), start_tokens(), frames=9).ids.shape == (2, 9, 3, 2)


def test_segments_see_overlap_context_previous_frames_and_their_own_music(
    tiny_gpt: MotionGPT, make_music, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Segment, int]] = []
    sample = rollout.sample_frames

    def record(gpt: MotionGPT, segment: Segment, **settings) -> Iterator[torch.Tensor]:
        seen.append((segment, settings["given"]))
        return sample(gpt, segment, **settings)

    monkeypatch.setattr(rollout, "sample_frames", record)
    tiny_gpt.music_mean.fill_(0.5)
    music = make_music(12)
    ids = generate_motion(tiny_gpt, music, start_tokens(), frames=8).ids
    (first, given_first), (second, given_second), (third, _) = seen
    assert (given_first, given_second) == (1, 2)
    assert first.context.eq(ABSENT).all()
    assert first.previous.eq(ABSENT).all()
    silence = {
        name: torch.zeros(2, 2 + tiny_gpt.config.music_lookahead_frames, width) for name, width in tiny_gpt.config.music_features.items()
    }
    assert torch.equal(first.context_music, tiny_gpt.stack_music(silence))  # as training pads, before the normalisation
    assert torch.equal(second.motion[:, :2], ids[:, 2:4])  # the overlap
    assert torch.equal(second.previous, ids[:, 0:2])
    assert torch.equal(second.context, ids[:, 0:2])
    assert torch.equal(third.context, ids[:, 2:4])  # from the frames before the overlap
    stacked = tiny_gpt.stack_music(music)
    assert torch.equal(second.music, stacked[:, 2:6])
    assert torch.equal(third.context_music, stacked[:, 2:4])


def test_a_stream_yields_the_same_dance_frame_by_frame(tiny_gpt: MotionGPT, make_music) -> None:
    """Its first frames come before the others are drawn, of which there may be any number."""
    music, start = make_music(12), start_tokens()
    whole = generate_motion(tiny_gpt, music, start, frames=9, generator=torch.Generator().manual_seed(5)).ids
    steps = stream_motion(tiny_gpt, music, start, frames=10**12, generator=torch.Generator().manual_seed(5))
    assert torch.equal(next(steps), start.ids[:, 0])
    assert torch.equal(torch.stack([next(steps) for _ in range(8)], dim=1), whole[:, 1:])


LONG_DANCE = """
import gc, sys
from pathlib import Path
import numpy as np, torch
from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig
from xdancer.motion_gpt.rollout import stream_motion
from xdancer.types import MotionTokens

config = MotionGPTConfig(
    layers=1, heads=1, width=8, frames=4, context_frames=1, overlap_frames=2, parts=2, slots=1, codes=7, music_features={"jukebox": 4800},
)
mapped = {"jukebox": np.load(sys.argv[1], mmap_mode="r")}
assert mapped["jukebox"].nbytes > 5e6

def held():
    gc.collect()
    tensors = sum(value.numel() for value in gc.get_objects() if issubclass(type(value), torch.Tensor))
    return tensors, int(Path("/proc/self/statm").read_text().split()[1]) * 4096

steps = stream_motion(MotionGPT(config).eval(), mapped, MotionTokens(torch.zeros(1, 1, 2, 1, dtype=torch.long)), frames=602)
seen = [held() for index, _ in enumerate(steps) if index in (101, 351, 601)]
assert len({tensors for tensors, _ in seen}) == 1, seen
assert seen[2][1] - seen[1][1] < 1e6, seen
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of the process from /proc")
def test_a_long_dance_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    """In a process of its own, without the shape checks of the tests, which keep what they see."""
    np.save(tmp_path / "song.npy", np.zeros((602, 4800), np.float16))
    subprocess.run([sys.executable, "-c", LONG_DANCE, str(tmp_path / "song.npy")], check=True, timeout=120)


def test_a_mapped_file_is_read_like_a_tensor(tiny_gpt: MotionGPT, make_music, tmp_path: Path) -> None:
    music, start = make_music(12, 1), start_tokens()
    for name, value in music.items():
        np.save(tmp_path / f"{name}.npy", value[0].numpy())
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in music}
    dances = [generate_motion(tiny_gpt, songs, start, frames=7, generator=torch.Generator().manual_seed(0)).ids for songs in (music, mapped)]
    assert torch.equal(*dances)


def test_styles_and_figures_reach_every_segment(make_gpt, make_music) -> None:
    gpt = make_gpt(styles=("calm", "wild"), motion_figures=True, layers=1)
    music, start = make_music(9, 1), start_tokens(1)

    def dance(asked: dict[str, torch.Tensor], guidance: float = 1.0) -> torch.Tensor:
        sampling, generator = SamplingConfig(guidance=guidance), torch.Generator().manual_seed(0)
        return generate_motion(gpt, music, start, frames=6, sampling=sampling, generator=generator, asked=asked).ids

    plain = dance({})
    assert torch.equal(plain, dance({"style": torch.tensor([-1]), "figures": torch.full((1, 2), torch.nan)}))
    assert not torch.equal(plain, dance({"figures": torch.tensor([[0.5, 2.0]])}))
    assert not torch.equal(*(dance({"style": torch.tensor([style])}, guidance=1.5) for style in (0, 1)))


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


def test_small_models_are_decoded_by_one_thread(make_gpt, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    with few_threads(make_gpt()):
        assert threads == [1]
    assert threads == [1, 4]
    with few_threads(make_gpt(width=512, layers=1)):
        assert threads == [1, 4]


def test_songs_of_unequal_length_make_one_batch(tiny_gpt: MotionGPT, make_music) -> None:
    songs = [{name: value[0, :length] for name, value in make_music(9).items()} for length in (5, 9)]
    batch = pad_music(songs)
    assert {value.shape[:2] for value in batch.values()} == {(2, 9)}
    assert torch.equal(batch["drums"][0, :5], songs[0]["drums"])
    assert batch["drums"][0, 5:].eq(0).all()
    assert torch.equal(batch["librosa"][1], songs[1]["librosa"])
