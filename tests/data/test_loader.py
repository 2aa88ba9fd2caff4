"""Loaders: the position counts what was handed out, resuming is exact for any world and worker count, damage stops the run in time."""

import logging
import threading
import time

import numpy as np
import pytest
import torch

from xdancer.data.dances import DanceShape, DanceWindows
from xdancer.data.loader import EvaluationLoader, Position, Share, TrainLoader, read_ahead
from xdancer.data.order import BlockOrder, Request
from xdancer.data.shards import ShardReader
from xdancer.data.windows import DamageLog, Fetched
from xdancer.errors import ShardError

SHAPE = DanceShape(segment_frames=16, history_frames=20, context_frames=4, lookahead_frames=0, features=("librosa",))


@pytest.fixture(scope="module")
def reader(tiny, tmp_path_factory) -> ShardReader:
    return ShardReader(tiny.write_split(tmp_path_factory.mktemp("loader") / "train", [tiny.make_clip(n, frames=50) for n in range(9)]))


def loader(reader, *, batch=4, rank=0, world=1, workers=0, samples=0) -> TrainLoader:
    windows = DanceWindows(reader, SHAPE, training=True)
    order = BlockOrder(windows.shard_sizes, 0)
    return TrainLoader(
        windows, order, batch_size=batch, share=Share(rank, world), workers=workers, position=Position(samples), damage=DamageLog(reader)
    )  # fmt: skip


def marks(batch) -> list[tuple[float, float]]:
    return [tuple(row) for row in batch.pose.keypoints[:, 20, 0].tolist()]


def test_the_position_counts_what_was_handed_out(reader):
    train = loader(reader, workers=2)
    assert len(train) == 27 // 4
    first = [marks(batch) for batch in train]
    assert train.position.samples == 24
    later = iter(train)
    second = [marks(next(later)) for _ in range(2)]
    assert train.position.samples == 32
    plain = loader(reader)
    assert [marks(batch) for _ in range(2) for batch in plain][:8] == first + second  # workers change nothing
    resumed = iter(loader(reader, samples=32))
    assert marks(next(resumed)) == marks(next(later))
    train.close()


def test_a_resumed_run_may_have_another_world(reader):
    one = iter(loader(reader, batch=4, samples=12))
    expected = [mark for _ in range(3) for mark in marks(next(one))]
    ranks = [iter(loader(reader, batch=3, rank=rank, world=2, samples=12)) for rank in range(2)]
    seen = []
    for _ in range(2):
        shares = [marks(next(rank)) for rank in ranks]
        seen += [mark for pair in zip(*shares, strict=True) for mark in pair]
    assert seen == expected


def test_a_set_smaller_than_a_batch_still_trains(reader):
    train = loader(reader, batch=40)
    assert len(train) == 1
    (batch,) = list(train)
    assert len(batch.has_context) == 40


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_is_finite_and_whole(reader, workers):
    windows = DanceWindows(reader, SHAPE, training=False)
    seen = []
    for rank in range(2):
        evaluation = EvaluationLoader(
            windows, BlockOrder(windows.shard_sizes, 0), batch_size=4, share=Share(rank, 2), workers=workers, damage=DamageLog(reader)
        )
        batches = list(evaluation)
        assert len(batches) == len(evaluation)
        seen += [mark for batch in batches for mark in marks(batch)]
    assert len(seen) == 27
    assert len(set(seen)) == 27


def test_no_rank_is_left_without_a_window(reader):
    windows = DanceWindows(reader, SHAPE, training=False)
    order = BlockOrder(windows.shard_sizes, 0)
    last = EvaluationLoader(windows, order, batch_size=4, share=Share(26, 27), workers=0, damage=DamageLog(reader))
    assert len(list(last)) == 1
    with pytest.raises(ShardError, match="gives 27 windows to evaluate on 28 processes"):
        EvaluationLoader(windows, order, batch_size=4, share=Share(0, 28), workers=0, damage=DamageLog(reader))


def test_damaged_clips_are_logged_once_and_stop_the_run_in_time(tiny, tmp_path, caplog):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(n, frames=16) for n in range(20)])
    for number in range(10):
        tiny.corrupt(folder, f"clip-{number:03d}", "librosa.npy")
    reader = ShardReader(folder)
    train = loader(reader, batch=5)
    with caplog.at_level(logging.WARNING):
        batches = [batch for _ in range(3) for batch in train]
    assert all(len(batch.has_context) == 5 for batch in batches)
    assert len(train.damage.reasons) == 10  # not more than 10: goes on
    assert sum("clip 'clip-004' is damaged and skipped" in message for message in caplog.messages) == 1
    tiny.corrupt(folder, "clip-015", "pose.npy")
    with pytest.raises(ShardError, match=r"11 of 20 clips are damaged \(more than 10 and 1%\).*Run `xdancer shards verify"):
        list(loader(reader := ShardReader(folder), batch=20))
    windows = DanceWindows(reader, SHAPE, training=False)
    damage = DamageLog(reader)
    damage.LIMIT = 100
    evaluation = EvaluationLoader(windows, BlockOrder(windows.shard_sizes, 0), batch_size=1, share=Share(), workers=0, damage=damage)
    assert sum(len(batch.has_context) for batch in evaluation) == 9
    assert len(damage.reasons) == 11


def test_batches_are_plain_tensors_of_one_dtype(reader):
    batch = next(iter(loader(reader)))
    assert batch.pose.keypoints.dtype == torch.float32
    assert batch.music.features["librosa"].dtype == torch.float32
    assert batch.context_index.dtype == torch.int64
    assert batch.music.beats.dtype == torch.bool
    assert np.isfinite(batch.pose.keypoints.numpy()).all()


class Slow:
    """Batches that carry the number asked for; early ones take longer."""

    shard_sizes = np.array([9])

    def __init__(self) -> None:
        self.asked: list[int] = []

    def fetch(self, request: Request) -> Fetched[int]:
        number = int(request.items[0])
        self.asked.append(number)
        if number == 7:
            raise ShardError("the seventh")
        time.sleep(0.02 * (number % 3))
        return Fetched(number)


def numbered(count: int) -> list[Request]:
    return [Request(np.array([number]), np.zeros(1, dtype=np.int64)) for number in range(count)]


def test_batches_read_ahead_keep_their_order():
    threads = torch.get_num_threads()
    assert [fetched.batch for fetched in read_ahead(Slow(), numbered(7), 3)] == list(range(7))
    assert torch.get_num_threads() == threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("xdancer-reader")]


def test_no_more_is_read_ahead_than_needed_and_errors_arrive():
    windows = Slow()
    stream = read_ahead(windows, numbered(100), 1)
    assert next(stream).batch == 0
    stream.close()
    assert max(windows.asked) <= 6
    with pytest.raises(ShardError, match="the seventh"):
        list(read_ahead(Slow(), numbered(100), 2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("xdancer-reader")]
