"""Poses that a few clips do not hold: limbs turned about their joints, the body scaled, turned and moved."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import ndtri

from xdancer import skeleton as sk

_LEFT_HAND, _RIGHT_HAND = list(range(60))[sk.LEFT_HAND], list(range(60))[sk.RIGHT_HAND]
JOINTS: tuple[tuple[int, list[int], float], ...] = (
    (sk.RIGHT_SHOULDER, [sk.RIGHT_ELBOW, sk.RIGHT_WRIST, *_RIGHT_HAND], 1.0),
    (sk.LEFT_SHOULDER, [sk.LEFT_ELBOW, sk.LEFT_WRIST, *_LEFT_HAND], 1.0),
    (sk.RIGHT_ELBOW, [sk.RIGHT_WRIST, *_RIGHT_HAND], 1.0),
    (sk.LEFT_ELBOW, [sk.LEFT_WRIST, *_LEFT_HAND], 1.0),
    (sk.RIGHT_WRIST, _RIGHT_HAND, 1.0),
    (sk.LEFT_WRIST, _LEFT_HAND, 1.0),
    (sk.RIGHT_HIP, [sk.RIGHT_KNEE, sk.RIGHT_ANKLE], 0.5),
    (sk.LEFT_HIP, [sk.LEFT_KNEE, sk.LEFT_ANKLE], 0.5),
    (sk.RIGHT_KNEE, [sk.RIGHT_ANKLE], 0.5),
    (sk.LEFT_KNEE, [sk.LEFT_ANKLE], 0.5),
    (sk.NECK, [sk.NOSE, sk.RIGHT_EYE, sk.LEFT_EYE, sk.RIGHT_EAR, sk.LEFT_EAR], 0.3),
)
"""Joint, the keypoints that turn about it in the picture, share of `limb`; parents stand before their children."""


@dataclass(frozen=True)
class PoseAugmentation:
    """Standard deviations of random changes to a pose; confidence stays. The defaults are for a handful of clips (docs/experiments.md)."""

    limb: float = 0.2
    """Radians by which arms and hands turn about their joints; half of it for legs, a third for the head."""
    turn: float = 0.05
    """Radians by which the whole body turns about the neck."""
    scale: float = 0.05
    """Logarithm of the body's width and height, each."""
    shift: float = 0.03
    """Of the body's place, in halves of the picture's height."""

    def __post_init__(self) -> None:
        if min(self.limb, self.turn, self.scale, self.shift) < 0:
            raise ValueError(f"{self}: standard deviations must be at least 0.")

    @property
    def draws(self) -> int:
        """Random numbers that a pose takes."""
        return len(JOINTS) + 5

    def __call__(self, pose: Float[NDArray, "sample 60 3"], uniform: Float[NDArray, "sample draw"]) -> Float[NDArray, "sample 60 3"]:
        """Changed poses; `uniform` holds `draws` numbers in [0, 1) for each."""
        normal = ndtri(np.clip(uniform, 1e-6, 1 - 1e-6))
        neck = pose[:, sk.NECK : sk.NECK + 1, :2].astype(np.float64)
        points = pose[..., :2] - neck
        for column, (joint, turned, share) in enumerate(JOINTS):
            centre = points[:, joint : joint + 1]
            points[:, turned] = centre + rotated(points[:, turned] - centre, normal[:, column] * self.limb * share)
        turn, scale, shift = normal[:, -5] * self.turn, np.exp(normal[:, -4:-2] * self.scale), normal[:, -2:] * self.shift
        points = rotated(points, turn) * scale[:, None] + neck + shift[:, None]
        return np.concatenate([points, pose[..., 2:]], axis=-1).astype(np.float32)


def rotated(points: Float[NDArray, "sample point 2"], angle: Float[NDArray, " sample"]) -> Float[NDArray, "sample point 2"]:
    """Points turned about the origin by an angle for each sample, from x towards y."""
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([cosine * points[..., 0] - sine * points[..., 1], sine * points[..., 0] + cosine * points[..., 1]], axis=-1)
