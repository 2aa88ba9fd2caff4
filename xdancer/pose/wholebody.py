"""DWPose and RTMW through rtmlib (ONNX): COCO-WholeBody's 133 keypoints → our 60.

rtmlib finds several people; the one followed is the largest of the first picture, then the nearest to where that person was.
"""

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from lightning_utilities.core.imports import RequirementCache
from numpy.typing import NDArray

from xdancer.errors import MissingPackageError, PoseError, XDancerError
from xdancer.pose.detector import MOST_PEOPLE, DetectedPose, PoseDetector, add_neck
from xdancer.skeleton import KEYPOINT_COUNT, NECK

REQUIREMENT = RequirementCache("rtmlib>=0.0.13,<0.1")
COCO_BODY = (0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO's keypoint for each OpenPose body keypoint; the neck's entry is replaced by the midpoint of the shoulders."""
COCO_SOURCE = (*COCO_BODY, *range(91, 112), *range(112, 133))
"""Of the 133: body, then left hand, right hand; 17–22 (feet) and 23–90 (face) are dropped."""
HOME = "https://download.openmmlab.com/mmpose/v1/projects/"
POSE_WEIGHTS = {
    "dwpose": HOME + "rtmposev1/onnx_sdk/rtmpose-l_simcc-ucoco_dw-ucoco_270e-384x288-2438fd99_20230728.zip",
    "rtmw": HOME + "rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122.zip",
}
PERSON_WEIGHTS = HOME + "rtmposev1/onnx_sdk/yolox_m_8xb8-300e_humanart-c2c7a14a.zip"


class WholeBodyDetector(PoseDetector):
    """Confidence = the model's score, cut to [0, 1]; no person mask.

    Without local files rtmlib downloads the weights once (`HOME`). YOLOX is fed BGR and the pose model RGB, as each was trained.
    """

    def __init__(self, name: str, *, device: str = "cpu", pose_weights: Path | None = None, person_weights: Path | None = None) -> None:
        if not REQUIREMENT:
            raise MissingPackageError(f"--detector {name} needs rtmlib. Install it: pip install 'xdancer[wholebody]'.")
        import rtmlib

        self.name = name
        self.version = f"rtmlib-{_version()}/{Path(pose_weights).name if pose_weights else Path(POSE_WEIGHTS[name]).stem}"
        self.device = _onnx_device(device)
        self._find_people = self._load(rtmlib.YOLOX, person_weights, PERSON_WEIGHTS, "--person-weights", (640, 640))
        self._find_keypoints = self._load(rtmlib.RTMPose, pose_weights, POSE_WEIGHTS[name], "--pose-weights", (288, 384))

    def _load(self, model: Callable[..., Any], path: Path | None, url: str, flag: str, size: tuple[int, int]) -> Any:
        """One network; its input size (width, height for the pose) is read from the file where it is fixed there."""
        if path is not None and not Path(path).is_file():
            raise XDancerError(f"{flag} {path}: no such file. Give an ONNX file, or leave the flag out to download {url}.")
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # rtmlib announces every file it loads
                network = model(str(path or url), model_input_size=size, backend="onnxruntime", device=self.device)
            height, width = network.session.get_inputs()[0].shape[2:]
        except Exception as error:  # urllib, zipfile, onnxruntime: each with its own kinds
            where = f"cannot be loaded as ONNX ({_first_line(error)})" if path else f"cannot be downloaded ({_first_line(error)})"
            raise XDancerError(f"{flag}: {path or url} {where}. Download {url} elsewhere, unpack it and pass its .onnx with {flag}.") from error
        if isinstance(height, int) and isinstance(width, int):
            network.model_input_size = (width, height)
        return network

    def track(self, frames: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Iterator[DetectedPose]:
        """One result per consecutive RGB picture; each call starts a new video."""
        last: NDArray[np.float32] | None = None
        for frame in frames:
            people, boxes = self._people(frame)
            if not len(people):
                yield DetectedPose(np.zeros((KEYPOINT_COUNT, 3), np.float32))
                continue
            followed = people[choose_person(people, boxes, last)]
            last = followed
            yield DetectedPose(followed)

    def everyone(self, frames: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Iterator[list[DetectedPose]]:
        """The largest people of each picture."""
        for frame in frames:
            people, boxes = self._people(frame)
            order = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))[:MOST_PEOPLE]
            yield [DetectedPose(people[index]) for index in order]

    def _people(self, frame: UInt8[np.ndarray, "height width 3"]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Poses (person, 60, 3) and boxes (person, 4: left, top, right, bottom)."""
        boxes = np.asarray(self._find_people(np.ascontiguousarray(frame[..., ::-1])), float).reshape(-1, 4)
        if not len(boxes):
            return np.zeros((0, KEYPOINT_COUNT, 3), np.float32), boxes
        keypoints, scores = self._find_keypoints(np.ascontiguousarray(frame), bboxes=list(boxes))
        if keypoints.shape[1:] != (133, 2):
            raise PoseError(f"--pose-weights finds {keypoints.shape[1]} keypoints, 133 are needed. Use a model of DWPose or RTMW.")
        return to_sixty(keypoints, scores), boxes


def to_sixty(keypoints: Float[np.ndarray, "person 133 2"], scores: Float[np.ndarray, "person 133"]) -> NDArray[np.float32]:
    """COCO-WholeBody → (person, 60, 3), neck made from the shoulders, scores cut to [0, 1]."""
    pose = np.concatenate([keypoints, scores.clip(0, 1)[..., None]], axis=-1)[:, list(COCO_SOURCE)].astype(np.float32)
    pose[:, NECK] = 0
    add_neck(pose)
    return pose


def choose_person(people: NDArray[np.float32], boxes: NDArray[np.floating], last: NDArray[np.float32] | None) -> int:
    """The largest person, or the one nearest to where the person followed was last seen."""
    if last is None or not (last[:, 2] > 0).any():
        return int(np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
    weight = people[..., 2] * last[:, 2] + 1e-6
    distance = np.linalg.norm(people[..., :2] - last[:, :2], axis=-1)
    return int(np.argmin((weight * distance).sum(axis=1) / weight.sum(axis=1)))


def _version() -> str:
    from importlib.metadata import version

    return version("rtmlib")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _onnx_device(device: str) -> str:
    """CUDA or CoreML where the installed onnxruntime offers it.

    Raises:
        XDancerError: the device was asked for by name and onnxruntime lacks it.
    """
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    present = {"cpu": True, "cuda": "CUDAExecutionProvider" in providers, "mps": "CoreMLExecutionProvider" in providers}
    if device == "auto":
        return "cuda" if present["cuda"] else "mps" if present["mps"] else "cpu"
    if not present.get(device):
        raise XDancerError(
            f"--device {device}: the installed onnxruntime offers {', '.join(providers)}. Install onnxruntime-gpu or use --device cpu."
        )
    return device
