"""A neutral standing pose, from which a dance starts that has no portrait."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.skeleton import BODY_COUNT, KEYPOINT_COUNT

_PLACES = (
    (0, -0.471), (0, -0.261), (-0.158, -0.261), (-0.264, -0.042), (-0.328, 0.158), (0.158, -0.261), (0.264, -0.042), (0.328, 0.158),
    (-0.079, 0.146), (-0.123, 0.497), (-0.102, 0.793), (0.079, 0.146), (0.123, 0.497), (0.102, 0.793), (-0.035, -0.496), (0.035, -0.496),
    (-0.073, -0.468), (0.073, -0.468), (0.328, 0.158), (0.367, 0.167), (0.381, 0.196), (0.387, 0.222), (0.386, 0.243), (0.378, 0.228),
    (0.384, 0.262), (0.38, 0.279), (0.375, 0.289), (0.364, 0.242), (0.364, 0.279), (0.354, 0.294), (0.344, 0.301), (0.347, 0.245),
    (0.343, 0.279), (0.332, 0.291), (0.321, 0.295), (0.33, 0.243), (0.325, 0.269), (0.315, 0.276), (0.305, 0.277), (-0.328, 0.158),
    (-0.367, 0.167), (-0.381, 0.196), (-0.387, 0.222), (-0.386, 0.243), (-0.378, 0.228), (-0.384, 0.262), (-0.38, 0.279), (-0.375, 0.289),
    (-0.364, 0.242), (-0.364, 0.279), (-0.354, 0.294), (-0.344, 0.301), (-0.347, 0.245), (-0.343, 0.279), (-0.332, 0.291), (-0.321, 0.295),
    (-0.33, 0.243), (-0.325, 0.269), (-0.315, 0.276), (-0.305, 0.277),
)  # fmt: skip
"""The mean of the embedded data set's 96 training dancers standing at ease (`embedded.puppet.render_portrait`), made symmetric."""
BODY_CONFIDENCE, HAND_CONFIDENCE = 0.97, 0.85
"""Theirs, rounded."""


def standing_pose() -> Float[NDArray, "60 3"]:
    """Someone who faces the camera and stands still, in the middle of the picture."""
    confidence = np.where(np.arange(KEYPOINT_COUNT) < BODY_COUNT, BODY_CONFIDENCE, HAND_CONFIDENCE)
    return np.concatenate([np.array(_PLACES), confidence[:, None]], axis=1).astype(np.float32)
