"""Videos beside files of poses: clips without a detector, marked by what the files know; files of other videos cost one line each."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xdancer import media
from xdancer.data.shards import ShardReader
from xdancer.errors import XDancerError
from xdancer.pose.coordinates import to_normalised
from xdancer.prepare import Execution, Part, PrepareSettings, SplitChoice, merge_parts, prepare_part, prepare_videos
from xdancer.types import ClipSample

SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=1.0, min_person=50, features=("librosa",))
FRAMES = SplitChoice("frames", songs="name")
HERE = Execution(workers=0)
HEIGHT, WIDTH = 120, 160
pytestmark = pytest.mark.usefixtures("plain_page")


def seen(path: Path, detector: Any) -> np.ndarray:
    """What the detector finds in a video, (frame, 60, 3) in pixels."""
    return np.stack([found.pixels for found in detector.track(picture for _, picture in media.stream_video(path))])


def animate_x(pixels: np.ndarray, fps: float = 24.0) -> dict[str, Any]:
    points = np.where(pixels[..., 2:] > 0, pixels[..., :2] / (WIDTH, HEIGHT), -1.0)
    hands = np.stack([points[:, 18:39], points[:, 39:]], axis=1)
    return {"bodies": points[:, :18], "hands": hands, "size": (HEIGHT, WIDTH, 3), "fps": fps}


def clips(out: Path) -> list[ClipSample]:
    reader = ShardReader(out / "train")
    return [reader.clip(number) for number in range(len(reader.keys))]


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    folder = tmp_path / "videos_dwpose"
    folder.mkdir()
    return folder


def test_poses_of_files_are_what_the_detector_would_find(video: Callable[..., Path], poses: Path, tmp_path: Path, detector: Any) -> None:
    path = video("a.mp4", 2.0)
    pixels = seen(path, detector)
    np.save(poses / "a.npy", to_normalised(pixels, width=WIDTH, height=HEIGHT))
    prepare_videos(path.parent, tmp_path / "seen", SETTINGS, detector=detector, split=FRAMES)
    report = prepare_videos(path.parent, tmp_path / "read", SETTINGS, poses=poses, split=FRAMES, execution=HERE)
    assert report.detector == "pose files 1"
    wanted, found = clips(tmp_path / "seen"), clips(tmp_path / "read")
    assert len(found) == 2
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(other.pose, one.pose, atol=1e-4)
        assert other.video == one.video
        assert other.audio == one.audio
        assert other.mask is None
        assert (other.meta["detector"], other.meta["confidence"]) == ("xdancer file", "measured")


def test_absent_confidences_are_marked_and_parts_merge(video: Callable[..., Path], poses: Path, tmp_path: Path, detector: Any) -> None:
    folder = video("sub/a.mp4", 1.5).parent.parent
    (poses / "sub").mkdir()
    (poses / "sub/a.pkl").write_bytes(pickle.dumps(animate_x(seen(folder / "sub/a.mp4", detector))))
    video("b.mp4", 1.0)
    for index in range(2):
        prepare_part(folder, tmp_path / "parts", Part(index, 2), SETTINGS, poses=poses, split=FRAMES, execution=HERE)
    report = merge_parts([tmp_path / "parts"], tmp_path / "out")
    reasons = {row.video: row.reasons for row in report.videos}
    assert reasons["sub/a.mp4"] == ()
    assert reasons["b.mp4"] == (f"no poses of it at {poses}: no .npy, .pkl, .pickle, .json or folder of that name",)
    (clip,) = clips(tmp_path / "out")
    assert clip.meta["confidence"] == "absent"
    assert clip.meta["detector"] == "animate-x file"
    assert clip.meta["pose_notes"] == ["no confidences in the file: 1 stands for there, 0 for missing"]
    assert set(np.unique(clip.pose[..., 2])) == {0.0, 1.0}


def test_other_poses_make_another_clip(video: Callable[..., Path], poses: Path, tmp_path: Path, detector: Any) -> None:
    path = video("a.mp4", 1.0)
    pixels = seen(path, detector)
    np.save(poses / "a.npy", to_normalised(pixels, width=WIDTH, height=HEIGHT))
    prepare_videos(path.parent, tmp_path / "out", SETTINGS, poses=poses, split=FRAMES, execution=HERE)
    assert prepare_videos(path.parent, tmp_path / "out", SETTINGS, poses=poses, split=FRAMES, execution=HERE).finished_before
    (poses / "a.npy").unlink()
    frames = poses / "a"
    frames.mkdir()
    for number, points in enumerate(pixels):
        person = {"pose_keypoints_2d": points[:18].ravel().tolist()}
        (frames / f"a_{number:05d}_keypoints.json").write_text(json.dumps({"people": [person]}))
    with pytest.raises(XDancerError, match="of other videos, settings or licence"):
        prepare_videos(path.parent, tmp_path / "out", SETTINGS, poses=poses, split=FRAMES, execution=HERE)
    prepare_videos(path.parent, tmp_path / "out", SETTINGS, poses=poses, split=FRAMES, execution=HERE, overwrite=True)
    assert clips(tmp_path / "out")[0].meta["detector"] == "openpose file"


class Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_bad_files_cost_one_video_each(video: Callable[..., Path], poses: Path, tmp_path: Path, detector: Any) -> None:
    good = seen(video("good.mp4", 1.0), detector)
    folder = tmp_path / "videos"
    for name in ("cut", "evil", "long", "drawn", "wide", "slow"):
        (folder / f"{name}.mp4").write_bytes((folder / "good.mp4").read_bytes() + name.encode())  # other bytes, same pictures
    content = pickle.dumps(animate_x(good))
    (poses / "good.pkl").write_bytes(content)
    (poses / "cut.pkl").write_bytes(content[: len(content) // 2])
    (poses / "evil.pkl").write_bytes(pickle.dumps(animate_x(good) | {"extra": Runs(tmp_path / "marker")}))
    (poses / "long.pkl").write_bytes(pickle.dumps(animate_x(np.concatenate([good, good]))))
    (poses / "drawn.mp4").write_bytes(b"skeletons")
    (poses / "wide.pkl").write_bytes(pickle.dumps(animate_x(good) | {"size": (HEIGHT, 2 * WIDTH)}))
    (poses / "slow.pkl").write_bytes(pickle.dumps(animate_x(good[::2], fps=12.0)))
    report = prepare_videos(folder, tmp_path / "out", SETTINGS, poses=poses, split=FRAMES, execution=HERE)
    reasons = {row.video: "; ".join(row.reasons) for row in report.videos}
    assert report.accepted == 2, reasons
    assert "a damaged pickle" in reasons["cut.mp4"]
    assert "the pickle asks for 'posix.system'" in reasons["evil.mp4"]
    assert "48 poses at 24 per second for 24 pictures of 1.0 s: of another video" in reasons["long.mp4"]
    assert "drawn.mp4 is a video of drawn skeletons, which holds no keypoints" in reasons["drawn.mp4"]
    assert "poses of pictures of 320×120, the video has 160×120" in reasons["wide.mp4"]
    assert not (tmp_path / "marker").exists()


def test_a_folder_without_poses_is_refused(video: Callable[..., Path], poses: Path, tmp_path: Path) -> None:
    folder = video("a.mp4", 1.0).parent
    with pytest.raises(XDancerError, match=r"holds no poses of these 1 videos; none is named like a video, such as a\.npy\. Known are \.npy"):
        prepare_videos(folder, tmp_path / "out", SETTINGS, poses=poses, execution=HERE)
    (poses / "a.mp4").write_bytes(b"skeletons")
    with pytest.raises(XDancerError, match=r"a\.mp4 is a video of drawn skeletons"):
        prepare_videos(folder, tmp_path / "out", SETTINGS, poses=poses, execution=HERE)
    with pytest.raises(XDancerError, match="no such folder"):
        prepare_videos(folder, tmp_path / "out", SETTINGS, poses=tmp_path / "none")
