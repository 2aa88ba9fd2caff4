"""Detectors by name, portraits without a person; MediaPipe itself where it is installed."""

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from xdancer import media
from xdancer.errors import MissingPackageError, PoseError, XDancerError
from xdancer.pose.detector import DetectedPose, PoseDetector, add_neck, detect_portrait, make_detector
from xdancer.skeleton import LEFT_HAND, LEFT_SHOULDER, NECK, RIGHT_SHOULDER


class FakeDetector(PoseDetector):
    """Sees everything but the left hand, only in bright pictures."""

    name, version, device = "fake", "1", "cpu"

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[DetectedPose]:
        for frame in frames:
            pixels = np.full((60, 3), 10, np.float32)
            pixels[:, 2] = 0.9 if frame.mean() > 100 else 0.0
            pixels[LEFT_HAND] = 0
            yield DetectedPose(pixels)


def test_neck_is_the_midpoint_with_the_smaller_confidence() -> None:
    body = np.zeros((60, 3), np.float32)
    body[LEFT_SHOULDER], body[RIGHT_SHOULDER] = (2, 4, 0.9), (6, 8, 0.3)
    add_neck(body)
    np.testing.assert_allclose(body[NECK], [4, 6, 0.3])


def test_portraits() -> None:
    pose = detect_portrait(np.full((40, 20, 3), 200, np.uint8), FakeDetector())
    np.testing.assert_allclose(pose[0], [0, -0.5, 0.9])
    with pytest.raises(PoseError, match=r"20×40.*finds none of 18.*--pose FILE"):
        detect_portrait(np.zeros((40, 20, 3), np.uint8), FakeDetector())


def test_a_short_video_at_once() -> None:
    found = FakeDetector().detect(np.full((3, 40, 20, 3), 200, np.uint8))
    assert found.pixels.shape == (3, 60, 3)
    assert found.mask is None
    np.testing.assert_array_equal(found.pixels[:, LEFT_HAND, :2], 10)  # held at its wrist


def test_wrong_names_and_flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(XDancerError, match="openpose: unknown detector"):
        make_detector("openpose")
    with pytest.raises(XDancerError, match="belong to --detector dwpose or rtmw"):
        make_detector("mediapipe", pose_weights=tmp_path)
    monkeypatch.setattr("xdancer.pose.mediapipe.REQUIREMENT", False)
    with pytest.raises(MissingPackageError, match=r"pip install 'xdancer\[pose\]'"):
        make_detector("mediapipe")
    monkeypatch.setattr("xdancer.pose.wholebody.REQUIREMENT", False)
    with pytest.raises(MissingPackageError, match=r"pip install 'xdancer\[wholebody\]'"):
        make_detector("dwpose")


def test_mediapipe_on_a_real_portrait(shared: Path) -> None:
    if find_spec("mediapipe") is None:
        pytest.skip("MediaPipe (extra `pose`) is not installed")
    pose = detect_portrait(media.read_image(shared / "data/portrait/woman_standing.jpg"))
    assert pose.shape == (60, 3)
    assert (pose[:, 2] > 0.5).all()
    assert pose[0, 1] < pose[NECK, 1] < pose[8, 1] < pose[9, 1] < pose[10, 1]  # nose, neck, hip, knee, ankle from top to bottom
    assert pose[RIGHT_SHOULDER, 0] < pose[LEFT_SHOULDER, 0]  # seen from the front
    with pytest.raises(PoseError, match="mediapipe finds none"):
        detect_portrait(np.full((300, 200, 3), 127, np.uint8))
