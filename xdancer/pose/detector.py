"""What every keypoint detector offers, and the one place that knows them by name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from xdancer.errors import MissingPackageError, PoseError, XDancerError
from xdancer.pose.coordinates import hold_missing, to_normalised
from xdancer.skeleton import BODY_COUNT, LEFT_SHOULDER, NECK, RIGHT_SHOULDER, VISIBLE

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

    def everyone(self, frames: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Iterator[list[DetectedPose]]:
        """All people of each picture, at most `MOST_PEOPLE`, in no order that means anything; here the one that `track` follows."""
        for pose in self.track(frames):
            yield [pose] if (pose.pixels[:, 2] > 0).any() else []

    def detect(self, frames: UInt8[np.ndarray, "frame height width 3"]) -> DetectedPoses:
        """All pictures of a short video at once."""
        found = list(self.track(frames))
        masks = [pose.mask for pose in found if pose.mask is not None]
        return DetectedPoses(
            hold_missing(np.stack([pose.pixels for pose in found])), np.stack(masks) if masks and len(masks) == len(found) else None
        )


MOST_PEOPLE = 4
"""More are not looked for."""
PERSON_MARGIN = 0.12
"""How far a person reaches beyond the keypoints, of the longer side of their box."""


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


def detector_if_installed() -> PoseDetector | None:
    """MediaPipe, or None with a note: figures that need a detector are null then."""
    try:
        return make_detector("mediapipe")
    except MissingPackageError as error:
        print(f"no detector: {error} Figures that need one are null.")
        return None


def add_neck(body: NDArray[np.float32]) -> None:
    """Fill the neck in place: midpoint of the shoulders, confidence the smaller of theirs (PAPER.md)."""
    left, right = body[..., LEFT_SHOULDER, :], body[..., RIGHT_SHOULDER, :]
    body[..., NECK, :2] = (left[..., :2] + right[..., :2]) / 2
    body[..., NECK, 2] = np.minimum(left[..., 2], right[..., 2])


def detect_portrait(image: UInt8[np.ndarray, "height width 3"], detector: PoseDetector | None = None) -> Float[np.ndarray, "60 3"]:
    """The pose in a portrait, in pose coordinates; MediaPipe where no detector is given. Of several people the largest is taken, and said.

    Raises:
        PoseError: nobody found, or hardly anything of the body is visible.
        MissingPackageError: MediaPipe is not installed.
    """
    detector = make_detector("mediapipe") if detector is None else detector
    height, width = image.shape[:2]
    people = _people(image, detector)
    pixels = people[0]
    if len(people) > 1:
        pixels = max(people, key=lambda person: float(np.prod(np.ptp(_visible(person), axis=0))))
        left, right = _visible(pixels)[:, 0].min(), _visible(pixels)[:, 0].max()
        print(
            f"{len(people)} people in the picture: the largest is taken, from {left / width:.0%} to {right / width:.0%} of its width",
            flush=True,
        )
    visible = len(_visible(pixels))
    if visible < BODY_COUNT // 2:
        raise PoseError(
            f"Portrait {width}×{height}: {detector.name} finds {visible or 'none'} of {BODY_COUNT} body keypoints, half of them are needed. "
            "Use a picture that shows one person from head to foot, or pass the pose with --pose FILE."
        )
    return to_normalised(pixels, width=width, height=height)


def _visible(pixels: Float[NDArray, "60 3"]) -> Float[NDArray, "visible 2"]:
    """The body's keypoints that can be seen."""
    body = pixels[:BODY_COUNT]
    return body[body[:, 2] >= VISIBLE, :2]


def _people(image: UInt8[NDArray, "height width 3"], detector: PoseDetector) -> list[Float[NDArray, "60 3"]]:
    """Everybody in a picture, in the order found: a detector that shows one person is shown the picture again without that one. Never empty."""
    people: list[NDArray[np.float32]] = []
    shown, hidden = image.copy(), np.zeros(image.shape[:2], bool)
    while len(people) < MOST_PEOPLE:
        pixels = hold_missing(next(iter(detector.track([shown]))).pixels[None])[0]
        seen = _visible(pixels)
        known = len(seen) >= BODY_COUNT // 2
        if people and not (known and _is_new(seen, hidden)):
            break
        people.append(pixels)
        if not known:
            break
        low, high = seen.min(0), seen.max(0)
        margin = PERSON_MARGIN * (high - low).max()
        left, top = np.floor(np.maximum(low - margin, 0)).astype(int)
        right, bottom = np.ceil(high + margin).astype(int)
        hidden[top:bottom, left:right] = True
        shown[hidden] = image.reshape(-1, 3).mean(0).astype(np.uint8)
    return people


def _is_new(seen: Float[NDArray, "visible 2"], hidden: Bool[NDArray, "height width"]) -> bool:
    """Whether most keypoints of a person lie where nobody was found before."""
    column, row = (seen[:, axis].astype(int).clip(0, hidden.shape[1 - axis] - 1) for axis in (0, 1))
    return bool(hidden[row, column].mean() < 0.5)
