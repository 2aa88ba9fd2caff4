"""A folder of good and bad videos through the whole of prepare."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xdancer.data.shards import ShardReader
from xdancer.errors import XDancerError
from xdancer.prepare import Execution, PrepareSettings, SplitChoice, cache, prepare_videos, work
from xdancer.prepare.clip import prepare_clip
from xdancer.types import ClipSample

SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=2.0, min_person=50, features=("librosa",), shot_threshold=0.0)
pytestmark = pytest.mark.usefixtures("plain_page")


@pytest.fixture
def folder(video: Callable[..., Path]) -> Path:
    """Two good videos (one long enough for two clips) and five bad ones."""
    video("good.mp4", 1.5)
    path = video("sub/long.mp4", 3.0)
    video("nobody.mp4", 1.5, absent=(0.0, 9.0))
    video("mute.mp4", 1.5, sound=False)
    video("silent.mp4", 1.5, silent=True)
    video("brief.mp4", 0.5)
    whole = path.read_bytes()
    (path.parents[1] / "damaged.mp4").write_bytes(whole[: len(whole) // 3])
    return path.parents[1]


def test_one_line_per_bad_video_and_the_rest_goes_on(folder: Path, tmp_path: Path, detector: Any) -> None:
    out = tmp_path / "out"
    seen: list[tuple[str, int, int, str]] = []
    report = prepare_videos(folder, out, SETTINGS, detector=detector, progress=lambda *step: seen.append(step))
    reasons = {video.video: video.reasons for video in report.videos}
    assert "pictures are there. The file is cut off" in reasons["damaged.mp4"][0]
    assert reasons["mute.mp4"] == ("no sound",)
    assert reasons["nobody.mp4"] == ("no person was found",)
    assert "silent" in reasons["silent.mp4"][0]
    assert "too short: 0.5 s" in reasons["brief.mp4"][0]
    assert reasons["good.mp4"] == reasons["sub/long.mp4"] == ()
    assert report.accepted == 2
    assert len(report.lines()) == 7 + 2
    assert all("\n" not in line for line in report.lines())
    assert seen[-1][1] == seen[-1][2]

    stored = json.loads((out / "report.json").read_text())
    assert stored["accepted"] == 2
    assert stored["clips"] == report.clips
    splits = {name: ShardReader(out / name) for name in report.clips}
    assert set(splits) == {"train", "val"}
    songs = {name: {reader.meta(key)["song"] for key in reader.keys} for name, reader in splits.items()}
    assert songs["train"].isdisjoint(songs["val"])
    assert sum(len(reader.keys) for reader in splits.values()) == 3
    clip = splits["train"].clip(0)
    assert clip.video is not None
    assert clip.mask is not None
    assert clip.audio is not None
    assert not (out / ".work").exists()
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json", "train", "val"]


def test_again_does_nothing_and_other_settings_are_refused(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    folder, out = video("a.mp4", 1.5).parent, tmp_path / "out"
    first = prepare_videos(folder, out, SETTINGS, detector=detector, split=SplitChoice("frames"))
    assert first.clips == {"train": 1, "val": 1, "test": 1}
    looked = detector.looked_at
    again = prepare_videos(folder, out, SETTINGS, detector=detector, split=SplitChoice("frames"))
    assert again.finished_before
    assert again.videos == first.videos
    assert detector.looked_at == looked
    with pytest.raises(XDancerError, match=r"already holds train, val, test .*--overwrite"):
        prepare_videos(folder, out, SETTINGS, detector=detector, split=SplitChoice("song"))
    assert detector.looked_at == looked
    report = prepare_videos(folder, out, SETTINGS, detector=detector, split=SplitChoice("song"), overwrite=True)
    assert report.clips == {"train": 1}
    assert not (out / "val").exists()


def test_interrupted_work_is_continued(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    video("a.mp4", 1.5)
    folder, out = video("b.mp4", 1.2).parent, tmp_path / "out"

    def stop(what: str, done: int, total: int, remark: str) -> None:
        if what == "clips" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_videos(folder, out, SETTINGS, detector=detector, progress=stop)
    looked = detector.looked_at
    assert looked == 36
    report = prepare_videos(folder, out, SETTINGS, detector=detector, keep_work=True)
    assert detector.looked_at == looked + 29
    assert report.accepted == 2
    assert len(list((out / ".work").glob("*.npz"))) == 2
    video("c.mp4", 1.0)
    looked = detector.looked_at
    prepare_videos(folder, out, SETTINGS, detector=detector, overwrite=True)
    assert detector.looked_at == looked + 24  # only the new video


def test_equal_runs_give_equal_clips(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    folder = video("a.mp4", 1.5).parent
    for name in ("x", "y"):
        prepare_videos(folder, tmp_path / name, SETTINGS, detector=detector)
    tars = [(tmp_path / name / "train" / "shard-000000.tar").read_bytes() for name in ("x", "y")]
    assert tars[0] == tars[1]


def test_only_bad_videos(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    video("mute.mp4", 1.5, sound=False)
    folder = video("brief.mp4", 0.5).parent
    with pytest.raises(XDancerError, match=r"none of 2 videos could be used \(brief\.mp4: too short.*mute\.mp4: no sound") as error:
        prepare_videos(folder, tmp_path / "out", SETTINGS, detector=detector)
    assert not (tmp_path / "out" / "train").exists()
    assert f"All reasons, with pictures: {tmp_path / 'out/report.html'}." in str(error.value)
    assert (tmp_path / "out/report.html").is_file()
    video("good.mp4", 1.5)
    assert prepare_videos(folder, tmp_path / "out", SETTINGS, detector=detector).accepted == 1


def test_shards_keep_their_report_where_a_run_over_them_finds_nothing(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    good = video("good.mp4", 1.5)
    prepare_videos(good.parent, tmp_path / "out", SETTINGS, detector=detector)
    before = (tmp_path / "out/report.html").read_bytes()
    good.unlink()
    video("brief.mp4", 0.5)
    with pytest.raises(XDancerError, match="none of 1 videos") as error:
        prepare_videos(good.parent, tmp_path / "out", SETTINGS, detector=detector, overwrite=True)
    assert "report.html" not in str(error.value)
    assert (tmp_path / "out/report.html").read_bytes() == before


def test_an_unexpected_failure_costs_one_video(
    video: Callable[..., Path], tmp_path: Path, detector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    video("a.mp4", 1.5)
    folder = video("b.mp4", 1.0).parent
    track = type(detector).track

    def fail_on_long(self: Any, frames: Any) -> Any:
        frames = list(frames)
        if len(frames) > 30:
            raise RuntimeError("graph has errors")
        return track(self, frames)

    monkeypatch.setattr(type(detector), "track", fail_on_long)
    report = prepare_videos(folder, tmp_path / "out", SETTINGS, detector=detector)
    assert report.videos[0].reasons == ("unexpected RuntimeError: graph has errors",)
    assert report.accepted == 1


def test_failures_are_tried_again(video: Callable[..., Path], tmp_path: Path, detector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = video("a.mp4", 1.5).parent, tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(type(detector), "track", lambda self, frames: 1 / 0)
        with pytest.raises(XDancerError, match="unexpected ZeroDivisionError"):
            prepare_videos(folder, out, SETTINGS, detector=detector)
    assert prepare_videos(folder, out, SETTINGS, detector=detector).accepted == 1


@pytest.mark.parametrize("value", [np.nan, 1e39])
def test_a_clip_that_shards_refuse_costs_one_video(
    video: Callable[..., Path], tmp_path: Path, detector: Any, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    video("a.mp4", 1.5)
    folder = video("b.mp4", 1.0).parent

    def spoiled(cut: Any, settings: Any, finder: Any) -> ClipSample:
        sample = prepare_clip(cut, settings, finder)
        return sample if cut.source.name == "b.mp4" else replace(sample, features={"librosa": sample.features["librosa"] * np.float64(value)})

    monkeypatch.setattr(work, "prepare_clip", spoiled)
    report = prepare_videos(folder, tmp_path / "out", SETTINGS, detector=detector)
    assert "'librosa' does not fit float32" in report.videos[0].reasons[0]
    assert report.accepted == 1


def test_finished_clips_take_the_songs_of_now(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    path, out = video("a.mp4", 1.5), tmp_path / "out"
    prepare_videos(path.parent, out, SETTINGS, detector=detector, keep_work=True)
    looked = detector.looked_at
    groups = tmp_path / "groups.csv"
    groups.write_text("video,song\na,Thriller\n")
    (path.parent / "sub").mkdir()
    path.rename(path.parent / "sub" / path.name)
    prepare_videos(path.parent, out, SETTINGS, detector=detector, groups=groups, overwrite=True)
    assert detector.looked_at == looked
    meta = ShardReader(out / "train").meta(0)
    assert (meta["song"], meta["identity"], meta["source"]) == ("Thriller", "sub/a", "sub/a.mp4 0.000–1.467 s")


def test_copies_of_a_video_are_taken_once(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    path = video("a.mp4", 1.5)
    for copy in ("copy.mp4", "sub/a.mp4"):
        (path.parent / copy).parent.mkdir(exist_ok=True)
        (path.parent / copy).write_bytes(path.read_bytes())
    report = prepare_videos(path.parent, tmp_path / "out", SETTINGS, detector=detector)
    assert report.clips == {"train": 1}
    assert [entry.line for entry in report.videos[1:]] == [f"{name}: left out: same file as a.mp4" for name in ("copy.mp4", "sub/a.mp4")]


def test_another_licence_is_other_output(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    folder, out = video("a.mp4", 1.0).parent, tmp_path / "out"
    prepare_videos(folder, out, SETTINGS, detector=detector)
    with pytest.raises(XDancerError, match="of other videos, settings or licence"):
        prepare_videos(folder, out, SETTINGS, detector=detector, licence="CC0")
    prepare_videos(folder, out, SETTINGS, detector=detector, licence="CC0", overwrite=True)
    assert ShardReader(out / "train").manifest.licence == "CC0"


def test_a_full_disk_keeps_the_finished(video: Callable[..., Path], tmp_path: Path, detector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    video("a.mp4", 1.5)
    folder, out = video("b.mp4", 1.2).parent, tmp_path / "out"
    save, calls = cache.write_bytes, []

    def full(path: Path, content: bytes) -> None:
        calls.extend([path] * (path.suffix == ".npz"))
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        save(path, content)

    monkeypatch.setattr(cache, "write_bytes", full)
    with pytest.raises(XDancerError, match="No space left on device"):
        prepare_videos(folder, out, SETTINGS, detector=detector)
    assert len(list((out / ".work").glob("*.npz"))) == 1
    assert prepare_videos(folder, out, SETTINGS, detector=detector).accepted == 2


def test_wrong_places_and_numbers(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    folder = video("a.mp4", 1.0).parent
    (tmp_path / "file").write_text("x")
    with pytest.raises(XDancerError, match="file: cannot be used as a folder"):
        prepare_videos(folder, tmp_path / "file", SETTINGS, detector=detector)
    with pytest.raises(XDancerError, match="--workers -1"):
        Execution(workers=-1)
    with pytest.raises(XDancerError, match="--clip-timeout 0"):
        Execution(clip_timeout=0.0)
    with pytest.raises(XDancerError, match="--ray-address auto: belongs to --engine ray"):
        Execution(ray_address="auto")
    with pytest.raises(XDancerError, match="--workers 0 --engine ray"):
        Execution(workers=0, engine="ray")
