"""What every keypoint detector offers, and the one place that knows them by name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from xdancer.errors import PoseError, XDancerError
from xdancer.pose.coordinates import MINIMUM_CONFIDENCE, hold_missing, to_normalised
from xdancer.skeleton import BODY_COUNT, LEFT_SHOULDER, NECK, RIGHT_SHOULDER

DetectorName = Literal["mediapipe", "dwpose", "rtmw"]


@dataclass(frozen=True)
class DetectedPose:
    """What a detector saw in one picture."""

    pixels: Float[np.ndarray, "60 3"]
    """x, y in pixels, confidence in [0, 1]; all confidences 0 where nobody was found."""
    mask: UInt8[np.ndarray, "height width"] | None = None
    """255 on the person, where the detector segments."""


@dataclass(frozen=True)
class DetectedPoses:
    """The same for consecutive pictures; missing keypoints hold their last known position."""

    pixels: Float[np.ndarray, "frame 60 3"]
    mask: UInt8[np.ndarray, "frame height width"] | None = None


@runtime_checkable
class PoseDetector(Protocol):
    """Finds the 60 keypoints of one person, the same person through a video."""

    name: str
    version: str
    device: str
    """Where it computes, for the printed summary."""

    def track(self, frames: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Iterator[DetectedPose]:
        """One result per consecutive RGB picture; each call starts a new video."""
        ...

    def detect(self, frames: UInt8[np.ndarray, "frame height width 3"]) -> DetectedPoses:
        """All pictures of a short video at once."""
        found = list(self.track(frames))
        masks = [pose.mask for pose in found if pose.mask is not None]
        return DetectedPoses(
            hold_missing(np.stack([pose.pixels for pose in found])), np.stack(masks) if masks and len(masks) == len(found) else None
        )


def make_detector(
    name: str = "mediapipe", *, device: str = "cpu", pose_weights: Path | None = None, person_weights: Path | None = None
) -> PoseDetector:
    """The detector of that name; `*_weights` are local ONNX files for DWPose and RTMW.

    Raises:
        MissingPackageError: its optional package is not installed.
        XDancerError: unknown name, unusable weights, or weights given to a detector that carries its own.
    """
    if name == "mediapipe":
        if pose_weights or person_weights:
            raise XDancerError("--pose-weights and --person-weights belong to --detector dwpose or rtmw; MediaPipe carries its own models.")
        from xdancer.pose.mediapipe import MediaPipeDetector

        return MediaPipeDetector()
    if name in ("dwpose", "rtmw"):
        from xdancer.pose.wholebody import WholeBodyDetector

        return WholeBodyDetector(name, device=device, pose_weights=pose_weights, person_weights=person_weights)
    raise XDancerError(f"--detector {name}: unknown detector. Choose mediapipe, dwpose or rtmw.")


def add_neck(body: NDArray[np.float32]) -> None:
    """Fill the neck in place: midpoint of the shoulders, confidence the smaller of theirs (PAPER.md)."""
    left, right = body[..., LEFT_SHOULDER, :], body[..., RIGHT_SHOULDER, :]
    body[..., NECK, :2] = (left[..., :2] + right[..., :2]) / 2
    body[..., NECK, 2] = np.minimum(left[..., 2], right[..., 2])


def detect_portrait(image: UInt8[np.ndarray, "height width 3"], detector: PoseDetector | None = None) -> Float[np.ndarray, "60 3"]:
    """The pose in a portrait, in pose coordinates; MediaPipe where no detector is given.

    Raises:
        PoseError: nobody found, or hardly anything of the body is visible.
        MissingPackageError: MediaPipe is not installed.
    """
    detector = make_detector("mediapipe") if detector is None else detector
    height, width = image.shape[:2]
    pixels = hold_missing(next(iter(detector.track([image]))).pixels[None])[0]
    visible = int((pixels[:BODY_COUNT, 2] >= MINIMUM_CONFIDENCE).sum())
    if visible < BODY_COUNT // 2:
        raise PoseError(
            f"Portrait {width}×{height}: {detector.name} finds {visible or 'none'} of {BODY_COUNT} body keypoints, half of them are needed. "
            "Use a picture that shows one person from head to foot, or pass the pose with --pose FILE."
        )
    return to_normalised(pixels, width=width, height=height)
