"""Videos beside pose files, EDGE and FineDance: recognised, imported where their poses are 2D, refused with the next step where not."""

import csv
import importlib.util
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xdancer import media
from xdancer.__main__ import main
from xdancer.data.reader import ShardReader
from xdancer.errors import XDancerError
from xdancer.importers import dances
from xdancer.importers.layouts import pose_folder, recognise
from xdancer.prepare.sources import find_videos, read_groups

_spec = importlib.util.spec_from_file_location("pose_writers", Path(__file__).parents[1] / "support" / "pose_writers.py")
assert _spec is not None
assert _spec.loader is not None
writers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(writers)
HEIGHT, WIDTH, RATE, FPS, FRAMES = 48, 64, 44100, 24.0, 36
"""Small pictures of the aspect of the writers' (640×480): their shares of the picture fit, their pixels do not."""


def small(content: list) -> list:
    """JSON of 640×480 in the pixels of 64×48."""
    for person in content:
        person["keypoints"] = [[x / 10, y / 10, score] if score > 0 else [-1, -1, -1] for x, y, score in person["keypoints"]]
    return content


def clicks(seconds: float = 2.0) -> np.ndarray:
    """A click at 0.5, 1 and 1.5 s."""
    wave = np.zeros(round(seconds * RATE), np.float32)
    for moment in (0.5, 1.0, 1.5):
        place = wave[round(moment * RATE) : round(moment * RATE) + 400]
        place[:] = 0.8 * np.sin(np.arange(len(place)) * 0.3)
    return wave


def video(path: Path, *, frames: int = FRAMES, sound: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [np.full((HEIGHT, WIDTH, 3), 5 * number, np.uint8) for number in range(frames)]
    media.write_video(path, pictures, fps=FPS, audio=clicks(frames / FPS) if sound else None, sample_rate=RATE)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four videos with pose files of four systems, in MusePose's names."""
    pose = writers.dance(frames=FRAMES)
    for name in ("muse", "animate", "disco", "own"):
        video(tmp_path / f"videos/{name}.mp4")
    place = tmp_path / "videos_dwpose_keypoints"
    writers.write(place / "muse.npy", writers.musepose(pose))
    writers.write(place / "animate.pkl", writers.animate_x(pose))
    writers.folder(place / "disco", {f"{number:04d}.json": small(writers.disco(pose[number])) for number in range(FRAMES)})
    writers.write(place / "own.npy", pose.astype(np.float32))
    for name in ("muse", "own"):
        video(tmp_path / f"videos_dwpose/{name}.mp4", frames=2, sound=False)
    return tmp_path


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command, and what it printed or why it refused."""

    def command(*arguments: str, code: int = 0, name: str = "dataset") -> str:
        out = () if name == "labels" else ("--out", str(tmp_path / "out"), "--min-seconds", "1")
        assert main(["import", name, *arguments, *out]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return command


def metas(out: Path) -> dict[str, dict]:
    """By the dance's name."""
    found = {}
    for split in sorted(path for path in out.iterdir() if path.is_dir()):
        reader = ShardReader(split)
        found |= {reader.meta(number)["source"].split()[0]: reader.meta(number) | {"split": split.name} for number in range(len(reader))}
    return found


def left_out(out: Path) -> dict[str, str]:
    return json.loads((out / "import.json").read_text())["left_out"]


def test_pose_files_beside_videos_need_no_detector(folder: Path, run: Callable[..., str], quick: None) -> None:
    assert "4 of 4 dances imported (videos); clips: train 2, val 1, test 1" in run(str(folder), "--features", "librosa")
    found = metas(folder / "out")
    known = {name: (meta["detector"], meta["confidence"]) for name, meta in found.items()}
    assert known == {
        "muse.mp4": ("musepose file", "absent"), "animate.mp4": ("animate-x file", "absent"),
        "disco.mp4": ("disco file", "measured"), "own.mp4": ("xdancer file", "measured"),
    }  # fmt: skip
    assert len({meta["song"] for meta in found.values()}) == 4
    train = ShardReader(folder / "out/train")
    assert train.meta(0)["quality"]["native_fps"] == 24
    assert train.meta(0)["beats"] == [0.5, 1.0]
    assert len(train.pose(0, 0, 44)) == 44  # 35 steps of 1/24 s
    assert main(["shards", "verify", str(folder / "out")]) == 0
    notes = json.loads((folder / "out/import.json").read_text())["notes"]
    assert "no confidences in the file: 1 stands for there, 0 for missing" in notes["muse.mp4"]


def test_the_sound_is_the_videos_from_the_clips_first_frame_on(folder: Path, run: Callable[..., str], quick: None) -> None:
    pose = writers.dance(frames=FRAMES)
    pose[:6, :, 2] = 0  # nobody in the first quarter of a second
    writers.write(folder / "videos_dwpose_keypoints/own.npy", pose.astype(np.float32))
    run(str(folder), "--features", "librosa", "--val", "0", "--test", "0")
    reader = ShardReader(folder / "out/train")
    key = next(number for number in range(len(reader)) if reader.meta(number)["source"].startswith("own"))
    assert reader.meta(key)["span"][0] == 0.25
    sound = media.read_audio(reader.member(key, "audio.m4a"), sample_rate=RATE)
    assert np.abs(np.flatnonzero(np.abs(sound) > 0.3)[0] / RATE - 0.25) < 0.003  # the click at 0.5 s


def test_what_cannot_be_used_is_left_out_and_the_others_go_on(folder: Path, run: Callable[..., str], quick: None) -> None:
    place = folder / "videos_dwpose_keypoints"
    (place / "muse.npy").write_bytes((place / "muse.npy").read_bytes()[:3000])
    writers.write(place / "animate.pkl", writers.Runs(folder / "marker"))
    for name in ("drawn", "none", "longer", "silent"):
        video(folder / f"videos/{name}.mp4", sound=name != "silent")
    video(place / "drawn.mp4", frames=2)
    writers.write(place / "longer.npy", writers.dance(frames=FRAMES + 9).astype(np.float32))
    writers.write(place / "silent.npy", writers.dance(frames=FRAMES).astype(np.float32))
    (folder / "videos/broken.mp4").write_bytes((folder / "videos/muse.mp4").read_bytes()[:900])
    writers.write(place / "broken.npy", writers.dance(frames=FRAMES).astype(np.float32))
    assert "2 of 9 dances imported" in run(str(folder), "--features", "librosa")
    reasons = {
        "muse.mp4": "a damaged pickle", "animate.mp4": "the pickle asks for", "drawn.mp4": "videos of drawn skeletons",
        "none.mp4": "no pose file of this name", "longer.mp4": "45 poses for 36 pictures", "silent.mp4": "holds no sound",
        "broken.mp4": "cannot be read as video",
    }  # fmt: skip
    found = left_out(folder / "out")
    assert set(found) == set(reasons)
    for name, words in reasons.items():
        assert words in found[name]
    assert not (folder / "marker").exists()


def test_a_rate_of_the_pose_files_and_songs_of_several_videos(folder: Path, run: Callable[..., str]) -> None:
    place = folder / "videos_dwpose_keypoints"
    for name in ("own", "muse"):
        writers.write(place / f"{name}.npy", writers.dance(frames=45).astype(np.float32))
    (folder / "songs.csv").write_text("video,song\nown,one\nmuse,one\n")
    run(str(folder), "--features", "none", "--pose-fps", "30", "--groups", str(folder / "songs.csv"))
    found = metas(folder / "out")
    assert found["own.mp4"]["song"] == found["muse.mp4"]["song"] == "one"
    assert found["own.mp4"]["split"] == found["muse.mp4"]["split"]
    assert found["own.mp4"]["quality"]["native_fps"] == 30


def test_which_folder_holds_the_poses(folder: Path, run: Callable[..., str]) -> None:
    videos = folder / "videos"
    assert pose_folder(videos, find_videos(videos)) == folder / "videos_dwpose_keypoints"
    videos.rename(folder / "ubc")
    (folder / "videos_dwpose_keypoints").rename(folder / "ubc_dwpose_keypoints")
    assert "4 of 4" in run(str(folder / "ubc"), "--features", "none", "--val", "0")
    for path in ("ubc_a", "ubc_b"):
        writers.write(folder / path / "own.npy", writers.dance().astype(np.float32))
    (folder / "ubc_dwpose_keypoints").rename(folder / "elsewhere")
    with pytest.raises(XDancerError, match=r"ubc_a and .*ubc_b. Say which with --poses DIR"):
        pose_folder(folder / "ubc", find_videos(folder / "ubc"))


def test_drawn_skeletons_are_refused_with_the_next_step(folder: Path, run: Callable[..., str]) -> None:
    (folder / "videos_dwpose_keypoints").rename(folder.parent / f"{folder.name}-away")
    drawn = run(str(folder), "--features", "none", code=2)
    assert "videos_dwpose holds videos of drawn skeletons" in drawn
    assert "run `xdancer prepare` on the videos" in drawn
    assert run(str(folder), "--poses", str(folder / "videos_dwpose"), code=2) == drawn
    for path in (folder / "videos_dwpose").iterdir():
        path.unlink()
    assert "no folder of pose files beside it. Give one with --poses DIR" in run(str(folder), code=2)
    assert not (folder / "out").exists()


def test_nothing_stays_of_an_import_that_fails(folder: Path, run: Callable[..., str], quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = dances.ShardWriter._commit, []

    def fails(writer: dances.ShardWriter) -> None:
        calls.append(writer.split)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(writer)

    monkeypatch.setattr(dances.ShardWriter, "_commit", fails)
    assert "No space left on device" in run(str(folder), "--features", "librosa", code=2)
    assert len(calls) == 2
    assert not [path for path in (folder / "out").rglob("*") if path.is_file()]


def edge(folder: Path) -> Path:
    """One AIST++ dance in two slices and another one."""
    for name in ("gBR_sBM_cAll_d04_mBR0_ch01_slice0", "gBR_sBM_cAll_d04_mBR0_ch01_slice1", "mine_slice0"):
        place = folder / "train/wavs_sliced"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.wav").write_bytes(media.encode_audio(clicks(), RATE))  # content tells the kind
        motion = {"pos": np.zeros((45, 3)), "q": np.zeros((45, 72)), "marker": writers.Runs(folder / "marker")}
        writers.write(folder / f"train/motions_sliced/{name}.pkl", motion)
    return folder


def test_edge_needs_2d_poses(tmp_path: Path, run: Callable[..., str], quick: None) -> None:
    refused = run(str(edge(tmp_path)), code=2)
    assert "EDGE's motions_sliced/*.pkl (pos, q) are rotations of a body model's bones (SMPL)" in refused
    assert "xdancer import dataset ANNOTATIONS --music WAVS" in refused
    for path in (tmp_path / "train/wavs_sliced").iterdir():
        writers.write(tmp_path / f"found/{path.stem}.npy", writers.dance(frames=45).astype(np.float32))
    assert "Give --pose-fps" in run(str(tmp_path), "--poses", str(tmp_path / "found"), code=2)
    run(str(tmp_path), "--poses", str(tmp_path / "found"), "--pose-fps", "30", "--features", "librosa")
    found = metas(tmp_path / "out")
    assert sorted(meta["song"] for meta in found.values()) == ["mBR0", "mBR0", "mine"]
    assert len({meta["split"] for meta in found.values() if meta["song"] == "mBR0"}) == 1
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("kind", "flags", "words"),
    [
        ("videos", ("--music", "songs"), "--music: belongs to the layout aist"),
        ("videos", ("--cameras", "2"), "--cameras: belongs to the layout aist"),
        ("videos", ("--official-splits",), "--official-splits: belongs"),
        ("aist", ("--poses", "found"), "--poses: belongs to the layout videos, edge and finedance"),
        ("aist", ("--pose-fps", "30"), "--pose-fps: belongs"),
        ("edge", ("--groups", "songs.csv"), "--groups: belongs to the layout videos"),
        ("edge", ("--poses", "found"), "no wavs_sliced/ with the songs"),
        ("finedance", ("--poses", "found"), "no music_wav/ with the songs"),
    ],
)
def test_flags_of_another_layout_and_missing_songs_are_said(
    tmp_path: Path, run: Callable[..., str], kind: str, flags: tuple[str, ...], words: str
) -> None:
    words_said = run(str(tmp_path), "--layout", kind, *flags, code=2)
    assert words in words_said
    assert len(words_said.splitlines()) == 1


def finedance(folder: Path) -> Path:
    """Two dances to one song and one to another."""
    for name, song in (("001", "Red"), ("002", "Red"), ("010", "Blue, 2")):
        writers.write(folder / f"label_json/{name}.json", {"name": song, "style1": "Street", "style2": "Popping"})
        writers.write(folder / f"motion/{name}.npy", np.zeros((45, 315)))
        (folder / "music_wav").mkdir(exist_ok=True)
        (folder / f"music_wav/{name}.wav").write_bytes(media.encode_audio(clicks(), RATE))
    return folder


def test_finedance_gives_songs_for_prepare_and_sound_for_2d_poses(tmp_path: Path, run: Callable[..., str]) -> None:
    refused = run(str(finedance(tmp_path)), code=2)
    assert "FineDance's motion/*.npy (315 or 319 numbers a frame) are rotations" in refused
    assert f"xdancer import labels {tmp_path} --out songs.csv" in refused
    table = tmp_path / "songs.csv"
    run(str(tmp_path), "--out", str(table), name="labels")
    rows = list(csv.reader(table.read_text().splitlines()))
    assert rows == [["video", "song", "style"], ["001", "Red", "Popping"], ["002", "Red", "Popping"], ["010", "Blue, 2", "Popping"]]
    for name in ("002", "010"):
        video(tmp_path / f"videos/{name}.mp4", frames=2)
    run(str(tmp_path), "--out", str(table), "--videos", str(tmp_path / "videos"), name="labels")
    names = {source.path: source.name for source in find_videos(tmp_path / "videos")}
    assert read_groups(table, names) == {"002.mp4": "Red", "010.mp4": "Blue, 2"}
    for name in ("001", "002"):
        content = writers.animate_x(writers.dance(frames=45)) | {"fps": 30}
        writers.write(tmp_path / f"found/{name}.pkl", content)
    run(str(tmp_path), "--poses", str(tmp_path / "found"), "--features", "none")
    assert {meta["song"]: meta["style"] for meta in metas(tmp_path / "out").values()} == {"Red": "Popping"}
    assert list(left_out(tmp_path / "out")) == ["010"]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"name": ""}', b'{"name": 3}', pickle.dumps({"name": "x"})])
def test_labels_that_are_none_are_refused(content: bytes, tmp_path: Path) -> None:
    (finedance(tmp_path) / "label_json/002.json").write_bytes(content)
    assert main(["import", "labels", str(tmp_path), "--out", str(tmp_path / "songs.csv")]) == 2
    assert not (tmp_path / "songs.csv").exists()


def test_layouts_are_recognised_by_their_folders(folder: Path, tmp_path: Path) -> None:
    assert recognise(folder) == "videos"
    assert recognise(folder / "videos") == "videos"
    (tmp_path / "aist/annotations/keypoints2d").mkdir(parents=True)
    assert recognise(tmp_path / "aist") == recognise(tmp_path / "aist/annotations") == "aist"
    assert recognise(edge(tmp_path / "edge")) == "edge"
    assert recognise(finedance(tmp_path / "fine")) == "finedance"
    for path in (tmp_path / "fine/motion", tmp_path / "none"):
        with pytest.raises(XDancerError, match="Known are: videos/ beside a folder of pose files"):
            recognise(path)
