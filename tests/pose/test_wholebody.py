"""COCO-WholeBody → 60 keypoints, the person followed, and the messages; rtmlib is replaced by a small stand-in."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xdancer.errors import PoseError, XDancerError
from xdancer.pose import wholebody
from xdancer.pose.wholebody import WholeBodyDetector, choose_person, to_sixty
from xdancer.skeleton import KEYPOINT_NAMES, MIRROR

COCO = {
    "nose": 0, "left_eye": 1, "right_eye": 2, "left_ear": 3, "right_ear": 4, "left_shoulder": 5, "right_shoulder": 6, "left_elbow": 7,
    "right_elbow": 8, "left_wrist": 9, "right_wrist": 10, "left_hip": 11, "right_hip": 12, "left_knee": 13, "right_knee": 14, "left_ankle": 15,
    "right_ankle": 16, "left_hand_wrist": 91, "left_hand_little_4": 111, "right_hand_wrist": 112, "right_hand_little_4": 132,
}  # fmt: skip


class Network:
    """Stands for rtmlib's YOLOX and RTMPose: finds what the first pixel of the picture says."""

    shape: tuple[Any, ...] = (1, 3, 384, 288)
    keypoints = 133

    def __init__(self, path: str, *, model_input_size: tuple[int, int], backend: str, device: str) -> None:
        if Path(path).read_bytes() != b"good":
            raise RuntimeError("not ONNX")
        print("load", path)
        self.model_input_size, self.device = model_input_size, device
        self.session = SimpleNamespace(get_inputs=lambda: [SimpleNamespace(shape=self.shape)])

    def __call__(self, image: np.ndarray, bboxes: Any = None) -> Any:
        if bboxes is None:  # YOLOX sees BGR: the first channel is blue
            return np.array([[0, 0, 10, 10], [20, 20, 60, 60]])[: int(image[0, 0, 0])]
        points = np.stack([np.full((self.keypoints, 2), box[0] + int(image[0, 0, 0]), float) for box in bboxes])
        return points, np.full(points.shape[:2], 1.7)


@pytest.fixture
def fake_rtmlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    library, runtime = ModuleType("rtmlib"), ModuleType("onnxruntime")
    library.YOLOX = library.RTMPose = Network  # type: ignore[attr-defined]
    runtime.get_available_providers = lambda: ["CPUExecutionProvider"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rtmlib", library)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setattr(wholebody, "REQUIREMENT", True)
    monkeypatch.setattr(wholebody, "_version", lambda: "0")
    weights = tmp_path / "good.onnx"
    weights.write_bytes(b"good")
    return weights


def test_every_keypoint_comes_from_its_coco_twin() -> None:
    pose = to_sixty(np.repeat(np.arange(133.0)[None, :, None], 2, axis=2), np.linspace(-0.5, 2, 133)[None])[0]
    for name, coco in COCO.items():
        assert pose[KEYPOINT_NAMES.index(name), 0] == coco, name
    assert pose[1, 0] == 5.5  # neck between the shoulders 5 and 6
    assert (pose[:, 2] >= 0).all()
    assert pose[:, 2].max() == 1
    assert len(MIRROR) == len(pose) == 60


def test_the_same_person_is_followed() -> None:
    people = np.ones((2, 60, 3), np.float32)
    people[1, :, :2] = 50
    boxes = np.array([[0, 0, 10, 10], [40, 40, 80, 80]], float)
    assert choose_person(people, boxes, None) == 1
    assert choose_person(people, boxes, people[0] + 3) == 0
    assert choose_person(people[::-1], boxes[::-1], people[1] - 3) == 0


def test_track_feeds_the_networks_as_trained(fake_rtmlib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detector = WholeBodyDetector("dwpose", pose_weights=fake_rtmlib, person_weights=fake_rtmlib, device="auto")
    assert (detector.device, detector.version) == ("cpu", "rtmlib-0/good.onnx")
    assert not capsys.readouterr().out
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    frames[:, 0, 0] = [(7, 0, 2), (7, 0, 0), (7, 0, 1)]  # red for the pose model, blue = number of people
    found = detector.detect(frames)
    assert found.pixels[:, 0].tolist() == [[27, 27, 1], [27, 27, 0], [7, 7, 1]]
    assert found.mask is None


def test_messages(fake_rtmlib: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XDancerError, match=r"--person-weights .*none\.onnx: no such file"):
        WholeBodyDetector("rtmw", person_weights=tmp_path / "none.onnx")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"bad")
    with pytest.raises(XDancerError, match=r"bad\.onnx cannot be loaded as ONNX \(not ONNX\).*rtmw-dw-x-l"):
        WholeBodyDetector("rtmw", person_weights=fake_rtmlib, pose_weights=bad)
    with pytest.raises(XDancerError, match="cannot be downloaded"):
        WholeBodyDetector("rtmw", person_weights=fake_rtmlib)
    with pytest.raises(XDancerError, match="onnxruntime offers CPUExecutionProvider"):
        WholeBodyDetector("rtmw", device="cuda")
    monkeypatch.setattr(Network, "keypoints", 17)
    detector = WholeBodyDetector("dwpose", pose_weights=fake_rtmlib, person_weights=fake_rtmlib)
    with pytest.raises(PoseError, match="17 keypoints"):
        detector.detect(np.full((1, 8, 8, 3), 2, np.uint8))
