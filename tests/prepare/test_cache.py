"""Finished clips come back as they were; a damaged file never stops a run twice."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.errors import XDancerError
from xdancer.prepare.cache import ClipCache, Plan, Rejection, pack_clip
from xdancer.prepare.sources import Cut, Source
from xdancer.types import ClipSample


@pytest.fixture
def cache(tmp_path: Path) -> ClipCache:
    cache = ClipCache(tmp_path / ".work", "settings")
    sample = ClipSample("a", np.zeros((7, 60, 3), np.float32), {"librosa": np.ones((7, 35))}, {"song": "s"}, video=b"v" * 5000)
    cache.store("a", pack_clip(sample))
    return cache


def test_a_clip_comes_back(cache: ClipCache) -> None:
    clip = cache.load("a")
    assert (cache.outcome("a"), cache.outcome("b")) == (7, None)
    assert (clip.frames, clip.features["librosa"].shape, clip.meta, clip.video, clip.audio) == (7, (7, 35), {"song": "s"}, b"v" * 5000, None)


def test_a_truncated_file_counts_as_missing(cache: ClipCache) -> None:
    path = cache.path("a")
    path.write_bytes(path.read_bytes()[:-100])
    assert cache.outcome("a") is None


def test_damage_inside_is_one_line_and_made_anew(cache: ClipCache) -> None:
    path = cache.path("a")
    path.write_bytes(path.read_bytes().replace(b"v" * 100, b"w" * 100, 1))
    assert cache.outcome("a") == 7
    with pytest.raises(XDancerError, match=r"a-settings.npz: damaged, and removed .*only this clip is made anew"):
        cache.load("a")
    assert cache.outcome("a") is None


def test_what_lies_in_the_video_is_remembered_and_what_was_unexpected_is_not(cache: ClipCache) -> None:
    cache.store("b", Rejection("no person was found", figures={"sharpness": 0.1}, picture="abcd"))
    cache.store("c", Rejection("unexpected RuntimeError", final=False))
    assert cache.outcome("b") == cache.rejection("b") == Rejection("no person was found", True, {"sharpness": 0.1}, "abcd")
    assert cache.outcome("c") is None
    assert cache.rejection("c") == Rejection("unexpected RuntimeError", False)
    cache.path("b").with_suffix(".json").write_text("{")
    assert cache.outcome("b") is None


def test_cuts_come_back(cache: ClipCache) -> None:
    source = Source(Path("videos/a.mp4"), "a.mp4", "song", "0123456789abcdef" * 4)
    plan = Plan((Cut(source, "a-01234567-000", 0.0, 2.5), Cut(source, "a-01234567-001", 2.5, 5.0)), notes=("odd",))
    assert cache.plan(source) is None
    cache.store_plan(source, plan)
    assert cache.plan(source) == plan
    assert ClipCache(cache.folder, "other").plan(source) is None
    cache.store_plan(source, Plan(reasons=("no sound",)))
    assert cache.plan(source) == plan
