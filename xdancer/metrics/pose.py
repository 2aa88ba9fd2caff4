"""Figures of poses: body height, keypoint errors, PCK, speed, jerk, frozen clips (PAPER.md: words used in figures).

A pose is an array (frame, 60, 3) of x, y and confidence. Every ratio here is free of the unit of x and y, so the coordinates of `PoseBatch` and
pixels both do, as long as one call sees one kind. Visible means confidence ≥ .3.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from xdancer import skeleton as sk
from xdancer.skeleton import VISIBLE

FROZEN = 0.1
"""A clip slower than this share of the ground truth's mean speed is frozen."""
FRAME_HEIGHT = 896
"""Height (pixels) of the paper's 896 × 512 frames, whose half is the unit of `PoseBatch`."""
BROKEN_VISIBLE, BROKEN_TORSO = 0.6, (0.4, 1.6)
"""Bounds of `broken_share`."""

HEAD_POINTS = list(sk.PART_KEYPOINTS[sk.BodyPart.HEAD])
_HANDS = (sk.LEFT_HAND, sk.RIGHT_HAND)


def visible(pose: Float[NDArray, "*frame keypoint 3"]) -> Bool[NDArray, "*frame keypoint"]:
    """Which keypoints are visible."""
    return pose[..., 2] >= VISIBLE


def body_height(pose: Float[NDArray, "frame 60 3"]) -> float:
    """Median over the clip of the path nose–neck–hip–knee–ankle, mean of the visible sides.

    A side counts in a frame when its five points are visible. NaN when no side is visible in any frame (a clip without legs has no body height:
    errors in per cent of it are NaN too), or when the path has no length.
    """
    lengths = np.full((len(pose), len(sk.HEIGHT_PATHS)), np.nan)
    for column, points in enumerate(sk.HEIGHT_PATHS):
        path = pose[:, points, :2].astype(np.float64)
        seen = visible(pose)[:, points].all(axis=1)
        lengths[seen, column] = np.linalg.norm(np.diff(path[seen], axis=1), axis=-1).sum(axis=1)
    lengths = lengths[~np.isnan(lengths).all(axis=1)]
    median = float(np.median(np.nanmean(lengths, axis=1))) if len(lengths) else 0.0
    return median if median > 0 else float("nan")


def wrist_aligned(pose: Float[NDArray, "frame 60 3"]) -> Float[NDArray, "frame hand 20 2"]:
    """The 20 finger points of each hand (left, right) relative to that hand's wrist."""
    hands = np.stack([pose[:, hand, :2] for hand in _HANDS], axis=1).astype(np.float64)
    return hands[:, :, 1:] - hands[:, :, :1]


def fingers_visible(pose: Float[NDArray, "frame 60 3"]) -> Bool[NDArray, "frame hand 20"]:
    """Finger points that are visible together with their wrist."""
    hands = np.stack([visible(pose)[:, hand] for hand in _HANDS], axis=1)
    return hands[:, :, 1:] & hands[:, :, :1]


def mean_hand(poses: Sequence[Float[NDArray, "_ 60 3"]]) -> Float[NDArray, "hand 20 2"]:
    """Mean wrist-aligned hands of a set of clips, in body heights of each clip: the baseline that ignores what the hands do."""
    total, count = np.zeros((2, 20, 2)), np.zeros((2, 20, 1))
    for pose in poses:
        height = body_height(pose)
        if np.isnan(height):
            continue
        seen = fingers_visible(pose)[..., None]
        total += np.where(seen, wrist_aligned(pose) / height, 0.0).sum(axis=0)
        count += seen.sum(axis=0)
    return total / np.maximum(count, 1)


def keypoint_errors(
    predicted: Float[NDArray, "frame 60 3"],
    target: Float[NDArray, "frame 60 3"],
    *,
    baseline_hand: Float[NDArray, "hand 20 2"] | None = None,
) -> dict[str, float]:
    """Mean distance of the target's visible keypoints from the predicted ones, in the poses' own unit.

    Keys: `full` (all 60 keypoints), `body` (the 18 body keypoints), `head` (nose, eyes, ears), `hands` (both hands, 42 points),
    `hands_wrist_aligned` (20 finger points per hand, both hands moved so that the wrists coincide), `hands_mean_hand` (the same for the mean
    hand, moved to the true wrist). `full`, `head` and `hands` are the columns of the paper's pose error.

    Args:
        predicted: the confidence is not read.
        target: decides what is visible.
        baseline_hand: the result of `mean_hand` over a set; default: the mean hand of this very clip, a stronger baseline.

    Returns:
        NaN where nothing is visible; `hands_mean_hand` also for a clip without body height.
    """
    distance = np.linalg.norm(predicted[..., :2].astype(np.float64) - target[..., :2], axis=-1)
    seen, fingers = visible(target), fingers_visible(target)
    true_hands = wrist_aligned(target)
    baseline = mean_hand([target]) if baseline_hand is None else baseline_hand
    groups = {
        "full": distance[seen],
        "body": distance[:, sk.BODY][seen[:, sk.BODY]],
        "head": distance[:, HEAD_POINTS][seen[:, HEAD_POINTS]],
        "hands": distance[:, sk.BODY_COUNT :][seen[:, sk.BODY_COUNT :]],
        "hands_wrist_aligned": np.linalg.norm(wrist_aligned(predicted) - true_hands, axis=-1)[fingers],
        "hands_mean_hand": np.linalg.norm(baseline * body_height(target) - true_hands, axis=-1)[fingers],
    }
    return {name: float(values.mean()) if values.size else float("nan") for name, values in groups.items()}


def percent_errors(
    predicted: Float[NDArray, "frame 60 3"],
    target: Float[NDArray, "frame 60 3"],
    *,
    baseline_hand: Float[NDArray, "hand 20 2"] | None = None,
) -> dict[str, float]:
    """`keypoint_errors` in per cent of the target's body height; NaN for a clip without one."""
    height = body_height(target)
    return {name: 100.0 * error / height for name, error in keypoint_errors(predicted, target, baseline_hand=baseline_hand).items()}


def percent_errors_of_set(pairs: Sequence[tuple[Float[NDArray, "_ 60 3"], Float[NDArray, "_ 60 3"]]]) -> dict[str, float]:
    """Means over clips of `percent_errors` for (predicted, target) pairs; the mean hand is that of all targets together."""
    baseline = mean_hand([target for _, target in pairs])
    return _means([percent_errors(predicted, target, baseline_hand=baseline) for predicted, target in pairs])


def pixel_errors_of_set(pairs: Sequence[tuple[Float[NDArray, "_ 60 3"], Float[NDArray, "_ 60 3"]]]) -> dict[str, float]:
    """Means over clips of `keypoint_errors` in pixels of a frame of `FRAME_HEIGHT`, for poses in the coordinates of `PoseBatch`."""
    baseline = mean_hand([target for _, target in pairs])
    rows = [keypoint_errors(predicted, target, baseline_hand=baseline) for predicted, target in pairs]
    return {name: error * FRAME_HEIGHT / 2 for name, error in _means(rows).items()}


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean over clips of every figure, without the clips that do not have it."""
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
    return {name: float(np.nanmean(values)) if not np.isnan(values).all() else float("nan") for name, values in columns.items()}


def pck_counts(
    predicted: Float[NDArray, "frame 60 3"],
    target: Float[NDArray, "frame 60 3"],
    *,
    threshold: float = 0.1,
    height: float | None = None,
) -> tuple[int, int]:
    """(keypoints within the threshold, visible body keypoints of the target): the sums behind `pck`.

    `height` is the body height, by default the target's own; (0, 0) without one.
    """
    limit = threshold * (body_height(target) if height is None else height)
    if np.isnan(limit):
        return 0, 0
    seen = visible(target)[:, sk.BODY]
    distance = np.linalg.norm(predicted[:, sk.BODY, :2].astype(np.float64) - target[:, sk.BODY, :2], axis=-1)
    hit = (distance <= limit) & (predicted[:, sk.BODY, 2] > 0)
    return int((hit & seen).sum()), int(seen.sum())


def pck(predicted: Float[NDArray, "frame 60 3"], target: Float[NDArray, "frame 60 3"], threshold: float = 0.1) -> float:
    """Share of the target's visible body keypoints that the prediction has within `threshold` body heights.

    A predicted keypoint of confidence 0 was not found and is a miss. NaN when nothing is visible or the
    target has no body height.
    """
    hits, total = pck_counts(predicted, target, threshold=threshold)
    return hits / total if total else float("nan")


def nearest_poses(pose: Float[NDArray, "frame 60 3"], pool: Float[NDArray, "other 60 3"]) -> Int[NDArray, " frame"]:
    """Number of the pose in `pool` whose body lies nearest to each pose: least mean distance over the keypoints that both show."""
    return sk.body_distances(pose, pool).argmin(1)


def frame_speed(keypoints: Float[NDArray, "frame joint axis"], confidence: Float[NDArray, "frame joint"]) -> Float[NDArray, "pair"]:
    """Mean speed of the body joints between neighbouring frames, in units per frame; entry t lies at t + ½ frames.

    Of 60 keypoints the first 18 are the body; of any other skeleton every joint counts. The coordinates may be 2D or 3D. The mean is over
    joints visible in both frames, because a held missing point has speed 0 and then jumps; pairs without any are interpolated
    from their neighbours in time, and are NaN throughout when the clip shows no joint at all. A joint at NaN is not visible.
    """
    joints = sk.BODY if keypoints.shape[1] == sk.KEYPOINT_COUNT else slice(None)
    change = np.diff(keypoints[:, joints].astype(np.float64), axis=0)
    steps = np.sqrt(sum(change[..., axis] ** 2 for axis in range(change.shape[-1])))  # a third of the time of linalg.norm
    seen = confidence[:, joints] >= VISIBLE
    both = seen[1:] & seen[:-1] & np.isfinite(steps)
    count = both.sum(axis=1)
    known = count > 0
    if not known.any():
        return np.full(len(steps), np.nan)
    speed = np.where(both, steps, 0.0).sum(axis=1) / np.maximum(count, 1)
    return speed if known.all() else np.interp(np.arange(len(speed)), np.flatnonzero(known), speed[known])


def mean_speed(pose: Float[NDArray, "frame 60 3"], *, fps: int | float = 30.0) -> float:
    """Mean speed of the visible body joints, units per second; NaN without any visible joint or with fewer than two frames."""
    speed = frame_speed(pose[..., :2], pose[..., 2])
    return float(speed.mean()) * fps if len(speed) else float("nan")


def frozen(pose: Float[NDArray, "frame 60 3"], reference: Float[NDArray, "other 60 3"], *, share: float = FROZEN) -> bool:
    """Whether the mean speed is below a tenth of the reference's (the ground truth's)."""
    return not mean_speed(pose) >= share * mean_speed(reference)


def broken_share(pose: Float[NDArray, "frame 60 3"], reference: Float[NDArray, "other 60 3"]) -> float:
    """Share of frames that show no body any more: fewer than 60 % of the reference's usual number of visible body keypoints, or a torso (neck
    to mid-hip) shorter than .4 or longer than 1.6 of the reference's median. A skeleton that has fallen apart can keep the beat and the speed.
    """
    hips = [sk.RIGHT_HIP, sk.LEFT_HIP]
    torso, torso_true = (
        np.linalg.norm(dance[:, sk.NECK, :2].astype(np.float64) - dance[:, hips, :2].mean(axis=1), axis=-1) for dance in (pose, reference)
    )
    seen, seen_true = (visible(dance)[:, sk.BODY].sum(axis=1) for dance in (pose, reference))
    ratio = torso / max(float(np.median(torso_true)), 1e-9)
    return float(((seen < BROKEN_VISIBLE * np.median(seen_true)) | (ratio < BROKEN_TORSO[0]) | (ratio > BROKEN_TORSO[1])).mean())


def jerk(pose: Float[NDArray, "frame 60 3"], *, fps: int | float = 30.0) -> float:
    """Mean norm of the third time derivative of the visible body joints, units/s³; NaN when nothing is visible for four frames."""
    third = np.linalg.norm(np.diff(pose[:, sk.BODY, :2].astype(np.float64), n=3, axis=0), axis=-1)
    seen = visible(pose)[:, sk.BODY]
    if len(seen) < 4:
        return float("nan")
    values = third[seen[3:] & seen[2:-1] & seen[1:-2] & seen[:-3]]
    return float(values.mean()) * fps**3 if values.size else float("nan")
