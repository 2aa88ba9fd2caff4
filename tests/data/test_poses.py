"""Stage 1's frames: in memory and from disk the same, mirrored with their confidence, past damaged clips."""

import numpy as np
import pytest

from xdancer.data.order import BlockOrder
from xdancer.data.poses import PoseFrames, mirror_poses
from xdancer.data.shards import DamagedSampleError, ShardReader
from xdancer.skeleton import LEFT_WRIST, RIGHT_WRIST


@pytest.fixture(scope="module")
def reader(tiny, tmp_path_factory) -> ShardReader:
    return ShardReader(tiny.write_split(tmp_path_factory.mktemp("poses") / "train", [tiny.make_clip(n, frames=40 + n) for n in range(6)]))


@pytest.mark.parametrize("memory", [10**9, 0])
def test_every_frame_once_per_epoch(reader, memory):
    poses = PoseFrames(reader, memory_limit=memory)
    assert (poses.loaded is None) == (memory == 0)
    total = int(poses.shard_sizes.sum())
    assert total == sum(40 + number for number in range(6))
    batch = poses.fetch(BlockOrder(poses.shard_sizes, 0).take(0, total)).batch
    assert batch.keypoints.shape == (total, 1, 60, 2)
    marks = np.round(batch.keypoints[:, 0, 0].numpy() * [64, 1024]).astype(int)
    assert sorted(map(tuple, marks)) == [(clip, frame) for clip in range(6) for frame in range(40 + clip)]


def test_memory_and_disk_give_the_same_batches(reader):
    held, read = (
        PoseFrames(reader, mirror=True, frame_range=(0.25, 0.5)),
        PoseFrames(reader, mirror=True, frame_range=(0.25, 0.5), memory_limit=0),
    )
    request = BlockOrder(held.shard_sizes, 4).take(30, 64)
    assert held.fetch(request).batch.keypoints.equal(read.fetch(request).batch.keypoints)


def test_mirror_exchanges_sides_and_confidence():
    pose = np.random.default_rng(0).random((3, 60, 3)).astype(np.float32)
    mirrored = mirror_poses(pose)
    np.testing.assert_array_equal(mirrored[:, LEFT_WRIST, 0], -pose[:, RIGHT_WRIST, 0])
    np.testing.assert_array_equal(mirrored[:, LEFT_WRIST, 1:], pose[:, RIGHT_WRIST, 1:])
    np.testing.assert_array_equal(mirror_poses(mirrored), pose)


@pytest.mark.parametrize("memory", [10**9, 0])
def test_damaged_clips_are_replaced_and_named(tiny, tmp_path, memory):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(number, frames=20) for number in range(5)])
    for key in ("clip-000", "clip-003"):
        tiny.corrupt(folder, key, "pose.npy")
    poses = PoseFrames(ShardReader(folder), memory_limit=memory)
    fetched = poses.fetch(BlockOrder(poses.shard_sizes, 0).take(0, 100))
    assert set(fetched.damaged) == {"clip-000", "clip-003"}
    clips = np.round(fetched.batch.keypoints[:, 0, 0, 0].numpy() * 64).astype(int)
    assert set(clips) == {1, 2, 4}
    for key in ("clip-001", "clip-002", "clip-004"):
        tiny.corrupt(folder, key, "pose.npy")
    with pytest.raises(DamagedSampleError, match="and so is every other clip"):
        PoseFrames(ShardReader(folder), memory_limit=memory).fetch(BlockOrder(poses.shard_sizes, 0).take(0, 100))
