"""Old and new output: whole, never mixed, and nothing but shards is ever replaced."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xdancer.data.shards import ShardReader
from xdancer.errors import XDancerError
from xdancer.prepare import PrepareSettings, SplitChoice, prepare_videos
from xdancer.prepare.output import check_output, refuse_overlap

SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=2.0, min_person=50, features=("librosa",), shot_threshold=0.0)
pytestmark = pytest.mark.usefixtures("plain_page")


@pytest.fixture
def folder(video: Callable[..., Path]) -> Path:
    video("a.mp4", 1.5)
    return video("b.mp4", 1.2).parent


def state(out: Path) -> dict[str, bytes]:
    """Every visible file."""
    visible = (path for path in out.rglob("*") if path.is_file() and not any(part.startswith(".") for part in path.relative_to(out).parts))
    return {str(path.relative_to(out)): path.read_bytes() for path in visible}


def stop_at(step: str) -> Callable[[str, int, int, str], None]:
    def progress(what: str, done: int, total: int, remark: str) -> None:
        if what == step:
            raise KeyboardInterrupt

    return progress


def test_interrupted_while_writing_val(folder: Path, tmp_path: Path, detector: Any) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare_videos(folder, out, SETTINGS, detector=detector, progress=stop_at("write val"))
    assert [path.name for path in out.iterdir()] == [".work"]
    looked = detector.looked_at
    assert prepare_videos(folder, out, SETTINGS, detector=detector).clips == {"train": 1, "val": 1}
    assert detector.looked_at == looked


def test_interrupted_while_overwriting_keeps_the_old(folder: Path, tmp_path: Path, detector: Any) -> None:
    out = tmp_path / "out"
    prepare_videos(folder, out, SETTINGS, detector=detector)
    before = state(out)
    again: dict[str, Any] = {"detector": detector, "split": SplitChoice("frames"), "overwrite": True}
    with pytest.raises(KeyboardInterrupt):
        prepare_videos(folder, out, SETTINGS, **again, progress=stop_at("write test"))
    assert state(out) == before
    assert prepare_videos(folder, out, SETTINGS, **again).clips == {"train": 2, "val": 2, "test": 2}


@pytest.mark.parametrize("call", range(7))
def test_killed_between_two_renames(folder: Path, tmp_path: Path, detector: Any, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """From three splits to two: old ones aside, new ones in place, the report last."""
    out = tmp_path / "out"
    prepare_videos(folder, out, SETTINGS, detector=detector, split=SplitChoice("frames"), keep_work=True)
    replace, calls = os.replace, []

    def killed(source: Path, target: Path) -> None:
        if (Path(source).parent == out / ".new") != (Path(target).parent == out / ".new"):
            calls.append(source)
            if len(calls) == call + 1:
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_videos(folder, out, SETTINGS, detector=detector, overwrite=True)
    report = prepare_videos(folder, out, SETTINGS, detector=detector)  # no --overwrite: the new splits were complete
    assert report.finished_before
    assert sorted(path.name for path in out.iterdir() if path.name != ".work") == ["report.html", "report.json", "train", "val"]
    assert [len(ShardReader(out / name)) for name in ("train", "val")] == [1, 1]
    assert json.loads((out / "report.json").read_text())["clips"] == {"train": 1, "val": 1}


def test_files_that_are_no_shards_are_in_the_way(folder: Path, tmp_path: Path, detector: Any) -> None:
    out = tmp_path / "out"
    (out / "test").mkdir(parents=True)
    (out / "test/mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(XDancerError, match=r"test holds what is no shards \(mine.txt\), which is never overwritten"):
            check_output(out, "0", overwrite=overwrite)
    assert (out / "test/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("videos", ["data", "data/train", "data/val/raw", "data/../data/test"])
def test_videos_and_shards_in_one_another(tmp_path: Path, videos: str) -> None:
    with pytest.raises(XDancerError, match="lie in one another"):
        refuse_overlap(tmp_path / videos, tmp_path / "data")
    refuse_overlap(tmp_path / "data/raw", tmp_path / "data")
