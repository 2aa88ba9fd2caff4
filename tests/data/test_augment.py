"""Random changes to poses: nothing at zero, limbs keep their lengths, equal requests give equal poses."""

import numpy as np
import pytest

from xdancer import skeleton as sk
from xdancer.data.augment import JOINTS, PoseAugmentation
from xdancer.data.order import BlockOrder
from xdancer.data.poses import PoseFrames
from xdancer.data.shards import ShardReader

NONE = {"limb": 0.0, "turn": 0.0, "scale": 0.0, "shift": 0.0}


def make_poses(count: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.uniform(-1, 1, (count, 60, 2)), rng.random((count, 60, 1))], axis=-1).astype(np.float32)


def lengths(pose: np.ndarray) -> np.ndarray:
    return np.stack([np.linalg.norm(pose[:, a, :2] - pose[:, b, :2], axis=-1) for a, b in sk.BODY_LIMBS])


def change(pose: np.ndarray, **values: float) -> np.ndarray:
    augment = PoseAugmentation(**(NONE | values))
    return augment(pose, np.random.default_rng(1).random((len(pose), augment.draws)))


def test_without_size_nothing_changes() -> None:
    np.testing.assert_allclose(change(make_poses()), make_poses(), atol=1e-6)


def test_turned_limbs_keep_their_lengths_and_confidence() -> None:
    pose = make_poses()
    turned = change(pose, limb=0.5, turn=0.2, shift=0.1)
    np.testing.assert_allclose(lengths(turned), lengths(pose), atol=1e-5)
    np.testing.assert_array_equal(turned[..., 2], pose[..., 2])
    assert np.abs(turned[:, sk.RIGHT_WRIST, :2] - pose[:, sk.RIGHT_WRIST, :2]).mean() > 0.2
    fingers = [np.linalg.norm(np.diff(one[:, sk.LEFT_HAND, :2], axis=1), axis=-1) for one in (turned, pose)]
    np.testing.assert_allclose(*fingers, atol=1e-5)


def test_scale_and_shift_are_as_large_as_asked() -> None:
    pose = make_poses(4000)
    moved = change(pose, shift=0.03)[:, sk.NECK, :2] - pose[:, sk.NECK, :2]
    assert moved.std(axis=0) == pytest.approx([0.03, 0.03], rel=0.1)
    grown = np.log(np.ptp(change(pose, scale=0.05)[..., :2], axis=1) / np.ptp(pose[..., :2], axis=1))
    assert grown.std(axis=0) == pytest.approx([0.05, 0.05], rel=0.1)
    assert len({joint for joint, _, _ in JOINTS}) == len(JOINTS) == PoseAugmentation().draws - 5


def test_equal_requests_give_equal_poses_and_evaluation_is_untouched(tiny, tmp_path) -> None:
    reader = ShardReader(tiny.write_split(tmp_path / "train", [tiny.make_clip(number) for number in range(2)]))
    plain, changed = PoseFrames(reader), PoseFrames(reader, augment=PoseAugmentation())
    request = BlockOrder(plain.shard_sizes, 0).take(0, 32)
    first, again = changed.fetch(request).batch, changed.fetch(request).batch
    assert first.keypoints.equal(again.keypoints)
    assert not first.keypoints.equal(plain.fetch(request).batch.keypoints)
    later = BlockOrder(plain.shard_sizes, 0).take(int(plain.shard_sizes.sum()), 32)
    assert not changed.fetch(later).batch.keypoints.equal(first.keypoints)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 0"):
        PoseAugmentation(limb=-0.1)
