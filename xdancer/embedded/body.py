"""From a posture (51 numbers, free of body size) to points in space: torso, arms and fingers by rotation, legs by inverse kinematics.

World: x to the picture's right (the dancer's left), y up, z towards the camera, metres, floor at y = 0; the dancer faces +z.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdancer.embedded.identity import Proportions
from xdancer.skeleton import KEYPOINT_COUNT

Array = NDArray[np.float64]

HEADING = 0
"""Turn of the whole dance on the floor, radians."""
PELVIS = slice(1, 4)
"""Place of the hip line: x, z in leg lengths, y as a share of the straight leg."""
PELVIS_TURN = slice(4, 7)
"""Yaw to the dancer's left, pitch forward, roll, radians."""
CHEST_TURN = slice(7, 10)
"""The same, relative to the pelvis."""
HEAD_TURN = slice(10, 13)
"""The same, relative to the chest."""
LEFT = slice(13, 32)
RIGHT = slice(32, 51)
WIDTH = 51
UPPER_ARM, FOREARM, PALM, FOOT = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)
"""Within a side: directions in the chest's frame (x outwards) and the ankle's place in leg lengths (x outwards)."""
KNEE = 12
"""Within a side: how far the knee points outwards, radians."""
CURL = slice(13, 18)
"""Within a side: bend of thumb … little finger, 0 = straight, 1 = fist."""
SPREAD = 18
"""Within a side: how far the fingers are apart, 0 … 1."""
_SIGN = np.ones(WIDTH)
_SIGN[[0, 1, 4, 6, 7, 9, 10, 12]] = -1
_SWAP = np.r_[0:13, 32:51, 13:32]

EXTRA_NAMES = ("pelvis", "head", "head_top", "chin", "face", "left_toe", "right_toe", "left_heel", "right_heel")
"""Points beside the 60 keypoints, for the picture and for occlusion."""
EXTRA = {name: KEYPOINT_COUNT + index for index, name in enumerate(EXTRA_NAMES)}
POINT_COUNT = KEYPOINT_COUNT + len(EXTRA_NAMES)


def mirrored(posture: Array) -> Array:
    """The posture seen in a mirror, (…, 51)."""
    return posture[..., _SWAP] * _SIGN


def rotation(turn: Array) -> Array:
    """Matrices (…, 3, 3) of (…, 3) yaw, pitch, roll: roll first, yaw last."""
    (cy, cp, cr), (sy, sp, sr) = np.moveaxis(np.cos(turn), -1, 0), np.moveaxis(np.sin(turn), -1, 0)
    rows = [
        [cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, sy * cp],
        [cp * sr, cp * cr, -sp],
        [-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def unit(vector: Array) -> Array:
    """Vectors scaled to length 1."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def apply(matrix: Array, vector: Array) -> Array:
    """Matrices (…, 3, 3) times vectors (…, 3)."""
    return (matrix @ vector[..., None])[..., 0]


@dataclass(frozen=True)
class Body:
    """A dancer in space over time."""

    points: Array
    """(frame, 69, 3) metres: the 60 keypoints, then `EXTRA_NAMES`."""
    head: Array
    """(frame, 3, 3): columns are the head's left, up and forward."""
    palms: Array
    """(frame, 2, 3): outward normals of the left and right palm."""


def assemble(posture: Array, body: Proportions) -> Body:
    """Points of the postures (frame, 51) on a body of those proportions."""
    heading = np.zeros((len(posture), 3))
    heading[:, 0] = posture[:, HEADING]
    world = rotation(heading)
    pelvis_frame = world @ rotation(posture[:, PELVIS_TURN])
    chest = pelvis_frame @ rotation(posture[:, CHEST_TURN])
    head = chest @ rotation(posture[:, HEAD_TURN])
    place = posture[:, PELVIS] * body.leg
    place[:, 1] += body.ankle
    pelvis = apply(world, place)

    points = np.zeros((len(posture), POINT_COUNT, 3))
    points[:, EXTRA["pelvis"]] = pelvis
    middle = pelvis + pelvis_frame[:, :, 1] * 0.45 * body.spine
    neck = middle + chest[:, :, 1] * 0.55 * body.spine
    _place_head(points, neck, chest, head, body)
    palms = np.zeros((len(posture), 2, 3))
    for side, (part, sign) in enumerate(((LEFT, 1.0), (RIGHT, -1.0))):
        values = posture[:, part]
        _place_leg(points, side, sign, values, pelvis, pelvis_frame, world, body)
        palms[:, side] = _place_arm(points, side, sign, values, neck, chest, body)
    points[:, 1] = (points[:, 2] + points[:, 5]) / 2  # neck = middle of the shoulders
    return Body(points, head, palms)


def _place_head(points: Array, neck: Array, chest: Array, head: Array, body: Proportions) -> None:
    left, up, forward = head[:, :, 0], head[:, :, 1], head[:, :, 2]
    r = body.head
    centre = neck + chest[:, :, 1] * 0.35 * body.neck + up * 0.75 * body.neck + forward * 0.12 * r
    points[:, EXTRA["head"]] = centre
    points[:, EXTRA["head_top"]] = centre + up * r
    points[:, EXTRA["chin"]] = centre - up * 0.95 * r + forward * 0.3 * r
    points[:, EXTRA["face"]] = centre + forward * 0.85 * r
    points[:, 0] = centre + forward * 1.0 * r - up * 0.12 * r
    for eye, ear, sign in ((15, 17, 1.0), (14, 16, -1.0)):
        points[:, eye] = centre + forward * 0.78 * r + up * 0.16 * r + left * sign * 0.34 * r
        points[:, ear] = centre - forward * 0.05 * r + left * sign * 0.74 * r


def _place_leg(points: Array, side: int, sign: float, values: Array, pelvis: Array, frame: Array, world: Array, body: Proportions) -> None:
    hip = pelvis + frame[:, :, 0] * sign * body.hip
    foot = values[:, FOOT] * [sign * body.leg, body.leg, body.leg]
    foot[:, 1] = np.maximum(foot[:, 1], 0) + body.ankle
    reach = apply(world, foot) - hip
    length = np.linalg.norm(reach, axis=-1, keepdims=True)
    longest, softness = 0.995 * body.leg, 0.06 * body.leg
    over = np.maximum(length - (longest - softness), 0)
    length_used = np.where(over > 0, longest - softness * np.exp(-over / softness), length)  # a leg never snaps straight
    direction = reach / np.maximum(length, 1e-9)
    ankle = hip + direction * length_used
    out = values[:, KNEE] * sign + 0.6 * np.arctan2(frame[:, 0, 2], frame[:, 2, 2])
    pole = np.stack([np.sin(out), np.full(len(out), 0.15), np.cos(out)], -1)
    pole = unit(pole - (pole * direction).sum(-1, keepdims=True) * direction)
    along = (length_used**2 + body.thigh**2 - body.shank**2) / (2 * length_used)
    height = np.sqrt(np.maximum(body.thigh**2 - along**2, 0))
    knee = hip + direction * along + pole * height
    for index, value in zip(((11, 12, 13), (8, 9, 10))[side], (hip, knee, ankle), strict=True):
        points[:, index] = value
    toes = np.stack([np.sin(out + sign * 0.25), np.zeros(len(out)), np.cos(out + sign * 0.25)], -1)
    lift = np.clip((ankle[:, 1:2] - body.ankle) / body.leg, 0, 1)
    drop = np.where(lift > 0, 1.0, 0.0) * np.minimum(lift * 2, 0.7)
    name = ("left", "right")[side]
    sole = ankle - [0, 0.7 * body.ankle, 0]
    points[:, EXTRA[f"{name}_toe"]] = sole + toes * 0.1 * body.height - drop * [0, 0.07 * body.height, 0]
    points[:, EXTRA[f"{name}_heel"]] = sole - toes * 0.025 * body.height


def _place_arm(points: Array, side: int, sign: float, values: Array, neck: Array, chest: Array, body: Proportions) -> Array:
    outward = np.array([sign, 1.0, 1.0])
    upper = apply(chest, unit(values[:, UPPER_ARM]) * outward)
    fore = apply(chest, unit(values[:, FOREARM]) * outward)
    raised = np.maximum((upper * chest[:, :, 1]).sum(-1, keepdims=True), 0)
    shoulder = neck + chest[:, :, 0] * sign * body.shoulder + chest[:, :, 1] * (raised * 0.35 - 0.08) * body.shoulder
    elbow = shoulder + upper * body.upper_arm
    wrist = elbow + fore * body.forearm
    for index, value in zip(((5, 6, 7), (2, 3, 4))[side], (shoulder, elbow, wrist), strict=True):
        points[:, index] = value
    palm = apply(chest, values[:, PALM] * outward)
    palm = unit(palm - (palm * fore).sum(-1, keepdims=True) * fore)
    thumb_side = np.cross(fore, palm) * -sign
    start = 18 + 21 * side
    points[:, start : start + 21] = _hand(wrist, fore, palm, thumb_side, values[:, CURL], values[:, SPREAD], body.hand)
    return palm


_FINGER_BASE = np.array([[0.26, 0.16], [0.2, 0.5], [0.06, 0.53], [-0.07, 0.5], [-0.19, 0.44]])
"""Across (to the thumb's side) and along the hand, in hand lengths, of the five fingers' first joints."""
_FINGER_BONES = np.array([[0.2, 0.16, 0.13], [0.22, 0.13, 0.1], [0.24, 0.15, 0.11], [0.22, 0.14, 0.1], [0.17, 0.1, 0.09]])
_FINGER_FAN = np.array([0.75, 0.22, 0.02, -0.18, -0.38])
"""Angle of each finger to the hand when spread, radians."""
_FINGER_BEND = np.array([[0.25, 0.7, 0.9], [1.35, 1.6, 0.9], [1.35, 1.6, 0.9], [1.35, 1.6, 0.9], [1.35, 1.6, 0.9]])
"""Bend of the three joints of a fist, radians."""


def _hand(wrist: Array, along: Array, palm: Array, across: Array, curl: Array, spread: Array, size: float) -> Array:
    """(frame, 21, 3): wrist, then four joints of thumb … little finger."""
    curl, spread = np.clip(curl, -0.1, 1.05), np.clip(spread, 0, 1)
    points = np.empty((len(wrist), 21, 3))
    points[:, 0] = wrist
    base = _FINGER_BASE[:, 0, None] * across[:, None] + _FINGER_BASE[:, 1, None] * along[:, None]  # (frame, finger, 3)
    fan = _FINGER_FAN * (0.25 + 0.75 * spread[:, None])
    fan[:, 0] = _FINGER_FAN[0] * (0.35 + 0.65 * spread) * (1 - 0.9 * curl[:, 0])
    direction = np.cos(fan)[..., None] * along[:, None] + np.sin(fan)[..., None] * across[:, None]
    joint = wrist[:, None] + base * size
    points[:, 1::4] = joint
    bend = np.zeros_like(curl)
    inward = palm[:, None] + np.array([-0.9, 0, 0, 0, 0])[:, None] * across[:, None]  # the thumb closes across the palm
    inward = unit(inward - (inward * direction).sum(-1, keepdims=True) * direction)
    for bone in range(3):
        bend = bend + curl * _FINGER_BEND[:, bone]
        step = np.cos(bend)[..., None] * direction + np.sin(bend)[..., None] * inward
        joint = joint + step * _FINGER_BONES[:, bone, None] * size
        points[:, 2 + bone :: 4] = joint
    return points
