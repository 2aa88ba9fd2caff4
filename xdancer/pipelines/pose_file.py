"""Poses as `.npy` files: (60, 3) or (frame, 60, 3) of x, y, confidence; origin at the picture's centre, unit = half its height."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.errors import PoseError
from xdancer.files import whole
from xdancer.skeleton import KEYPOINT_COUNT
from xdancer.strict import read_array

FARTHEST = 20.0
"""Coordinates beyond this are pixels by mistake."""


def load_poses(path: Path) -> Float[NDArray, "frame 60 3"]:
    """The poses of a file.

    Raises:
        PoseError: missing, damaged, of another shape, not finite, or in pixels.
    """
    if not path.is_file():
        raise PoseError(f"{path}: no such pose file. Give a .npy of shape ({KEYPOINT_COUNT}, 3) or (frames, {KEYPOINT_COUNT}, 3).")
    try:
        pose = read_array(path)
    except (ValueError, OSError) as error:
        raise PoseError(f"{path}: not a readable .npy ({error}). Write it with numpy.save, without pickle.") from error
    if pose.shape[-2:] != (KEYPOINT_COUNT, 3) or pose.ndim not in (2, 3) or pose.dtype.kind not in "fiu":
        raise PoseError(f"{path}: holds {pose.dtype} {pose.shape}; needed are ({KEYPOINT_COUNT}, 3) or (frames, {KEYPOINT_COUNT}, 3) numbers.")
    pose = pose.reshape(-1, KEYPOINT_COUNT, 3).astype(np.float32)
    if not len(pose):
        raise PoseError(f"{path}: holds no frame. Give at least one pose.")
    if not np.isfinite(pose).all():
        raise PoseError(f"{path}: {int((~np.isfinite(pose)).sum())} values are NaN or infinite. Give a missing keypoint confidence 0.")
    if (farthest := float(np.abs(pose[..., :2]).max())) > FARTHEST:
        raise PoseError(f"{path}: coordinates up to {farthest:.0f}: pixels? The origin is the picture's centre, the unit half its height.")
    if pose[..., 2].min() < 0 or pose[..., 2].max() > 1:
        raise PoseError(f"{path}: confidences from {pose[..., 2].min():g} to {pose[..., 2].max():g}. They lie in 0 … 1.")
    return pose


def save_poses(path: Path, poses: Float[NDArray, "*frame 60 3"]) -> None:
    """Write poses in one stroke.

    Raises:
        PoseError: the file cannot be written.
    """
    try:
        with whole(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, poses.astype(np.float32), allow_pickle=False)
    except OSError as error:
        raise PoseError(f"{path}: cannot be written ({error.strerror or error}). Free space or choose another path.") from error
