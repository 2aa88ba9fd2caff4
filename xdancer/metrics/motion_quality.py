"""Whether hands look like hands, feet stay where they stand, motion is calm, and segments join: figures that need no music.

A pose is an array (frame, 60, 3) of x, y and confidence, as in `pose`: in the coordinates of `PoseBatch` or in pixels. Whatever a clip does not
show gives NaN and a count of 0, never 0 as a score. Each figure is to be read beside the ground truth's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from xdancer import skeleton as sk
from xdancer.errors import XDancerError
from xdancer.metrics.beat_alignment import bootstrap_interval
from xdancer.metrics.pose import body_height, frame_speed, jerk, visible

PALM_TEMPLATE = np.array([[0.0, 0.0], [-0.28, 0.95], [0.0, 1.0], [0.22, 0.92], [0.4, 0.78]])
"""Wrist and the knuckles of index, middle, ring and little finger of a flat hand, in palm lengths (wrist to middle knuckle)."""
PALM_FIT = 0.9
"""Share of the spread of these five points that a linear map of the template explains at least: a palm is nearly flat, and a picture of a
flat thing is a linear map of it from any side."""
BONE_LIMITS = np.array([[0.75, 0.75, 0.6, 0.5], *[[1.3, 0.85, 0.6, 0.5]] * 4])
"""Longest bones (finger, joint) in palm lengths, the one that ends in each joint: about 1.6 times an adult's. Shorter is a matter of view."""
FOLD = 35.0
"""Degrees: a finger whose last two joints bend by more than this in opposite senses in the picture is folded backwards at one of them."""
HAND_SPEED = 30.0
"""Finger points relative to their wrist move at most so many palm lengths a second."""
CONTACT_WINDOW = 0.5
"""Seconds before and after a moment among which the ankle's lowest level is looked for."""
CONTACT_LEVEL = 0.02
"""An ankle within so many body heights of that level may stand."""
CONTACT_SPEED = 0.2
"""It stands when its vertical speed is below this as well, body heights per second."""

_HANDS = (sk.LEFT_HAND, sk.RIGHT_HAND)
_KNUCKLES = (0, 5, 9, 13, 17)
_PARENTS = np.array([start for start, _ in sk.HAND_LIMBS])


@dataclass(frozen=True)
class HandScore:
    """Hands of a clip; `score` = `shown` × `plausible` up to rounding. NaN where no finger point is visible in any frame."""

    score: float
    """Share of finger points that are visible and plausible, over both hands and all frames, in [0, 1]."""
    shown: float
    """Share of finger points that are visible together with their wrist."""
    plausible: float
    """Share of these that are plausible."""
    bad_palm: float
    """Share of visible points whose palm is no flat palm; such a hand is judged no further."""
    bad_length: float
    """Share of visible points at the end of a bone too long for the palm."""
    bad_fold: float
    """Share of visible points of fingers folded backwards."""
    bad_jump: float
    """Share of visible points that jumped since the frame before."""
    hands: int
    """Hands in frames with a visible finger point."""
    frames: int


def hand_score(pose: Float[NDArray, "frame 60 3"], *, fps: int | float = 30.0) -> HandScore:
    """Confidence and plausibility of the fingers.

    score = (visible finger points that pass all four tests) / (20 × 2 hands × frames). The tests of a visible point:

    1. palm: wrist and four knuckles are visible and a linear map of `PALM_TEMPLATE` (`PALM_FIT`); the map's larger singular value is the length
       of the palm in the picture, whatever its tilt;
    2. length: the bone that ends in the point is no longer than `BONE_LIMITS`;
    3. fold: the finger's last two joints bend in one sense (`FOLD`): they are hinges of one plane, and a picture of a plane keeps or turns all
       senses together;
    4. jump: relative to the wrist it moved no faster than `HAND_SPEED` since the frame before, where it was visible there.

    Hands that are in view and not found lower the score as hidden ones do; `plausible` judges the visible points alone. Null:
    `shuffled_fingers`.

    Args:
        pose: any unit.
        fps: frame rate of the pose.
    """
    hands = np.concatenate([pose[:, hand] for hand in _HANDS], axis=1).astype(np.float64).reshape(-1, 2, 21, 3)
    known = np.asarray(np.all(np.isfinite(hands), axis=-1))
    points, confident = np.where(known[..., None], hands[..., :2], 0.0), visible(hands) & known
    seen = confident[..., 1:] & confident[..., :1]
    total = int(seen.sum())
    palm = np.where(confident[..., _KNUCKLES].all(axis=-1), _palm_length(points[..., _KNUCKLES, :]), 0.0)
    flat = palm > 0
    bad_length = (_bone_lengths(points) > BONE_LIMITS.reshape(-1) * palm[..., None]) & flat[..., None]
    bad_fold = np.repeat(_folded(points, confident), 4, axis=-1) & flat[..., None]
    bad_jump = _jumped(points, seen, palm, fps)
    good = seen & flat[..., None] & ~bad_length & ~bad_fold & ~bad_jump

    def share(mask: Bool[NDArray, "frame hand 20"], of: int) -> float:
        return float((mask & seen).sum() / of) if total else float("nan")

    return HandScore(
        score=share(good, seen.size), shown=share(seen, seen.size), plausible=share(good, total),
        bad_palm=share(np.broadcast_to(~flat[..., None], seen.shape), total), bad_length=share(bad_length, total),
        bad_fold=share(bad_fold, total), bad_jump=share(bad_jump, total), hands=int(seen.any(axis=-1).sum()), frames=len(pose),
    )  # fmt: skip


def _palm_length(points: Float[NDArray, "frame hand 5 2"]) -> Float[NDArray, "frame hand"]:
    """Length of the palm (largest singular value of the map from the template), 0 where the five points are no flat palm."""
    template = PALM_TEMPLATE - PALM_TEMPLATE.mean(axis=0)
    centred = points - points.mean(axis=-2, keepdims=True)
    maps = np.linalg.pinv(template) @ centred
    left = np.square(centred - template @ maps).sum(axis=(-2, -1))
    spread = np.square(centred).sum(axis=(-2, -1))
    length = np.linalg.svd(maps, compute_uv=False)[..., 0]
    return np.where((spread > 0) & (left <= (1 - PALM_FIT) * spread), length, 0.0)


def _bone_lengths(points: Float[NDArray, "frame hand 21 2"]) -> Float[NDArray, "frame hand 20"]:
    return np.linalg.norm(points[..., 1:, :] - points[..., _PARENTS, :], axis=-1)


def _folded(points: Float[NDArray, "frame hand 21 2"], confident: Bool[NDArray, "frame hand 21"]) -> Bool[NDArray, "frame hand 5"]:
    """Which fingers bend at their last two joints in opposite senses."""
    fingers = points[..., 1:, :].reshape(*points.shape[:2], 5, 4, 2)
    bones = np.diff(fingers, axis=-2)
    first, second = bones[..., :-1, :], bones[..., 1:, :]
    cross = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    turn = np.degrees(np.arctan2(cross, (first * second).sum(axis=-1)))
    known = confident[..., 1:].reshape(*points.shape[:2], 5, 4).all(axis=-1)
    return known & (np.abs(turn) > FOLD).all(axis=-1) & (turn[..., 0] * turn[..., 1] < 0)


def _jumped(
    points: Float[NDArray, "frame hand 21 2"], seen: Bool[NDArray, "frame hand 20"], palm: Float[NDArray, "frame hand"], fps: int | float
) -> Bool[NDArray, "frame hand 20"]:
    """Which points moved too far since the frame before; the first frame's never did."""
    relative = points[..., 1:, :] - points[..., :1, :]
    limit = HAND_SPEED / fps * np.maximum(palm[1:], palm[:-1])[..., None]
    jumped = np.zeros(seen.shape, dtype=bool)
    jumped[1:] = (np.linalg.norm(np.diff(relative, axis=0), axis=-1) > limit) & (limit > 0) & seen[1:] & seen[:-1]
    return jumped


def shuffled_fingers(pose: Float[NDArray, "frame 60 3"], *, seed: int = 0) -> Float[NDArray, "frame 60 3"]:
    """The null of `hand_score`: in every frame the 20 finger points of each hand change places, confidence and all."""
    rng, shuffled = np.random.default_rng(seed), pose.copy()
    for hand in _HANDS:
        order = rng.permuted(np.tile(np.arange(hand.start + 1, hand.stop), (len(pose), 1)), axis=1)
        shuffled[:, hand.start + 1 : hand.stop] = np.take_along_axis(pose, order[..., None], axis=1)
    return shuffled


@dataclass(frozen=True)
class FootSliding:
    """Standing ankles of a clip. NaN without body height, without visible ankles, or (`speed`) without any contact."""

    speed: float
    """Mean horizontal plus vertical displacement of standing ankles, body heights per second."""
    contact: float
    """Share of the pairs of frames that show an ankle in which it stands."""
    pairs: int
    """Pairs of neighbouring frames that show an ankle, both feet together."""


def foot_sliding(pose: Float[NDArray, "frame 60 3"], *, fps: int | float = 30.0) -> FootSliding:
    """How fast feet that stand move in the picture: mean of (|Δx| + |Δy|) · fps / body height over the standing ankles.

    An ankle stands between two frames when it is visible in both, in both within `CONTACT_LEVEL` body heights of its lowest level from half a
    second before to half a second after, and its vertical speed is below `CONTACT_SPEED`. The horizontal speed does not decide, or no foot
    could slide. In two dimensions a step towards the camera, a heel that turns and the detector's noise count as sliding too.

    Args:
        pose: y down, any unit.
        fps: frame rate of the pose.
    """
    height = body_height(pose)
    if np.isnan(height) or len(pose) < 2:
        return FootSliding(float("nan"), float("nan"), 0)
    reach = max(round(CONTACT_WINDOW * fps), 1)
    moved, stood, pairs = 0.0, 0, 0
    for ankle in (sk.RIGHT_ANKLE, sk.LEFT_ANKLE):
        place = pose[:, ankle, :2].astype(np.float64) / height
        seen = visible(pose)[:, ankle] & np.isfinite(place).all(axis=1)
        level = np.where(seen, place[:, 1], -np.inf)
        padded = np.pad(level, reach, constant_values=-np.inf)
        lowest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
        low = seen & (level >= np.where(np.isfinite(lowest), lowest, 0.0) - CONTACT_LEVEL)
        step = np.abs(np.diff(place, axis=0))
        standing = low[1:] & low[:-1] & (step[:, 1] * fps < CONTACT_SPEED)
        pairs += int((seen[1:] & seen[:-1]).sum())
        stood += int(standing.sum())
        moved += float(step[standing].sum())
    return FootSliding(moved * fps / stood if stood else float("nan"), stood / pairs if pairs else float("nan"), pairs)


def jerk_ratio(pose: Float[NDArray, "frame 60 3"], true: Float[NDArray, "other 60 3"], *, fps: int | float = 30.0) -> float:
    """Jitter: jerk per body height over the ground truth's; 1 = as calm as the truth. NaN where either is unknown or the truth has none.

    Where one of the two shows no body height the unit of both is taken to be the same.
    """
    heights = body_height(pose), body_height(true)
    scale = heights[1] / heights[0] if np.isfinite(heights).all() else 1.0
    own, real = jerk(pose, fps=fps), jerk(true, fps=fps)
    return own * scale / real if real > 0 else float("nan")


def motion_quality(
    pose: Float[NDArray, "frame 60 3"], true: Float[NDArray, "other 60 3"] | None = None, *, fps: int | float = 30.0, seed: int = 0
) -> dict[str, float]:
    """Hands, feet and jitter of one clip with nulls and the ground truth's own values, for `Means`.

    Keys: `hand_score`, `hand_score_null`, `hand_plausible`, `hand_plausible_null`, `foot_sliding`, `foot_contact`; with the truth also these
    with `_true` behind them (no nulls) and `jerk_ratio`.
    """
    values = _one(pose, fps)
    null = hand_score(shuffled_fingers(pose, seed=seed), fps=fps)
    values |= {"hand_score_null": null.score, "hand_plausible_null": null.plausible}
    if true is None:
        return values
    return values | {f"{name}_true": value for name, value in _one(true, fps).items()} | {"jerk_ratio": jerk_ratio(pose, true, fps=fps)}


def _one(pose: Float[NDArray, "frame 60 3"], fps: int | float) -> dict[str, float]:
    hand, foot = hand_score(pose, fps=fps), foot_sliding(pose, fps=fps)
    return {"hand_score": hand.score, "hand_plausible": hand.plausible, "foot_sliding": foot.speed, "foot_contact": foot.contact}


def pose_changes(pose: Float[NDArray, "frame 60 3"]) -> Float[NDArray, " pair"]:
    """Mean way of the visible body keypoints from frame to frame, body heights; entry t lies between frames t and t + 1, NaN without a body."""
    height = body_height(pose)
    return frame_speed(pose[..., :2], pose[..., 2]) / height


def video_changes(frames: UInt8[NDArray, "frame height width 3"]) -> Float[NDArray, " pair"]:
    """Mean absolute difference of neighbouring pictures, of 255; entry t lies between frames t and t + 1."""
    return np.array([np.abs(after.astype(np.int16) - before).mean() for before, after in pairwise(frames)], dtype=np.float64)


def border_gap(changes: Float[NDArray, " pair"], borders: Sequence[int]) -> float:
    """Mean change at the borders minus the mean change inside; NaN without a known change on either side.

    Args:
        changes: of `pose_changes` or `video_changes`.
        borders: numbers of the frames that begin a segment; the change is that from the frame before.

    Raises:
        XDancerError: a border outside the clip.
    """
    wrong = [border for border in borders if not 1 <= border <= len(changes)]
    if wrong:
        raise XDancerError(f"A segment cannot begin at frame {wrong[0]} of a clip of {len(changes) + 1} frames: borders lie at 1 … frames − 1.")
    at = np.zeros(len(changes), dtype=bool)
    at[[border - 1 for border in borders]] = True
    known = np.isfinite(changes)
    outside, inside = changes[at & known], changes[~at & known]
    return float(outside.mean() - inside.mean()) if len(outside) and len(inside) else float("nan")


@dataclass(frozen=True)
class BorderContinuity:
    """Whether segment borders show, over clips; 0 = they do not."""

    gap: float
    """Mean over clips of `border_gap`, less the truth's where given; in the unit of the changes."""
    low: float
    high: float
    """Bootstrap 95 % interval over clips."""
    clips: int
    left_out: int
    """Clips without a known change at a border or inside."""


def border_continuity(
    changes: Sequence[Float[NDArray, " _"]],
    borders: Sequence[Sequence[int]],
    *,
    true: Sequence[Float[NDArray, " _"]] | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> BorderContinuity:
    """Mean `border_gap` of a set with its interval.

    Args:
        changes: of each clip.
        borders: of each clip.
        true: changes of the true clips; a dance is not equally fast everywhere, so the same difference of the truth is taken off.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    gaps = [border_gap(one, at) for one, at in zip(changes, borders, strict=True)]
    if true is not None:
        gaps = [gap - border_gap(one, at) for gap, one, at in zip(gaps, true, borders, strict=True)]
    known = np.array([gap for gap in gaps if np.isfinite(gap)], dtype=np.float64)
    low, high = bootstrap_interval(known, draws=draws, seed=seed)
    return BorderContinuity(float(known.mean()) if len(known) else float("nan"), low, high, len(known), len(gaps) - len(known))
