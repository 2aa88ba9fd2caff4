"""Poses drawn as videos, so that a dance can be compared under the video protocols before a single picture is rendered (motion FVD).

One fixed style, part of the definition: `draw_skeleton` on a black square of 256×256, limbs with a half width of 2 pixels, keypoints below
confidence .3 left out, no background, no smoothing. The square shows what lies within half the picture's height left and right of its centre.
"""

import hashlib

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from xdancer.metrics.feature_sets import Footage
from xdancer.pose.render import draw_skeleton

SIDE = 256
"""Height and width of the drawn pictures."""
STICK = 2
"""Half width of limbs in pixels."""


def draw_motion(pose: Float[NDArray, "frame 60 3"]) -> UInt8[NDArray, "frame 256 256 3"]:
    """A dance (pose coordinates, confidence) as RGB pictures in the fixed style."""
    pictures = np.zeros((len(pose), SIDE, SIDE, 3), np.uint8)
    for number, one in enumerate(pose):
        still = number > 0 and np.array_equal(one, pose[number - 1])
        pictures[number] = pictures[number - 1] if still else draw_skeleton(one, SIDE, SIDE, stick=STICK)
    return pictures


def motion_footage(key: str, pose: Float[NDArray, "frame 60 3"], *, fps: float) -> Footage:
    """A dance as footage for `collect(…, subject="motion")`; drawn only when its features are not known yet.

    Args:
        key: unique in its set.
        pose: pose coordinates, confidence.
        fps: of the poses.
    """
    style = f"draw_skeleton {SIDE} {STICK} {fps:g}"
    values = np.ascontiguousarray(pose, dtype=np.float32)
    content = hashlib.sha256(style.encode() + np.int64(len(values)).tobytes() + values.tobytes()).hexdigest()
    return Footage(key, content, lambda: (draw_motion(values), fps))
