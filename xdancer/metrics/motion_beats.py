"""Motion beats: when a dance has its strict local minima of speed, in three named protocols (see `beat_alignment`)."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from xdancer.errors import PoseError
from xdancer.metrics.pose import frame_speed
from xdancer.skeleton import BODY, KEYPOINT_COUNT

Protocol = Literal["seconds", "bailando60", "aist60"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
SMOOTHING = 1 / 12
"""Width σ of the smoothing of the speed, seconds (5 frames at 60 fps)."""
SHORTEST = 4
"""Frames below which a clip has no motion beats."""
_AIST_ORDER = 10
_ROUNDING = 1e-9

Times = Float[NDArray, " _"]


def resample(
    keypoints: Float[NDArray, "frame joint axis"], confidence: Float[NDArray, "frame joint"], fps: int | float, target: int | float
) -> tuple[Float[NDArray, "new joint axis"], Float[NDArray, "new joint"]]:
    """Linear interpolation of positions to another frame rate; confidence = the smaller of the two neighbours."""
    frames = len(keypoints)
    position = np.arange(int(np.floor((frames - 1) * target / fps + 1e-6)) + 1) * (fps / target)
    left = np.clip(np.floor(position + 1e-9).astype(int), 0, frames - 1)
    weight = np.clip(position - left, 0.0, 1.0)
    right = np.where(weight < 1e-9, left, np.minimum(left + 1, frames - 1))
    blend = keypoints[left].astype(np.float64) * (1 - weight)[:, None, None] + keypoints[right] * weight[:, None, None]
    return blend, np.minimum(confidence[left], confidence[right])


def _minima(speeds: Float[NDArray, "clip pair"], *, order: int, widest: int) -> list[Times]:
    """Per clip the positions of values strictly below all others within `order`, never at the ends.

    A run of up to `widest` equal values counts as one, at its centre: two where the beat lies exactly between two stamps, more where
    linear interpolation to 60 fps repeats each speed. Differences
    below 1e-9 of the largest speed are rounding, not rhythm. A clip with NaN, or without any speed, has none.
    """
    clips, length = speeds.shape
    width = length + 2 * order
    top = speeds.max(axis=1, keepdims=True, initial=0.0)
    usable = np.isfinite(top) & (top > 0)
    level = np.full((clips, width), np.nan)  # NaN between the clips: nothing is below it
    np.divide(speeds, top, out=level[:, order : order + length], where=usable)
    level = np.round(level.ravel() / _ROUNDING)
    starts = np.flatnonzero(np.r_[True, level[1:] != level[:-1]])
    ends = np.r_[starts[1:], len(level)] - 1
    value = level[starts]
    lower = np.r_[False, value[1:-1] < np.minimum(value[:-2], value[2:]), False] & (ends - starts < widest)
    starts, ends, value = starts[lower], ends[lower], value[lower]
    around = sliding_window_view(np.where(np.isnan(level), np.inf, level), order)
    lowest = np.minimum(around[starts - order].min(axis=1), around[ends + 1].min(axis=1)) > value
    centre = ((starts + ends) / 2)[lowest]
    clip = centre // width
    return np.split(centre - clip * width - order, np.searchsorted(clip, np.arange(1, clips)))


def motion_beats(
    keypoints: Float[NDArray, "frame joint axis"],
    confidence: Float[NDArray, "frame joint"],
    fps: int | float = 30.0,
    *,
    protocol: Protocol = "seconds",
) -> Times:
    """Times of the motion beats in seconds from the first frame, ascending; empty for a dance without a minimum of speed.

    Args:
        keypoints: 2D or 3D, in any unit; of 60 keypoints only the 18 body joints are read, of other skeletons all.
        confidence: pairs of frames with both confidences ≥ .3 enter the mean over joints.
        fps: frame rate of the keypoints.
        protocol: see the module.

    Raises:
        PoseError: coordinates that are neither 2D nor 3D, or a frame rate that is not positive.
    """
    return motion_beats_of_clips([(keypoints, confidence)], fps, protocol=protocol)[0]


def motion_beats_of_clips(
    clips: Sequence[tuple[Float[NDArray, "_ _ _"], Float[NDArray, "_ _"]]], fps: int | float = 30.0, *, protocol: Protocol = "seconds"
) -> list[Times]:
    """`motion_beats` of (keypoints, confidence) of many clips; those of equal length are smoothed and searched together."""
    if not fps > 0:
        raise PoseError(f"Frame rate {fps} of a pose sequence: it must be above 0. Pass the rate at which the keypoints were taken.")
    widest = 2 if protocol == "seconds" else 2 * max(1, round(60 / fps))
    speeds: dict[int, list[tuple[int, Float[NDArray, " _"]]]] = {}
    for number, (keypoints, confidence) in enumerate(clips):
        speed = _speed(keypoints, confidence, fps, protocol)
        speeds.setdefault(len(speed), []).append((number, speed))
    fps = fps if protocol == "seconds" else 60.0
    beats = [np.zeros(0)] * len(clips)
    for length, group in speeds.items():
        if length < SHORTEST - 1:
            continue
        rows = np.stack([speed for _, speed in group])
        if protocol == "aist60":
            found = _minima(rows, order=_AIST_ORDER, widest=widest)
        else:
            found = _minima(gaussian_filter1d(rows, SMOOTHING * fps, axis=1), order=1, widest=2)
        for (number, _), minima in zip(group, found, strict=True):
            beats[number] = (minima + 0.5) / fps
    return beats


def _speed(
    keypoints: Float[NDArray, "frame joint axis"], confidence: Float[NDArray, "frame joint"], fps: int | float, protocol: Protocol
) -> Float[NDArray, " pair"]:
    """Speed of the body, at 60 fps for the protocols of that rate."""
    if keypoints.shape[-1] not in (2, 3):
        raise PoseError(f"Keypoints of shape {keypoints.shape}: needs (frame, joint, 2 or 3). Pass the confidence apart from the coordinates.")
    if keypoints.shape[1] == KEYPOINT_COUNT:
        keypoints, confidence = keypoints[:, BODY], confidence[:, BODY]
    if protocol != "seconds":
        keypoints, confidence = resample(keypoints, confidence, fps, 60.0)
    return frame_speed(keypoints, confidence)
