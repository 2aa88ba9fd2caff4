"""Splits share no song, are the same every time, and train is never empty."""

import itertools

import pytest

from xdancer.errors import XDancerError
from xdancer.prepare.split import assign_splits, split_songs


@pytest.mark.parametrize(("count", "expected"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (10, (8, 1, 1)), (50, (40, 5, 5))])
def test_counts(count: int, expected: tuple[int, int, int]) -> None:
    songs = [f"song {index}" for index in range(count)]
    splits = split_songs(songs)
    assert tuple(list(splits.values()).count(name) for name in ("train", "val", "test")) == expected
    assert splits == split_songs(reversed(songs))


def test_no_song_is_shared() -> None:
    songs = {f"clip-{index}": f"song {index % 7}" for index in range(40)}
    splits = assign_splits(songs, "song", val=0.2, test=0.2)
    assert sorted(itertools.chain.from_iterable(splits.values())) == sorted(songs)
    held = [{songs[key] for key in keys} for keys in splits.values()]
    assert len(held) == 3
    assert sum(map(len, held)) == len(set.union(*held))


def test_frames_puts_every_clip_everywhere() -> None:
    assert assign_splits({"a": "x", "b": "x"}, "frames") == {"train": ["a", "b"], "val": ["a", "b"], "test": ["a", "b"]}
    assert assign_splits({"a": "x", "b": "x"}, "song") == {"train": ["a", "b"]}
    assert split_songs(["a", "b", "c"], val=0.0, test=0.0) == {"a": "train", "b": "train", "c": "train"}
    with pytest.raises(XDancerError, match=r"--val 0\.6 --test 0\.5"):
        split_songs(["a"], val=0.6, test=0.5)
