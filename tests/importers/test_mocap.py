"""Motion capture as shards: what a camera sees, who stays with whom, and which files are refused."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.data.poses import PoseFrames
from xdancer.data.reader import ShardReader
from xdancer.importers.mocap import Camera, cameras, seen, split_groups
from xdancer.importers.takes import Take


def walk(frames: int = 120) -> np.ndarray:
    """A body of 1.8 m that steps two metres to the side."""
    joints = np.zeros((frames, 18, 3))
    for path, side in (((0, 1, 8, 9, 10), -0.1), ((0, 1, 11, 12, 13), 0.1)):
        joints[:, list(path), 1] = np.linspace(1.8, 0, 5)
        joints[:, list(path)[2:], 0] = side
    joints[:, [2, 3, 4], 0], joints[:, [5, 6, 7], 0] = [-0.2, -0.4, -0.6], [0.2, 0.4, 0.6]
    joints[:, 2:8, 1] = 1.4
    joints[:, 14:, 1] = 1.7
    return joints + np.linspace(0, 2, frames)[:, None, None] * np.array([1.0, 0, 0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dance.npz"
    np.savez(path, **{f"{subject}_{take:02d}": walk().astype(np.float16) for subject in ("60", "61") for take in range(6)})
    return path


def test_a_camera_keeps_the_body_whole_upright_and_to_scale() -> None:
    pose = seen(walk(), Camera(0.0, 1000.0, 1.0))  # from far away: no perspective
    assert np.abs(pose[..., :2]).max() <= 0.93
    assert (pose[:, 0, 1] < pose[:, 10, 1]).all()  # y down: the nose above the ankle
    height, width = pose[0, 10, 1] - pose[0, 0, 1], pose[0, 7, 0] - pose[0, 4, 0]
    assert height / width == pytest.approx(1.8 / 1.2, rel=1e-3)
    assert (pose[:, :18, 2] == 1).all()
    assert (pose[:, 18:, 2] == 0).all()
    assert np.array_equal(pose[:, 20, :2], pose[:, 7, :2])
    assert np.array_equal(pose[:, 50, :2], pose[:, 4, :2])


def test_from_behind_left_and_right_change_places() -> None:
    front, back = (seen(walk(2), Camera(yaw, 1000.0, 1.0)) for yaw in (0.0, np.pi))
    assert np.allclose(front[..., 0], -back[..., 0], atol=1e-3)
    assert np.allclose(front[..., 1], back[..., 1], atol=1e-3)


def test_dancers_of_one_recording_share_a_split() -> None:
    takes = [Take(f"{subject}_{number}", walk(2)) for subject in ("60", "61") for number in range(10)]
    splits = split_groups(takes, held_out=0.2, rng=np.random.default_rng(0))
    assert sorted(splits.values()) == ["test"] * 2 + ["train"] * 6 + ["val"] * 2
    assert len(cameras(3, np.random.default_rng(0))) == 3


def test_the_command_writes_shards_that_stage_one_reads(file: Path, tmp_path: Path, capsys) -> None:
    assert main(["import", "mocap", str(file), "--out", str(tmp_path / "data"), "--cameras", "2", "--style", "salsa"]) == 0
    assert "16 train + 4 val + 4 test clips" in capsys.readouterr().out
    reader = ShardReader(tmp_path / "data" / "train")
    assert reader.features == []
    assert reader.meta(0)["style"] == "salsa"
    assert sum(PoseFrames(reader).shard_sizes) == 16 * 120
    songs = [{ShardReader(tmp_path / "data" / split).meta(number)["song"] for number in range(4)} for split in ("val", "test")]
    assert not songs[0] & songs[1]


def test_too_few_recordings_write_nothing(tmp_path: Path, capsys) -> None:
    np.savez(tmp_path / "few.npz", a_1=walk(), b_1=walk())
    assert main(["import", "mocap", str(tmp_path / "few.npz"), "--out", str(tmp_path / "data")]) == 2
    assert "1 recordings (names end in _RECORDING) for 3 splits: at least three are needed" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
