"""Poses of several splits in one stream."""

import numpy as np
import pytest

from xdancer.data.joined import JoinedPoses
from xdancer.data.order import BlockOrder, Request
from xdancer.data.poses import PoseFrames
from xdancer.data.shards import ShardReader


@pytest.fixture(scope="module")
def sets(tiny, tmp_path_factory) -> list[PoseFrames]:
    folder = tmp_path_factory.mktemp("joined")
    clips = [[tiny.make_clip(number, frames=20) for number in numbers] for numbers in ((0, 1, 2), (3, 4))]
    return [PoseFrames(ShardReader(tiny.write_split(folder / f"part{number}", part))) for number, part in enumerate(clips)]


def test_every_frame_of_every_set_once_and_mixed(sets):
    joined = JoinedPoses(sets)
    assert joined.shard_sizes.sum() == 100
    batch = joined.fetch(BlockOrder(joined.shard_sizes, 0).take(0, 100)).batch
    marks = np.round(batch.keypoints[:, 0, 0].numpy() * [64, 1024]).astype(int)
    assert sorted(map(tuple, marks)) == [(clip, frame) for clip in range(5) for frame in range(20)]
    assert 5 <= (marks[:50, 0] >= 3).sum() <= 35  # the first half of the epoch holds both sets


def test_samples_come_in_the_order_that_was_asked_for(sets):
    joined = JoinedPoses(sets)
    items = np.array([99, 0, 61, 59, 60, 1])
    batch = joined.fetch(Request(items, np.zeros(6, dtype=np.int64))).batch
    singles = [joined.fetch(Request(items[at : at + 1], np.zeros(1, dtype=np.int64))).batch for at in range(6)]
    for row, single in enumerate(singles):
        assert batch.keypoints[row].equal(single.keypoints[0])
        assert batch.confidence[row].equal(single.confidence[0])
