"""What the camera sees of a dancer: pose coordinates and the confidence a detector would give each keypoint."""

import numpy as np
from numpy.typing import NDArray

from xdancer.embedded.body import CURL, EXTRA, LEFT, RIGHT, Array, Body
from xdancer.embedded.identity import Camera, Identity
from xdancer.skeleton import BODY_COUNT, KEYPOINT_COUNT

MISSING_BELOW = 0.05
"""Keypoints less certain than this count as missing: confidence 0 and the last known place."""
_BLUR_SPEED = np.where(np.arange(KEYPOINT_COUNT) < BODY_COUNT, 0.16, 0.13)
"""Pose units per frame at which blur halves the confidence."""
_LEFT_ARM, _RIGHT_ARM = (6, 7, *range(18, 39)), (3, 4, *range(39, 60))
_FACE, _HANDS = (0, 14, 15, 16, 17), (3, 4, 6, 7, *range(18, 60))
_HEAD, _PELVIS = EXTRA["head"], EXTRA["pelvis"]
_OCCLUDERS = (
    # from, to, radius in body heights, keypoints that it can hide
    (1, _PELVIS, 0.075, _HANDS), (_HEAD, _HEAD, 0.06, _HANDS),
    (5, 6, 0.028, (*_FACE, 2, *_RIGHT_ARM)), (6, 7, 0.024, (*_FACE, 1, 2, 5, 8, 11, *_RIGHT_ARM)),
    (2, 3, 0.028, (*_FACE, 5, *_LEFT_ARM)), (3, 4, 0.024, (*_FACE, 1, 2, 5, 8, 11, *_LEFT_ARM)),
    (7, 27, 0.024, (*_FACE, 1, 8, 11, *_RIGHT_ARM)), (4, 48, 0.024, (*_FACE, 1, 8, 11, *_LEFT_ARM)),
    (11, 12, 0.045, (9, 10, *_HANDS)), (12, 13, 0.034, (9, 10, *_HANDS)), (8, 9, 0.045, (12, 13, *_HANDS)), (9, 10, 0.034, (12, 13, *_HANDS)),
)  # fmt: skip


def project(points: Array, camera: Camera) -> Array:
    """(…, 3) metres → (…, 3): x, y in pose coordinates and the depth from the lens in metres."""
    depth = camera.distance - points[..., 2]
    scale = camera.focal / depth
    x = camera.centre[0] + points[..., 0] * scale
    y = camera.centre[1] - (points[..., 1] - camera.height) * scale
    return np.stack([x, y, depth], -1)


def observe(body: Body, posture: Array, identity: Identity) -> NDArray[np.float32]:
    """Pose (frame, 60, 3) with confidence: lower where a keypoint is hidden, blurred by speed or leaves the picture."""
    seen = project(body.points, identity.camera)
    xy = seen[:, :KEYPOINT_COUNT, :2]
    confidence = 0.98 * _unhidden(seen, identity) * _face_turned(body) * _hand_turned(body, posture) * _sharp(xy) * _inside(xy)
    confidence[:, 1] = np.minimum(confidence[:, 2], confidence[:, 5])
    confidence = np.where(confidence < MISSING_BELOW, 0.0, confidence)
    return np.concatenate([_held(xy, confidence), confidence[..., None]], -1).astype(np.float32)


def _unhidden(seen: Array, identity: Identity) -> Array:
    """Falls to .12 behind another part of the body."""
    scale = identity.camera.focal / identity.camera.distance * identity.body.height
    visible = np.ones((len(seen), KEYPOINT_COUNT))
    for start, end, radius, targets in _OCCLUDERS:
        a, b, points = seen[:, None, start], seen[:, None, end], seen[:, list(targets)]
        reach = b[..., :2] - a[..., :2]
        share = ((points[..., :2] - a[..., :2]) * reach).sum(-1) / np.maximum((reach**2).sum(-1), 1e-6)
        share = np.clip(share, 0, 1)
        distance = np.linalg.norm(points[..., :2] - a[..., :2] - share[..., None] * reach, axis=-1)
        width = radius * scale * identity.body.girth
        behind = points[..., 2] - (a[..., 2] + share * (b[..., 2] - a[..., 2]))
        hidden = np.clip((1.15 * width - distance) / (0.5 * width), 0, 1) * np.clip((behind - 0.02) / 0.06, 0, 1)
        visible[:, list(targets)] *= 1 - 0.88 * hidden
    return visible


def _face_turned(body: Body) -> Array:
    """Eyes, ears and nose vanish as the head turns away."""
    side, forward = body.head[:, 2, 0], body.head[:, 2, 2]  # how far left and front point at the camera
    seen = np.ones((len(side), KEYPOINT_COUNT))
    for keypoint, amount in (
        (0, forward),
        (14, forward - 0.45 * side),
        (15, forward + 0.45 * side),
        (16, 0.35 * forward - side),
        (17, 0.35 * forward + side),
    ):
        seen[:, keypoint] = np.clip((amount + 0.25) / 0.5, 0.05, 1)
    return seen


def _hand_turned(body: Body, posture: Array) -> Array:
    """Fingers are harder to tell on a hand seen edge-on, and bent ones behind the back of the hand."""
    seen = np.ones((len(posture), KEYPOINT_COUNT))
    for side, part in enumerate((LEFT, RIGHT)):
        facing = body.palms[:, side, 2:3]
        curl = np.clip(posture[:, part][:, CURL], 0, 1)
        bent = np.repeat(curl, 4, axis=1) * np.tile([0.0, 0.3, 0.8, 1.0], 5) * np.clip(-facing, 0, 1)
        start = 18 + 21 * side
        seen[:, start] = 0.7 + 0.3 * np.abs(facing[:, 0])
        seen[:, start + 1 : start + 21] = (0.6 + 0.4 * np.abs(facing)) * (1 - 0.55 * bent)
    return seen


def _sharp(xy: Array) -> Array:
    """Halves at `_BLUR_SPEED`."""
    if len(xy) < 2:
        return np.ones(xy.shape[:2])
    step = np.linalg.norm(np.diff(xy, axis=0), axis=-1)
    speed = np.maximum(np.concatenate([step[:1], step]), np.concatenate([step, step[-1:]]))
    return 1 / (1 + (speed / _BLUR_SPEED) ** 2)


def _inside(xy: Array) -> Array:
    """1 inside the picture, falling to 0 from just before the border to just behind it."""
    edge = 1 - np.abs(xy).max(-1)
    return np.clip((edge + 0.02) / 0.06, 0, 1)


def _held(xy: Array, confidence: Array) -> Array:
    """Missing keypoints stay at their last known place (before the first sight: at the first one)."""
    frames = np.arange(len(xy))[:, None]
    known = confidence > 0
    last = np.maximum.accumulate(np.where(known, frames, -1), axis=0)
    first = np.where(known.any(0), known.argmax(0), 0)[None]
    return np.take_along_axis(xy, np.where(last >= 0, last, first)[..., None], axis=0)
