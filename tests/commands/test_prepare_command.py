"""`xdancer prepare` on the command line: bad input is one line and exit code 2; a good video gets through MediaPipe."""

import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from xdancer import media
from xdancer.__main__ import main
from xdancer.audio import jukebox
from xdancer.data.shards import ShardReader
from xdancer.pose.detector import DetectedPose, PoseDetector
from xdancer.prepare import engine, work

NEEDS_MEDIAPIPE = pytest.mark.skipif(find_spec("mediapipe") is None, reason="MediaPipe (extra `pose`) is not installed")
SMALL = ["--shot-threshold", "0", "--min-seconds", "1", "--max-seconds", "2", "--features", "librosa", "--max-camera-motion", "255"]
HERE = ["--workers", "0"]


def scenery(folder: Path, name: str = "scenery.mp4", *, seconds: float = 1.0, sound: bool = True) -> None:
    """A video without a person."""
    folder.mkdir(exist_ok=True)
    stripes = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[:, None, None], 160, axis=1).repeat(3, axis=2)
    tone = np.sin(np.arange(round(seconds * 44100)) * 0.05).astype(np.float32)
    media.write_video(
        folder / name, [np.roll(stripes, step, axis=0) for step in range(round(24 * seconds))], fps=24.0, audio=tone if sound else None
    )


class Everywhere(PoseDetector):
    """Sees a person as large as the picture."""

    name, version, device = "everywhere", "1", "cpu"

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[DetectedPose]:
        for frame in frames:
            spread = np.random.default_rng(0).uniform(0.1, 0.9, (60, 2)) * (frame.shape[1], frame.shape[0])
            yield DetectedPose(np.column_stack([spread, np.full(60, 0.9)]).astype(np.float32))


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process: where it is needed, --workers 0 keeps the work here."""
    for module in (engine, work):
        monkeypatch.setattr(module, "process_detector", lambda settings, maker: Everywhere())


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses to write more to a file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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


def test_poses_of_files_need_no_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, tmp_path, "--poses", tmp_path, "--detector", "dwpose")
    assert "--poses: keypoints come from its files, not by --detector" in line


@pytest.mark.parametrize("folder", ["data/train", "data"])
def test_videos_where_shards_go_are_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    (tmp_path / "data").mkdir()
    scenery(tmp_path / "data/train")
    line = refused(capsys, tmp_path / folder, "--out", tmp_path / "data", "--overwrite")
    assert "lie in one another. Choose an --out outside the videos' folder" in line
    assert [path.name for path in (tmp_path / "data/train").iterdir()] == ["scenery.mp4"]


@pytest.mark.usefixtures("everywhere")
def test_overwrite_is_for_shards_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenery(tmp_path / "videos")
    (tmp_path / "data").mkdir()
    scenery(tmp_path / "data/val", "mine.mp4")
    line = refused(capsys, tmp_path / "videos", "--out", tmp_path / "data", "--overwrite", *SMALL, *HERE)
    assert "val holds what is no shards (mine.mp4), which is never overwritten. Choose another --out, or move it away." in line
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["val", "mine.mp4"]


@pytest.mark.usefixtures("everywhere")
def test_a_full_disk_is_one_line_and_the_same_command_continues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    for number in (0, 1):
        scenery(videos, f"{number}.mp4", seconds=1.0 + 0.1 * number)
    flags = ["--split", "frames", "-W", "64", "-H", "112", "--min-person", "32", "--max-camera-motion", "100", *SMALL, *HERE]
    assert main(["prepare", str(videos), "--out", str(tmp_path / "sizes"), "--keep-work", *flags]) == 0
    clip = max(path.stat().st_size for path in (tmp_path / "sizes/.work").glob("*.npz"))
    with largest_file(clip // 2):
        assert "npz: cannot be written (File too large)" in refused(capsys, videos, "--out", out, *flags)
    assert list((out / ".work").glob("*.npz")) == []
    with largest_file(clip * 5 // 4):  # the clips have room, a tar of two has not
        assert "Cannot write shards to" in refused(capsys, videos, "--out", out, *flags)
    assert [path.name for path in out.iterdir()] == [".work"]
    assert main(["prepare", str(videos), "--out", str(out), *flags]) == 0
    assert main(["shards", "verify", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json", "test", "train", "val"]


@pytest.mark.usefixtures("everywhere")
def test_parts_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    for number in (0, 1):
        scenery(videos, f"{number}.mp4", seconds=1.0 + 0.1 * number)
    flags = ["-W", "64", "-H", "112", "--min-person", "32", "--max-camera-motion", "100", *SMALL, *HERE]
    assert "parts count from 0, here from 0/2 to 1/2" in refused(capsys, videos, "--out", out, "--part", "2/2", *flags)
    assert "--overwrite --part" in refused(capsys, videos, "--out", out, "--part", "0/2", "--overwrite", *flags)
    assert "--keep-work --part" in refused(capsys, videos, "--out", out, "--part", "0/2", "--keep-work", *flags)
    assert not out.exists()
    for index in (0, 1):
        assert main(["prepare", str(videos), "--out", str(out), "--part", f"{index}/2", *flags]) == 0
        assert f"part {index}/2: " in (printed := capsys.readouterr().out)
        assert f"xdancer shards merge {out} --out {out}" in printed
    part = [str(path) for path in sorted(out.iterdir())]
    assert main(["shards", "merge", part[1]]) == 2
    assert "Missing part 0/2" in capsys.readouterr().err
    assert main(["shards", "merge", part[1], part[0], "--out", str(tmp_path / "whole")]) == 0
    assert "2 of 2 videos accepted; clips: train 1, val 1" in capsys.readouterr().out
    assert main(["shards", "verify", str(tmp_path / "whole")]) == 0


@pytest.mark.usefixtures("everywhere")
def test_the_device_reaches_the_jukebox_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    scenery(tmp_path / "videos")
    line = refused(capsys, tmp_path / "videos", "--out", tmp_path / "out", "--features", "jukebox", "--device", "cuda")
    assert "--device cuda: not available on this machine" in line


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
