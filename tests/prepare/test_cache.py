"""Finished clips come back as they were; a damaged file never stops a run twice."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.errors import XDancerError
from xdancer.prepare.cache import ClipCache
from xdancer.types import ClipSample


@pytest.fixture
def cache(tmp_path: Path) -> ClipCache:
    cache = ClipCache(tmp_path / ".work", "settings")
    cache.store(ClipSample("a", np.zeros((7, 60, 3), np.float32), {"librosa": np.ones((7, 35))}, {"song": "s"}, video=b"v" * 5000))
    return cache


def test_a_clip_comes_back(cache: ClipCache) -> None:
    clip = cache.load("a")
    assert (cache.frames("a"), cache.frames("b")) == (7, None)
    assert (clip.frames, clip.features["librosa"].shape, clip.meta, clip.video, clip.audio) == (7, (7, 35), {"song": "s"}, b"v" * 5000, None)


def test_a_truncated_file_counts_as_missing(cache: ClipCache) -> None:
    path = cache.path("a")
    path.write_bytes(path.read_bytes()[:-100])
    assert cache.frames("a") is None


def test_damage_inside_is_one_line_and_made_anew(cache: ClipCache) -> None:
    path = cache.path("a")
    path.write_bytes(path.read_bytes().replace(b"v" * 100, b"w" * 100, 1))
    assert cache.frames("a") == 7
    with pytest.raises(XDancerError, match=r"a-settings.npz: damaged, and removed .*only this clip is made anew"):
        cache.load("a")
    assert cache.frames("a") is None
