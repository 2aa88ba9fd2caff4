"""Motion beats: when a dance has its strict local minima of speed, in three named protocols (see `beat_alignment`)."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from xdancer.metrics.pose import frame_speed

Protocol = Literal["seconds", "bailando60", "aist60"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
SMOOTHING = 1 / 12
"""Width σ of the smoothing of the speed, seconds (5 frames at 60 fps)."""
_AIST_ORDER = 10
_ROUNDING = 1e-9

Times = Float[NDArray, " _"]


def resample(
    keypoints: Float[NDArray, "frame 60 2"], confidence: Float[NDArray, "frame 60"], fps: int | float, target: int | float
) -> tuple[Float[NDArray, "new 60 2"], Float[NDArray, "new 60"]]:
    """Linear interpolation of positions to another frame rate; confidence = the smaller of the two neighbours."""
    frames = len(keypoints)
    position = np.arange(int(np.floor((frames - 1) * target / fps + 1e-6)) + 1) * (fps / target)
    left = np.clip(np.floor(position + 1e-9).astype(int), 0, frames - 1)
    weight = np.clip(position - left, 0.0, 1.0)
    right = np.where(weight < 1e-9, left, np.minimum(left + 1, frames - 1))
    blend = keypoints[left].astype(np.float64) * (1 - weight)[:, None, None] + keypoints[right] * weight[:, None, None]
    return blend, np.minimum(confidence[left], confidence[right])


def _minima(speed: Float[NDArray, " pair"], order: int, widest: int) -> Float[NDArray, " _"]:
    """Positions of values strictly below all others within `order`, never at the ends.

    A run of up to `widest` equal values counts as one, at its centre: two where the beat lies exactly between two stamps, more where
    linear interpolation to 60 fps repeats each speed. Differences
    below 1e-9 of the largest speed are rounding, not rhythm.
    """
    if len(speed) < 3 or not np.isfinite(speed).all() or speed.max() <= 0:
        return np.zeros(0)
    level = np.round(speed / speed.max() / _ROUNDING)
    starts = np.flatnonzero(np.r_[True, np.diff(level) != 0])
    ends = np.r_[starts[1:], len(level)] - 1
    found = []
    for start, end in zip(starts, ends, strict=True):
        if start == 0 or end == len(level) - 1 or end - start >= widest:
            continue
        around = np.r_[level[max(0, start - order) : start], level[end + 1 : end + 1 + order]]
        if around.min() > level[start]:
            found.append((start + end) / 2)
    return np.array(found)


def motion_beats(
    keypoints: Float[NDArray, "frame 60 2"], confidence: Float[NDArray, "frame 60"], fps: int | float = 30.0, *, protocol: Protocol = "seconds"
) -> Times:
    """Times of the motion beats in seconds from the first frame, ascending; empty for a dance without a minimum of speed.

    Args:
        keypoints: in any unit; only the 18 body joints are read.
        confidence: pairs of frames with both confidences ≥ .3 enter the mean over joints.
        fps: frame rate of the keypoints.
        protocol: see the module.
    """
    widest = 2
    if protocol != "seconds":
        widest *= max(1, round(60 / fps))
        keypoints, confidence = resample(keypoints, confidence, fps, 60.0)
        fps = 60.0
    if len(keypoints) < 4:
        return np.zeros(0)
    speed = frame_speed(keypoints, confidence)
    minima = _minima(speed, _AIST_ORDER, widest) if protocol == "aist60" else _minima(gaussian_filter1d(speed, SMOOTHING * fps), 1, 2)
    return (minima + 0.5) / fps
