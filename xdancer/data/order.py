"""Which sample comes when: pure index arithmetic, the same on every rank and in every worker.

Training reads an endless stream of samples, epoch behind epoch. A position is the number of samples consumed by all ranks together, so a
run resumes at the right sample whatever the batch size, the world size or the number of workers now is.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray


@dataclass(frozen=True)
class Request:
    """Samples to fetch as one batch."""

    items: Int[np.ndarray, " sample"]
    epochs: Int[np.ndarray, " sample"]

    def stride(self, rank: int, world: int) -> "Request":
        """The share of one rank."""
        return Request(self.items[rank::world], self.epochs[rank::world])

    def singles(self) -> "list[Request]":
        """Every sample by itself."""
        return [Request(self.items[at : at + 1], self.epochs[at : at + 1]) for at in range(len(self.items))]


@dataclass
class BlockOrder:
    """A permutation from (seed, epoch), shuffled within blocks of neighbouring shards so that reads stay near-sequential.

    Items are numbered shard by shard. Every epoch draws where the blocks begin, their order, and the order inside each. Only the blocks in
    use are ever laid out, so the cost does not depend on the size of the data set.
    """

    shard_sizes: Int[np.ndarray, " shard"]
    """Items per shard."""
    seed: int
    block_shards: int = 8
    """Shards whose items are mixed."""
    _blocks: "OrderedDict[tuple[int, int], NDArray[np.int64]]" = field(default_factory=OrderedDict, repr=False)
    _plans: "OrderedDict[int, tuple[list[NDArray[np.int64]], NDArray[np.int64]]]" = field(default_factory=OrderedDict, repr=False)

    def __len__(self) -> int:
        return int(self.shard_sizes.sum())

    def take(self, position: int, count: int) -> Request:
        """`count` samples from `position` of the endless stream on."""
        items, epochs = [], []
        while count > 0:
            epoch, offset = divmod(position, len(self))
            part = self._within(epoch, offset, min(count, len(self) - offset))
            items.append(part)
            epochs.append(np.full(len(part), epoch, dtype=np.int64))
            position, count = position + len(part), count - len(part)
        return Request(np.concatenate(items), np.concatenate(epochs))

    def _within(self, epoch: int, start: int, count: int) -> NDArray[np.int64]:
        """Part of one epoch's permutation."""
        shards, ends = self._plan(epoch)
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(ends, start + count, side="left"))
        row = np.concatenate([self._block(epoch, number, shards[number]) for number in range(first, last + 1)])
        skip = start - (int(ends[first - 1]) if first else 0)
        return row[skip : skip + count]

    def _plan(self, epoch: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """The epoch's blocks as lists of shards in order of reading, and where each ends."""
        if epoch not in self._plans:
            random = np.random.default_rng((self.seed, epoch))
            used = np.flatnonzero(self.shard_sizes)
            turned = np.roll(used, -int(random.integers(len(used))))
            blocks = [turned[at : at + self.block_shards] for at in range(0, len(turned), self.block_shards)]
            ordered = [blocks[number] for number in random.permutation(len(blocks))]
            self._plans[epoch] = ordered, np.cumsum([self.shard_sizes[block].sum() for block in ordered])
            while len(self._plans) > 2:
                self._plans.popitem(last=False)
        return self._plans[epoch]

    def _block(self, epoch: int, number: int, shards: NDArray[np.int64]) -> NDArray[np.int64]:
        if (epoch, number) not in self._blocks:
            starts = np.cumsum(self.shard_sizes) - self.shard_sizes
            spans = zip(starts[shards].tolist(), self.shard_sizes[shards].tolist(), strict=True)
            items = np.concatenate([np.arange(start, start + size) for start, size in spans])
            np.random.default_rng((self.seed, epoch, number)).shuffle(items)
            self._blocks[epoch, number] = items
            while len(self._blocks) > 3:
                self._blocks.popitem(last=False)
        return self._blocks[epoch, number]


def finite_requests(order: BlockOrder, *, batch_size: int, rank: int, world: int) -> list[Request]:
    """Every item once, split over the ranks without padding or loss; the last batch of a rank may be smaller."""
    mine = order.take(0, len(order)).stride(rank, world)
    return [
        Request(mine.items[at : at + batch_size], mine.epochs[at : at + batch_size]) for at in range(0, len(mine.items), batch_size)
    ]  # fmt: skip


def draw_uniform(seed: int, request: Request, draws: int) -> Float[np.ndarray, "sample draws"]:
    """Numbers in [0, 1) that depend on nothing but (seed, epoch, item): augmentation that a resumed run repeats exactly.

    SplitMix64 (Steele et al. 2014) over a counter made of the three.
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    state = np.full(len(request.items), seed % 2**64, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for value in (request.epochs, request.items):
            state = _mix(state * golden + value.astype(np.uint64) + golden)
        columns = _mix(state[:, None] + golden * np.arange(1, draws + 1, dtype=np.uint64))
    return (columns >> np.uint64(11)).astype(np.float64) / 2**53


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
