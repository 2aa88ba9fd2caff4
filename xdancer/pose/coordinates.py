"""Between pixels and the pose coordinates of PAPER.md (origin at the image centre, unit = half the image height), and between moments.

All arrays are (…, 60, 3): x, y, confidence in [0, 1].
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.skeleton import BODY_COUNT, KEYPOINT_COUNT, LEFT_HAND, LEFT_WRIST, RIGHT_HAND, RIGHT_WRIST

Poses = Float[np.ndarray, "*frames 60 3"]
SAME_MOMENT = 1e-4
"""Seconds."""


def to_normalised(pixels: Poses, *, width: int, height: int) -> Poses:
    """Pixels (x right from the left edge, y down from the upper edge) → pose coordinates; confidence unchanged."""
    return np.concatenate([(pixels[..., :2] - np.array([width, height]) / 2) / (height / 2), pixels[..., 2:]], axis=-1).astype(np.float32)


def to_pixels(pose: Poses, *, width: int, height: int) -> Poses:
    """Pose coordinates → pixels of a picture of that size; confidence unchanged."""
    return np.concatenate([pose[..., :2] * (height / 2) + np.array([width, height]) / 2, pose[..., 2:]], axis=-1).astype(np.float32)


def hold_missing(poses: Float[np.ndarray, "frames 60 3"]) -> Float[np.ndarray, "frames 60 3"]:
    """Give missing keypoints (confidence 0) their last known position.

    Before the first sighting the first known position is taken; a hand never seen lies on its wrist; what was never seen at all lies on the
    mean of the frame's known body keypoints.
    """
    held: NDArray[np.float32] = np.array(poses, dtype=np.float32)
    known: NDArray[np.bool_] = np.greater(held[..., 2], 0)
    last = np.maximum.accumulate(np.where(known, np.arange(len(held))[:, None], -1), axis=0)
    source = np.where(last >= 0, last, known.argmax(axis=0)[None])
    held[..., :2] = np.take_along_axis(held[..., :2], source[..., None], axis=0)
    seen: NDArray[np.bool_] = np.any(known, axis=0)
    if not seen.any():
        return held
    body = seen & (np.arange(KEYPOINT_COUNT) < BODY_COUNT)
    held[:, ~seen, :2] = held[:, body if body.any() else seen, :2].mean(axis=1, keepdims=True)
    for hand, wrist in ((LEFT_HAND, LEFT_WRIST), (RIGHT_HAND, RIGHT_WRIST)):
        if seen[wrist] and not seen[hand].any():
            held[:, hand, :2] = held[:, wrist : wrist + 1, :2]
    return held


def resample_poses(
    poses: Float[np.ndarray, "frames 60 3"], times: NDArray[np.float64], new_times: NDArray[np.float64]
) -> Float[np.ndarray, "new 60 3"]:
    """Poses at other moments (s): positions linear between the neighbours, confidence the smaller of theirs; held outside.

    A moment within `SAME_MOMENT` of a frame is that frame's: missed by a last bit, it would take the worse confidence of two frames. A
    keypoint missing in the earlier neighbour keeps that neighbour's (last known) position until it is seen again.
    """
    nearest = times[nearest_frames(times, new_times)]
    new_times = np.where(np.abs(nearest - new_times) < SAME_MOMENT, nearest, new_times)
    right = np.clip(np.searchsorted(times, new_times, side="left"), 0, len(times) - 1)
    left = np.where((times[right] > new_times) & (right > 0), right - 1, right)
    span = np.where(right > left, times[right] - times[left], 1.0)
    share = np.clip((new_times - times[left]) / span, 0, 1)[:, None, None]
    earlier, later = poses[left], poses[right]
    position = earlier[..., :2] + share * (later[..., :2] - earlier[..., :2])
    position = np.where(earlier[..., 2:] > 0, position, earlier[..., :2])
    confidence = np.minimum(earlier[..., 2:], later[..., 2:])
    return np.concatenate([position, confidence], axis=-1).astype(np.float32)


def nearest_frames(times: NDArray[np.float64], new_times: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each new moment the index of the nearest frame."""
    middles = (times[1:] + times[:-1]) / 2
    return np.searchsorted(middles, new_times, side="right").astype(np.int64)
