"""The 60 keypoints: OpenPose-18 body, then 21 per hand, and the five body parts that own them (PAPER.md's order).

Everything that depends on which keypoint is where reads it from here.
"""

from enum import IntEnum

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

VISIBLE = 0.3
"""A keypoint of at least this confidence counts as visible (PAPER.md)."""

BODY_NAMES = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
FINGERS = ("thumb", "index", "middle", "ring", "little")
HAND_NAMES = ("wrist", *(f"{finger}_{joint}" for finger in FINGERS for joint in range(1, 5)))
KEYPOINT_NAMES = BODY_NAMES + tuple(f"left_hand_{name}" for name in HAND_NAMES) + tuple(f"right_hand_{name}" for name in HAND_NAMES)
KEYPOINT_COUNT = len(KEYPOINT_NAMES)
BODY_COUNT = len(BODY_NAMES)
BODY = slice(0, 18)
LEFT_HAND = slice(18, 39)
RIGHT_HAND = slice(39, 60)

NOSE, NECK, RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST, LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST = range(8)
RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE, RIGHT_EYE, LEFT_EYE, RIGHT_EAR, LEFT_EAR = range(8, 18)


class BodyPart(IntEnum):
    """Body parts in the order in which stage 2 writes their tokens."""

    UPPER_BODY = 0
    LOWER_BODY = 1
    HEAD = 2
    LEFT_HAND = 3
    RIGHT_HAND = 4


PART_KEYPOINTS: dict[BodyPart, tuple[int, ...]] = {
    BodyPart.UPPER_BODY: (NECK, RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST, LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST),
    BodyPart.LOWER_BODY: (RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE),
    BodyPart.HEAD: (NOSE, RIGHT_EYE, LEFT_EYE, RIGHT_EAR, LEFT_EAR),
    BodyPart.LEFT_HAND: tuple(range(18, 39)),
    BodyPart.RIGHT_HAND: tuple(range(39, 60)),
}

BODY_LIMBS = (
    (NECK, RIGHT_SHOULDER), (NECK, LEFT_SHOULDER), (RIGHT_SHOULDER, RIGHT_ELBOW), (RIGHT_ELBOW, RIGHT_WRIST),
    (LEFT_SHOULDER, LEFT_ELBOW), (LEFT_ELBOW, LEFT_WRIST), (NECK, RIGHT_HIP), (RIGHT_HIP, RIGHT_KNEE), (RIGHT_KNEE, RIGHT_ANKLE),
    (NECK, LEFT_HIP), (LEFT_HIP, LEFT_KNEE), (LEFT_KNEE, LEFT_ANKLE), (NECK, NOSE), (NOSE, RIGHT_EYE), (RIGHT_EYE, RIGHT_EAR),
    (NOSE, LEFT_EYE), (LEFT_EYE, LEFT_EAR),
)  # fmt: skip
HAND_LIMBS = tuple((0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1) for finger in range(5) for joint in range(4))

HEIGHT_PATHS = ((NOSE, NECK, RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE), (NOSE, NECK, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE))
"""The two paths whose length is the body height (PAPER.md), right and left side."""


def _mirrored_name(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name[5:]
    return "left_" + name[6:] if name.startswith("right_") else name


MIRROR = tuple(KEYPOINT_NAMES.index(_mirrored_name(name)) for name in KEYPOINT_NAMES)
"""`keypoints[MIRROR]` with x negated is the mirrored pose."""


def body_distances(pose: Float[NDArray, "frame 60 3"], pool: Float[NDArray, "other 60 3"]) -> Float[NDArray, "frame other"]:
    """Mean distance of the body keypoints that both show, in the poses' unit; infinite where they share none."""
    body, others = pose[:, BODY], pool[:, BODY]
    both = ((body[..., 2] >= VISIBLE)[:, None] & (others[..., 2] >= VISIBLE)[None]).astype(np.float32)
    distance = np.linalg.norm(body[:, None, :, :2] - others[None, :, :, :2], axis=-1)
    shown = both.sum(-1)
    return np.where(shown > 0, (distance * both).sum(-1) / np.maximum(shown, 1), np.inf)
