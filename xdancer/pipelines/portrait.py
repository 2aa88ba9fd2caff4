"""The pose from which a dance starts: given as a file, or found in the portrait."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image

from xdancer.errors import MissingPackageError, PoseError
from xdancer.pipelines.pose_file import load_poses
from xdancer.pose.detector import PoseDetector, detect_portrait
from xdancer.skeleton import BODY, VISIBLE

LEAST_HEIGHT = 512
"""Smaller portraits are enlarged before a detector sees them: it loses hands and faces in small pictures."""
LEAST_VISIBLE = 6
"""A person shows at least this many of the 18 body keypoints."""


def first_pose(pose_file: Path) -> Float[NDArray, "60 3"]:
    """The first frame of a pose file.

    Raises:
        PoseError: a damaged file, or one without a person.
    """
    pose = load_poses(pose_file)[0]
    found = int((pose[BODY, 2] >= VISIBLE).sum())
    if found < LEAST_VISIBLE:
        raise PoseError(f"{pose_file}: {found} of 18 body keypoints are visible, {LEAST_VISIBLE} are needed.")
    return pose


def portrait_pose(
    portrait: UInt8[NDArray, "height width 3"], *, source: Path | str, pose_file: Path | None = None, detector: PoseDetector | None = None
) -> Float[NDArray, "60 3"]:
    """The portrait's pose: the first frame of `pose_file`, else what the detector (MediaPipe by default) finds.

    Raises:
        PoseError: a damaged pose file, one without a person, or nobody in the portrait.
        MissingPackageError: neither a pose file nor a detector; the message names both ways.
    """
    if pose_file is not None:
        return first_pose(pose_file)
    try:
        return detect_portrait(enlarged(portrait), detector)
    except MissingPackageError as error:
        raise MissingPackageError(
            f"No pose detector to find the person in {source}. {error} Or pass the portrait's pose: --pose FILE.npy"
        ) from error
    except PoseError as error:
        raise PoseError(f"{source}: {error}") from error


def enlarged(portrait: UInt8[NDArray, "height width 3"]) -> UInt8[NDArray, "tall wide 3"]:
    """The portrait at least `LEAST_HEIGHT` high, bicubic."""
    scale = LEAST_HEIGHT / portrait.shape[0]
    if scale <= 1:
        return portrait
    size = (max(1, round(portrait.shape[1] * scale)), LEAST_HEIGHT)
    return np.asarray(Image.fromarray(portrait).resize(size, Image.Resampling.BICUBIC))
