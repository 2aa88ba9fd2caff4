"""What is measured on a clip, and which thresholds it must pass (PAPER.md: Data).

Each filter has a figure and a threshold, which stand in the clip's `quality` under `filters` (or in the rejection's figures) and in the report.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from scipy.ndimage import laplace

from xdancer.errors import PoseError
from xdancer.prepare.looking import SMALL_EVERY, Look, Seen, body_boxes
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.tracks import LONGEST_GAP
from xdancer.skeleton import BODY, BODY_COUNT, LEFT_HAND, PART_KEYPOINTS, RIGHT_HAND, VISIBLE

SHARPNESS_EVERY = 15
"""Pictures of a clip from one measurement of sharpness to the next."""
LIMITS = {
    "seconds": "min_seconds", "short_side": "min_side", "person_pixels": "min_person", "box_share": "min_box_share", "people": "max_people",
    "camera_motion": "max_camera_motion", "sharpness": "min_sharpness",
}  # fmt: skip
"""Figure → setting that holds its threshold: at least for `min_…`, at most for `max_…`."""


class FilterError(PoseError):
    """A clip that a filter leaves out."""

    def __init__(self, message: str, figures: dict[str, Any]) -> None:
        super().__init__(message)
        self.figures = figures
        """As a clip's `quality`, as far as measured."""


class Filters:
    """Figures of one clip against the thresholds of the settings."""

    def __init__(self, settings: PrepareSettings) -> None:
        self.settings = settings
        self.results: dict[str, dict[str, Any]] = {}
        """By name: value, threshold, and whether it was passed."""

    def add(self, **values: float) -> None:
        """Measured figures, by the names of `LIMITS`."""
        for name, value in values.items():
            threshold = getattr(self.settings, LIMITS[name])
            passed = value <= threshold if LIMITS[name].startswith("max") else value >= threshold
            if name == "seconds":
                passed = value >= threshold - 0.001
            self.results[name] = {"value": _short(value), "threshold": threshold, "passed": bool(passed)}

    def check(self) -> None:
        """Raise for the first figure that did not pass.

        Raises:
            FilterError: with the figure, the threshold and its flag.
        """
        for name, result in self.results.items():
            if not result["passed"]:
                flag = "--" + LIMITS[name].replace("_", "-")
                side = "above" if LIMITS[name].startswith("max") else "below"
                message = f"{name.replace('_', ' ')} {result['value']:g} is {side} {flag} {result['threshold']:g}"
                raise FilterError(message, {"filters": self.results})


def measure_view(view: Look, seen: Seen, person_pixels: float) -> dict[str, float]:
    """What the filters ask of one person's stretch of a cut, but for its length and sharpness."""
    here = slice(seen.first - view.first, seen.first - view.first + len(seen.times))
    share = float(np.nanmedian(body_boxes(seen.pixels).prod(axis=1))) / (view.width * view.height)
    return {
        "short_side": float(min(view.width, view.height)),
        "person_pixels": float(round(person_pixels)),
        "box_share": min(share, 1.0),
        "people": float(np.quantile(view.counts[here], 0.9, method="lower")),
        "camera_motion": camera_motion(view, here),
    }


def camera_motion(view: Look, here: slice) -> float:
    """Deviation (grey levels, 0 … 255) of a background pixel over the pictures, mean over the background; 0 where nothing of it is seen.

    The paper takes pixels of the corners; a person may stand there.
    """
    part = slice(-(-here.start // SMALL_EVERY), -(-here.stop // SMALL_EVERY))
    grey, behind = view.small[part].astype(np.float32), view.behind[part]
    count = behind.sum(axis=0)
    known = count >= max(2, len(grey) / 2)
    if not known.any():
        return 0.0
    mean = (grey * behind).sum(axis=0) / np.maximum(count, 1)
    variance = (((grey - mean) * behind) ** 2).sum(axis=0) / np.maximum(count, 1)
    return float(np.sqrt(variance[known]).mean())


def sharpness(picture: UInt8[np.ndarray, "height width 3"], pose: Float[np.ndarray, "60 3"]) -> float | None:
    """Variance of the Laplacian of the grey levels in the box around the visible keypoints; None where there is no such box."""
    points = pose[pose[:, 2] >= VISIBLE, :2]
    if len(points) < 2:
        return None
    (left, top), (right, bottom) = points.min(axis=0).clip(0).astype(int), points.max(axis=0).clip(0).astype(int) + 1
    box = picture[top:bottom, left:right]
    return float(laplace(box.mean(axis=2, dtype=np.float32)).var()) if min(box.shape[:2]) > 2 else None


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def longest_presence(pixels: Float[np.ndarray, "frame 60 3"], times: NDArray[np.float64]) -> slice:
    """The longest run of frames with a person (half of the body keypoints visible), short gaps bridged; may be empty."""
    present = np.flatnonzero((pixels[:, BODY, 2] >= VISIBLE).sum(axis=1) >= BODY_COUNT // 2)
    if not len(present):
        return slice(0, 0)
    breaks = np.flatnonzero(np.diff(times[present]) > LONGEST_GAP + np.median(np.diff(times)))
    starts = present[np.append(0, breaks + 1)]
    ends = present[np.append(breaks, len(present) - 1)]
    best = int(np.argmax(times[ends] - times[starts]))
    return slice(int(starts[best]), int(ends[best]) + 1)


def measure_quality(pixels: Float[np.ndarray, "frame 60 3"]) -> dict[str, Any]:
    """Shares of keypoints seen in a clip, and the mean confidence of every part, for choosing clips."""
    visible = pixels[..., 2] >= VISIBLE

    def share(part: slice) -> float:
        return round(float(visible[:, part].mean()), 4)

    return {
        "body_seen": share(BODY),
        "left_hand_seen": share(LEFT_HAND),
        "right_hand_seen": share(RIGHT_HAND),
        "person_seen": round(float((visible[:, BODY].sum(axis=1) >= BODY_COUNT // 2).mean()), 4),
        "confidence": {part.name.lower(): round(float(pixels[:, list(index), 2].mean()), 4) for part, index in PART_KEYPOINTS.items()},
    }
