"""`xdancer prepare` on the command line: bad input is one line and exit code 2; a good video gets through MediaPipe."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from xdancer import media
from xdancer.__main__ import main
from xdancer.data.shards import ShardReader

NEEDS_MEDIAPIPE = pytest.mark.skipif(find_spec("mediapipe") is None, reason="MediaPipe (extra `pose`) is not installed")
SMALL = ["--min-seconds", "1", "--max-seconds", "2", "--features", "librosa"]


def scenery(folder: Path, name: str = "scenery.mp4", *, seconds: float = 1.0, sound: bool = True) -> None:
    """A video without a person."""
    folder.mkdir(exist_ok=True)
    stripes = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[:, None, None], 160, axis=1).repeat(3, axis=2)
    tone = np.sin(np.arange(round(seconds * 44100)) * 0.05).astype(np.float32)
    media.write_video(
        folder / name, [np.roll(stripes, step, axis=0) for step in range(round(24 * seconds))], fps=24.0, audio=tone if sound else None
    )


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a refused command."""
    assert main(["prepare", *map(str, arguments)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("xdancer prepare: ")]
    assert len(lines) == 1
    return lines[0]


def test_missing_and_empty_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere: no such folder" in refused(capsys, tmp_path / "nowhere", "--out", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert "holds no video" in refused(capsys, tmp_path / "empty", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_flags_that_cannot_be_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenery(tmp_path / "videos")
    start = (tmp_path / "videos", "--out", tmp_path / "out")
    assert "compute in fp32 only" in refused(capsys, *start, "--precision", "bf16")
    assert "MediaPipe computes on the CPU" in refused(capsys, *start, "--device", "cuda")
    assert "--width 33" in refused(capsys, *start, "-W", "33")
    assert "unknown music feature" in refused(capsys, *start, "--features", "mfcc").lower()
    assert "together below 1" in refused(capsys, *start, "--val", "0.9", "--test", "0.9")
    assert "cannot be read" in refused(capsys, *start, "--groups", tmp_path / "none.csv")
    assert not (tmp_path / "out").exists()


@NEEDS_MEDIAPIPE
def test_only_bad_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = tmp_path / "videos"
    scenery(videos)
    scenery(videos, "mute.mp4", sound=False)
    scenery(videos, "brief.mp4", seconds=0.5)
    (videos / "damaged.mov").write_bytes(b"no video at all")
    line = refused(capsys, videos, "--out", tmp_path / "out", *SMALL)
    reasons = ("scenery.mp4: no person was found", "mute.mp4: no sound", "brief.mp4: too short: 0.5 s", "damaged.mov: cannot be read")
    for words in ("none of 4 videos", *reasons):
        assert words in line
    assert not list((tmp_path / "out").glob("*/*.tar"))


@NEEDS_MEDIAPIPE
def test_a_real_dancer_among_bad_videos(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    scenery(videos, "mute.mp4", sound=False)
    source = shared / "data/video/dance_2.mp4"
    frames = media.read_video(source, count=28).frames
    sound = media.read_audio(source, sample_rate=44100)[: 44100 * 28 // 24]
    media.write_video(videos / "dance.mp4", frames, fps=24.0, audio=sound, crf=12)
    assert main(["prepare", str(videos), "--out", str(out), "--split", "frames", "-W", "128", "-H", "224", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert "device cpu, precision fp32" in printed
    assert "mute.mp4: left out: no sound" in printed
    assert "dance.mp4: 1 clip, 1.1 s, song dance → train, val, test" in printed
    clip = ShardReader(out / "train").clip(0)
    assert clip.frames == 34
    assert clip.mask is not None
    assert (clip.pose[:, :18, 2] > 0.3).mean() > 0.9
    assert np.abs(clip.pose[:, :18, :2]).max() < 1.05
    assert main(["shards", "verify", str(out)]) == 0
