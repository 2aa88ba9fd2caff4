"""A video can be read while it is written, and afterwards repacked without loss."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xdancer.errors import MediaError
from xdancer.media import grow_video, probe, read_audio, read_video, repack_video

SOUND = (np.sin(np.arange(44100 * 2) / 20) * 0.3).astype(np.float32)


def pictures(count: int) -> Iterator[np.ndarray]:
    for index in range(count):
        picture = np.zeros((64, 48, 3), np.uint8)
        picture[:, index % 40 : index % 40 + 8] = 255
        yield picture


def test_it_can_be_watched_while_it_grows(tmp_path: Path) -> None:
    seen: list[int] = []

    def watched() -> Iterator[np.ndarray]:
        for index, picture in enumerate(pictures(60)):
            if index in (20, 40):
                seen.append(len(read_video(tmp_path / "live.mp4").frames))
            yield picture

    grow_video(tmp_path / "live.mp4", watched(), audio=SOUND, sample_rate=44100, metadata={"comment": "seed 3"})
    assert 15 <= seen[0] <= 20 < 30 <= seen[1] <= 40
    info = probe(tmp_path / "live.mp4")
    assert (info.frames, info.fps, info.has_audio) == (60, pytest.approx(30), True)


def test_repacked_it_is_the_same(tmp_path: Path) -> None:
    grow_video(tmp_path / "live.mp4", pictures(50), audio=SOUND, sample_rate=44100, metadata={"comment": "seed 3"})
    repack_video(tmp_path / "live.mp4", tmp_path / "plain.mp4")
    assert np.array_equal(*(read_video(tmp_path / name).frames for name in ("live.mp4", "plain.mp4")))
    assert np.array_equal(*(read_audio(tmp_path / name, sample_rate=44100) for name in ("live.mp4", "plain.mp4")))
    assert probe(tmp_path / "plain.mp4").fps == pytest.approx(30)
    header = (tmp_path / "plain.mp4").read_bytes()[:4096]
    assert header.find(b"moov") < header.find(b"mdat") or b"mdat" not in header


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from pictures(20)
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        grow_video(tmp_path / "live.mp4", broken())
    assert not list(tmp_path.iterdir())
    with pytest.raises(MediaError, match="cannot be written"):
        grow_video(tmp_path / "none" / "live.mp4", pictures(3))
    with pytest.raises(MediaError, match=r"plain\.mp4"):
        repack_video(tmp_path / "none.mp4", tmp_path / "plain.mp4")
