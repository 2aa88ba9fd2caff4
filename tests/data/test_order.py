"""The order of samples: a permutation, deterministic, mixed within blocks of shards, strided over ranks, resumable anywhere."""

import numpy as np
import pytest

from xdancer.data.order import BlockOrder, Request, draw_uniform, finite_requests

SIZES = np.array([5, 0, 7, 3, 11, 2, 6, 9])


@pytest.mark.parametrize("block", [1, 3, 8, 100])
def test_every_epoch_is_a_permutation_and_differs(block):
    order = BlockOrder(SIZES, seed=1, block_shards=block)
    epochs = [order.take(epoch * len(order), len(order)) for epoch in range(3)]
    for number, epoch in enumerate(epochs):
        assert sorted(epoch.items) == list(range(43))
        assert set(epoch.epochs) == {number}
    assert not np.array_equal(epochs[0].items, epochs[1].items)
    assert not np.array_equal(epochs[0].items, BlockOrder(SIZES, seed=2, block_shards=block).take(0, 43).items)


def test_reads_stay_within_a_block_of_neighbouring_shards():
    sizes = np.full(20, 10)
    items = BlockOrder(sizes, seed=3, block_shards=4).take(0, 200).items
    for block in range(5):
        shards = set(items[block * 40 : block * 40 + 40] // 10)
        assert len(shards) == 4
        assert shards in [{(first + offset) % 20 for offset in range(4)} for first in range(20)]


def test_any_cut_of_the_stream_reads_the_same():
    whole = BlockOrder(SIZES, seed=5, block_shards=3).take(0, 150)
    order = BlockOrder(SIZES, seed=5, block_shards=3)
    for start, count in ((0, 1), (42, 3), (17, 90), (100, 50), (3, 4)):
        part = order.take(start, count)
        np.testing.assert_array_equal(part.items, whole.items[start : start + count])
        np.testing.assert_array_equal(part.epochs, whole.epochs[start : start + count])


def test_ranks_take_strides_that_make_up_the_batch():
    request = BlockOrder(SIZES, seed=5).take(10, 12)
    shares = [request.stride(rank, 3).items for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    np.testing.assert_array_equal(np.stack(shares, axis=1).ravel(), request.items)


@pytest.mark.parametrize(("world", "batch"), [(1, 4), (2, 4), (3, 50), (4, 1)])
def test_evaluation_sees_every_item_once(world, batch):
    order = BlockOrder(SIZES, seed=0)
    requests = [finite_requests(order, batch_size=batch, rank=rank, world=world) for rank in range(world)]
    seen = np.concatenate([request.items for rank in requests for request in rank])
    assert sorted(seen) == list(range(43))
    assert max(len(request.items) for rank in requests for request in rank) <= batch


def test_draws_depend_on_seed_epoch_and_item_only():
    request = Request(np.arange(4000), np.repeat([0, 1], 2000))
    draws = draw_uniform(7, request, 3)
    np.testing.assert_array_equal(draws[100:101], draw_uniform(7, Request(np.array([100]), np.array([0])), 3))
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.05
    assert abs(np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1]) < 0.05
    assert len(np.unique(draws)) == draws.size
    assert not np.array_equal(draws, draw_uniform(8, request, 3))
