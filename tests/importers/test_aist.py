"""AIST++ as shards: what a camera saw, which files are left out and why, whose songs train."""

import json
import pickle
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.data.poses import PoseFrames
from xdancer.data.reader import ShardReader
from xdancer.errors import XDancerError
from xdancer.importers.aist import aist_dances, official_splits, read_view
from xdancer.skeleton import BODY, LEFT_HAND, LEFT_SHOULDER, NECK, RIGHT_SHOULDER

FRAMES = 90
SONGS = ("mBR0", "mPO1", "mLO2", "mMH3")


def flicker(frames: int, start: int) -> np.ndarray:
    """Confidences of .9 in every second frame from `start` on, .5 between."""
    return np.where((np.arange(frames) - start) % 2, np.float32(0.5), np.float32(0.9))


def keypoints(frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    """(9, frame, 17, 3): a body that sways, camera 2 sees it 100 pixels further right, camera 6 nobody."""
    rng = np.random.default_rng(seed)
    body = rng.uniform((800, 200, 0.4), (1100, 900, 0.9), (17, 3)) + np.zeros((9, frames, 17, 3))
    body[..., 0] += 50 * np.sin(np.arange(frames) / 10)[:, None]
    body[1, ..., 0] += 100
    body[5] = np.nan
    return body.astype(np.float32)


def file(path: Path, points: np.ndarray, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = points.shape[1]
    content = {"keypoints2d": points, "det_scores": np.ones((9, frames), np.float32), "timestamps": np.arange(frames) * 1000 // 60}
    path.write_bytes(pickle.dumps(content | changes))
    return path


def far() -> np.ndarray:
    """One keypoint lies beyond any picture."""
    points = keypoints()
    points[:, :, 3, 0] = 1e30
    return points


def song(path: Path, seconds: float = 3.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.sin(np.arange(round(seconds * 8000)) * 0.4) * (np.arange(round(seconds * 8000)) % 4000 < 400)
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes((sound * 20000).astype("<i2").tobytes())
    return path


def name(music: str, dancer: int = 4, chapter: int = 1) -> str:
    return f"g{music[1:3]}_sBM_cAll_d{dancer:02d}_{music}_ch{chapter:02d}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four songs and five sequences."""
    for number, music in enumerate(SONGS):
        file(tmp_path / f"annotations/keypoints2d/{name(music)}.pkl", keypoints(seed=number))
        song(tmp_path / f"wavs/{music}.wav")
    file(tmp_path / f"annotations/keypoints2d/{name('mBR0', dancer=5)}.pkl", keypoints(seed=9))
    return tmp_path


def run(folder: Path, *flags: str) -> int:
    music = () if "--music" in flags or "none" in flags else ("--music", str(folder / "wavs"))
    out = () if "--out" in flags else ("--out", str(folder / "out"))
    return main(["import", "dataset", str(folder), *out, "--min-seconds", "1", *music, *flags])


def test_a_view_is_coco_with_a_neck_and_without_hands(tmp_path: Path) -> None:
    points = keypoints()
    points[0, 3, 5] = np.nan  # a shoulder
    points[0, 4, :, 2] = 0
    seen = read_view(file(tmp_path / f"{name('mBR0')}.pkl", points), 1)
    assert (seen.size, seen.measured, seen.origin) == ((1080, 1920), True, "AIST++ keypoints2d")
    np.testing.assert_allclose(seen.times, np.arange(FRAMES) / 60)
    np.testing.assert_allclose(seen.pixels[0, LEFT_SHOULDER], points[0, 0, 5])
    np.testing.assert_allclose(seen.pixels[0, RIGHT_SHOULDER], points[0, 0, 6])
    np.testing.assert_allclose(seen.pixels[0, NECK, :2], points[0, 0, 5:7, :2].mean(0))
    assert seen.pixels[3, [NECK, LEFT_SHOULDER], 2].tolist() == [0, 0]
    assert not seen.pixels[4, BODY, 2].any()
    assert not seen.pixels[:, LEFT_HAND, 2].any()
    other = read_view(tmp_path / f"{name('mBR0')}.pkl", 2)
    np.testing.assert_allclose(other.pixels[0, BODY, 0] - seen.pixels[0, BODY, 0], 100, atol=1e-3)
    with pytest.raises(XDancerError, match="nobody is seen by camera 6"):
        read_view(tmp_path / f"{name('mBR0')}.pkl", 6)


def test_missing_frames_leave_a_gap_whatever_the_unit_of_the_time_stamps(tmp_path: Path) -> None:
    kept = np.delete(np.arange(FRAMES), [10, 11, 40])
    for unit in (1, 1000 / 60, 1e6 / 60):
        path = file(tmp_path / f"{unit:.0f}.pkl", keypoints()[:, kept], timestamps=np.round(kept * unit).astype(np.int64))
        np.testing.assert_allclose(read_view(path, 1).times, kept / 60)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keypoints2d": [[np.zeros((1, 133, 3))]]}, r"keypoints2d is list, needed are numbers \(9, frames, 17, 3\)"),
        ({"keypoints2d": keypoints()[..., :2]}, r"keypoints2d is float32 \(9, 90, 17, 2\)"),
        ({"keypoints2d": keypoints()[:3]}, "3 cameras and 90 frames"),
        ({"timestamps": np.arange(5)}, "timestamps do not fit 90 frames"),
        ({"timestamps": np.zeros(FRAMES)}, "timestamps do not ascend"),
        ({"timestamps": np.append(np.arange(FRAMES - 1), 10**15)}, "timestamps leave out more than half"),
        ({"keypoints2d": keypoints() * 4}, "confidences up to 3"),
        ({"keypoints2d": keypoints() * (4, 4, 1)}, "of the keypoints lie outside of a picture of 1920×1080"),
        ({"keypoints2d": far()}, "6% of the keypoints lie outside of a picture of 1920×1080, the size of AIST's videos, as far as 1e\\+30"),
    ],
)
def test_files_of_another_layout_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(XDancerError, match=words):
        read_view(file(tmp_path / "a.pkl", keypoints(), **changes), 1)


class Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_the_command_writes_shards_and_says_what_it_left_out(folder: Path, capsys: pytest.CaptureFixture[str], quick: None) -> None:
    place = folder / "annotations/keypoints2d"
    (place / f"{name('mPO1', dancer=7)}.pkl").write_bytes((place / f"{name('mPO1')}.pkl").read_bytes()[:5000])
    file(place / f"{name('mPO1', dancer=8)}.pkl", keypoints(), timestamps=Runs(folder / "marker"))
    file(place / f"{name('mWA0')}.pkl", keypoints())
    file(place / f"{name('mPO1', dancer=9)}.pkl", keypoints(frames=30))
    file(place / "mine.pkl", keypoints())
    (folder / "annotations/ignore_list.txt").write_text(f"{name('mLO2')}\n")
    assert run(folder, "--features", "librosa", "--cameras", "1,5") == 0
    assert "7 of 18 dances imported (aist)" in capsys.readouterr().out
    left_out = json.loads((folder / "out/import.json").read_text())["left_out"]
    reasons = {
        "gPO_sBM_c01_d07_mPO1_ch01": "a damaged pickle", "gPO_sBM_c01_d08_mPO1_ch01": "the pickle asks for",
        "gWA_sBM_c01_d04_mWA0_ch01": "no sound of this name", "gPO_sBM_c01_d09_mPO1_ch01": "0.5 s of poses with sound, --min-seconds is 1",
        "mine": "its name is none of AIST++", "gLO_sBM_cAll_d04_mLO2_ch01": "ignore_list.txt", "gBR_sBM_c05_d04_mBR0_ch01": "not in time",
    }  # fmt: skip
    for dance, words in reasons.items():
        assert words in left_out[dance]
    assert not (folder / "marker").exists()
    songs = []
    for split in ("train", "val", "test"):
        reader = ShardReader(folder / "out" / split)
        metas = [reader.meta(number) for number in range(len(reader))]
        songs += {meta["song"] for meta in metas}
        assert reader.features == ["librosa"]
        assert sum(PoseFrames(reader).shard_sizes) == 45 * len(reader)
        for meta in metas:
            assert (meta["confidence"], meta["identity"][0], meta["width"], meta["height"]) == ("measured", "d", 512, 896)
            assert meta["style"] == {"mBR0": "break", "mPO1": "pop", "mMH3": "middle hip-hop"}[meta["song"]]
    assert len(songs) == len(set(songs))  # no song lies in two splits
    assert main(["shards", "verify", str(folder / "out")]) == 0
    assert run(folder) == 2
    assert "already holds shards" in capsys.readouterr().err


def test_every_second_frame_of_the_camera_is_a_frame_of_the_clip(folder: Path) -> None:
    assert run(folder, "--features", "none", "--val", "0", "--test", "0") == 0
    reader = ShardReader(folder / "out/train")
    assert reader.features == []
    key = next(number for number in range(len(reader)) if reader.meta(number)["song"] == "mMH3")
    pose, points = reader.pose(key, 0, 45), keypoints(seed=3)[0, ::2]
    scale = (points[0, 15, 1] - points[0, 0, 1]) / (pose[0, 13, 1] - pose[0, 0, 1])  # left ankle, nose
    np.testing.assert_allclose((pose[:, 0, 0] - pose[0, 0, 0]) * scale, points[:, 0, 0] - points[0, 0, 0], atol=0.02)
    np.testing.assert_allclose(pose[:, 0, 2], points[:, 0, 2])
    assert np.abs(pose[:, BODY, 1]).max() < 1  # framed by the window


def test_a_frame_keeps_its_own_confidence_wherever_the_clip_begins(folder: Path) -> None:
    for start in (1, 7, 31):  # 31/60 s is no binary fraction
        points = keypoints(frames=360 + start)
        points[:, :start] = np.nan
        points[..., 2] = np.where(np.isfinite(points[..., 0]), flicker(360 + start, start)[:, None], np.nan)
        for path in (folder / "annotations/keypoints2d").iterdir():
            file(path, points)
        assert run(folder, "--features", "none", "--val", "0", "--test", "0", "--out", str(folder / f"out-{start}")) == 0
        np.testing.assert_allclose(ShardReader(folder / f"out-{start}/train").pose(0)[:, 0, 2], 0.9)


@pytest.mark.slow
def test_the_music_of_a_clip_begins_with_its_first_frame(folder: Path) -> None:
    points = keypoints()
    points[:, :30] = np.nan  # the dance begins half a second after the song, which clicks every half second
    for path in (folder / "annotations/keypoints2d").iterdir():
        file(path, points)
    assert run(folder, "--features", "librosa,beat_phase") == 0
    reader = ShardReader(folder / "out/train")
    assert reader.meta(0)["span"] == [0.5, 1.5]
    onset = reader.feature(0, "librosa", 0, 30)[:, 0]
    assert set(np.flatnonzero(onset > 0.5 * onset.max()) % 15) <= {0, 1, 2, 14}
    assert reader.has(0, "audio.m4a")


def test_official_splits_keep_their_test_and_take_validation_from_training(folder: Path) -> None:
    place = folder / "annotations"
    (place / "splits").mkdir()
    lists = {"train": [name("mPO1"), name("mLO2")], "val": [name("mBR0")], "test": [name("mBR0", dancer=5)]}
    for split, names in lists.items():
        (place / f"splits/crossmodal_{split}.txt").write_text("\n".join(names))
    assert run(folder, "--official-splits", "--features", "none") == 0
    songs = {split: {ShardReader(folder / "out" / split).meta(0)["song"]} for split in ("train", "val", "test")}
    assert songs["test"] == {"mBR0"}
    assert songs["train"] | songs["val"] == {"mPO1", "mLO2"}
    left_out = json.loads((folder / "out/import.json").read_text())["left_out"]
    assert left_out["gBR_sBM_c01_d04_mBR0_ch01"] == "in crossmodal_val, whose songs are the test's"
    assert left_out["gMH_sBM_c01_d04_mMH3_ch01"] == "in none of the official music-to-dance splits"
    (place / "splits/crossmodal_train.txt").write_text(name("mBR0"))
    with pytest.raises(XDancerError, match="training and test share mBR0"):
        official_splits(place, aist_dances(place, {}, (1,))[0])


def test_what_is_missing_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["import", "dataset", str(folder), "--out", str(folder / "out")]
    for flags, words in (
        ((), "AIST++ holds no music. Give the folder of AIST's songs (mBR0.wav …) with --music"),
        (("--music", str(folder / "none")), "no such folder"),
        (("--music", str(folder / "annotations")), "holds no sound"),
        (("--features", "none", "--cameras", "0,10"), "--cameras 0,10: numbers from 1 to 9"),
        (("--features", "none", "--cameras", "6"), "none of 5 dances could be imported"),
        (("--features", "none", "--official-splits"), "crossmodal_train.txt: cannot be read"),
    ):
        assert main([*arguments, *flags]) == 2
        assert words in capsys.readouterr().err
    (folder / "annotations/keypoints2d").rename(folder / "annotations/motions")
    assert main([*arguments, "--features", "none"]) == 2
    assert "rotations of a body model's bones (SMPL)" in capsys.readouterr().err
    assert not (folder / "out").exists()
