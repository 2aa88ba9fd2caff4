"""What is written to an evaluation folder is what is read; damage is one clear line."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.errors import XDancerError
from xdancer.evaluation import folder as ev
from xdancer.metrics.tables import MotionItem, VideoItem


def poses(frames: int = 8) -> np.ndarray:
    return np.random.default_rng(0).random((frames, 60, 3)).astype(np.float32)


def motion_item() -> MotionItem:
    return MotionItem("clip_1", poses(), poses(9), np.array([0.1, 0.6]), 120.0, swapped=poses(7), swapped_beats=np.array([0.3]))


def test_motion_items_round_trip(tmp_path: Path) -> None:
    item = motion_item()
    ev.write_motion_item(tmp_path, item)
    (read,) = ev.read_motion_items(tmp_path)
    for name in ("generated", "true", "beats", "swapped", "swapped_beats"):
        np.testing.assert_array_equal(getattr(read, name), getattr(item, name))
    assert (read.key, read.tempo) == ("clip_1", 120)
    assert sorted(path.name for path in (tmp_path / "motion").iterdir()) == [
        "clip_1.generated.npy", "clip_1.json", "clip_1.swapped.npy", "clip_1.true.npy",
    ]  # fmt: skip


def test_video_items_round_trip(tmp_path: Path) -> None:
    ramp = np.linspace(40, 200, 32).astype(np.uint8)
    frames = np.broadcast_to(ramp[None, :, None, None], (5, 32, 32, 3)).copy()
    mask = np.zeros((5, 32, 32), bool)
    mask[:, 8:24, 8:24] = True
    item = VideoItem("v-1", frames[0], frames, frames[::-1].copy(), mask, poses(5), mask[0], poses(1)[0], "who")
    ev.write_video_item(tmp_path, item)
    ev.write_training_mean(tmp_path, frames[0])
    (read,) = ev.read_video_items(tmp_path)
    np.testing.assert_array_equal(read.portrait, item.portrait)
    np.testing.assert_array_equal(read.portrait_mask, mask[0])
    np.testing.assert_array_equal(read.portrait_pose, item.portrait_pose)
    np.testing.assert_array_equal(read.pose, item.pose)
    assert np.abs(read.true.astype(int) - frames).max() <= 4
    assert (read.mask == mask).mean() > 0.99
    assert read.identity == "who"
    np.testing.assert_array_equal(ev.read_training_mean(tmp_path), frames[0])


def test_an_empty_folder_has_no_items(tmp_path: Path) -> None:
    assert ev.read_motion_items(tmp_path) == []
    assert list(ev.read_video_items(tmp_path)) == []
    assert ev.read_training_mean(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("clip_1.true.npy", b"", "not readable as a pose"),
        ("clip_1.json", b"{", "not readable as JSON"),
        ("clip_1.json", b"[]", "holds a list"),
        ("clip_1.json", b'{"beats": ["a"], "tempo": 1}', "needs a list of seconds"),
    ],
)
def test_damage_names_the_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    ev.write_motion_item(tmp_path, motion_item())
    (tmp_path / "motion" / name).write_bytes(content)
    with pytest.raises(XDancerError, match=f"{name}: .*{message}"):
        ev.read_motion_items(tmp_path)


def test_wrong_poses_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((4, 18, 3)))
    with pytest.raises(XDancerError, match=r"shape \(4, 18, 3\), needs \(frame, 60, 3\)"):
        ev.read_pose(path)
    np.save(path, np.full((4, 60, 3), np.nan))
    with pytest.raises(XDancerError, match="720 values are not finite"):
        ev.read_pose(path)
