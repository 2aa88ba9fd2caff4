"""Loaders over window sets: an endless, resumable stream for training and a finite pass for evaluation, with or without workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from xdancer.data.order import BlockOrder, Request, finite_requests
from xdancer.data.windows import DamageLog, Fetched, WindowSet
from xdancer.errors import ShardError

BatchT = TypeVar("BatchT")


@dataclass
class Position:
    """How far training has come; the one thing a checkpoint needs to continue the data."""

    samples: int = 0
    """Consumed by all ranks together since training began."""


@dataclass(frozen=True)
class Share:
    """Which part of every global batch this process takes."""

    rank: int = 0
    world: int = 1


class _Batches(Dataset[Fetched[BatchT]], Generic[BatchT]):
    """A window set as PyTorch's map-style data set whose index is a whole batch."""

    def __init__(self, windows: WindowSet[BatchT]) -> None:
        self.windows = windows

    def __getitem__(self, index: Request) -> Fetched[BatchT]:
        return self.windows.fetch(index)


class _Stream(Sampler[Request]):
    """This rank's share of one global batch after the other, without end."""

    def __init__(self, order: BlockOrder, position: int, batch_size: int, share: Share) -> None:
        self.order, self.position, self.batch_size, self.share = order, position, batch_size, share

    def __iter__(self) -> Iterator[Request]:
        size, position = self.batch_size * self.share.world, self.position
        while True:
            yield self.order.take(position, size).stride(self.share.rank, self.share.world)
            position += size


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def _loader(windows: WindowSet[BatchT], requests: "Sampler[Request] | list[Request]", workers: int) -> "DataLoader[Fetched[BatchT]]":
    return DataLoader(
        _Batches(windows), sampler=requests, batch_size=None, num_workers=workers, worker_init_fn=_one_thread,
        prefetch_factor=4 if workers else None,
    )  # fmt: skip


class TrainLoader(Generic[BatchT]):
    """Batches from `position` on; every pass is about one epoch long and the next one goes on where it ended.

    The position moves when a batch is handed out, so prefetched batches do not count.
    """

    def __init__(
        self, windows: WindowSet[BatchT], order: BlockOrder, *, batch_size: int, share: Share, workers: int, position: Position,
        damage: DamageLog,
    ) -> None:  # fmt: skip
        self.windows, self.order, self.batch_size, self.share = windows, order, batch_size, share
        self.workers, self.position, self.damage = workers, position, damage
        self._running: tuple[int, Iterator[Fetched[BatchT]]] | None = None

    @property
    def step(self) -> int:
        """Samples of all ranks per batch."""
        return self.batch_size * self.share.world

    def __len__(self) -> int:
        return max(1, len(self.order) // self.step)

    def __iter__(self) -> Iterator[BatchT]:
        for _ in range(len(self)):
            fetched = next(self._stream())
            self.damage.add(fetched.damaged)
            self.position.samples += self.step
            assert self._running is not None
            self._running = self.position.samples, self._running[1]
            assert fetched.batch is not None
            yield fetched.batch

    def _stream(self) -> Iterator[Fetched[BatchT]]:
        """The running stream, or a new one if the position was set from outside."""
        if self._running is None or self._running[0] != self.position.samples:
            requests = _Stream(self.order, self.position.samples, self.batch_size, self.share)
            self._running = self.position.samples, iter(_loader(self.windows, requests, self.workers))
        return self._running[1]

    def state_dict(self) -> dict[str, int]:
        """The position once more: Lightning asks every loader, and warns of one that cannot resume."""
        return {"samples": self.position.samples}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continue behind that many samples."""
        self.position.samples = int(state_dict["samples"])

    def close(self) -> None:
        """Let the workers go."""
        self._running = None


class EvaluationLoader(Generic[BatchT]):
    """Every window once, in a fixed order, split over the ranks without padding or loss.

    Raises:
        ShardError: fewer windows than ranks; one without any would leave the others waiting where they add up their figures.
    """

    def __init__(
        self, windows: WindowSet[BatchT], order: BlockOrder, *, batch_size: int, share: Share, workers: int, damage: DamageLog
    ) -> None:
        if len(order) < share.world:
            raise ShardError(
                f"{damage.folder} gives {len(order)} windows to evaluate on {share.world} processes, each needs one. Use more or longer clips, "
                "or fewer processes."
            )
        self.windows, self.workers, self.damage = windows, workers, damage
        self.requests = finite_requests(order, batch_size=batch_size, rank=share.rank, world=share.world)

    def __len__(self) -> int:
        return len(self.requests)

    def __iter__(self) -> Iterator[BatchT]:
        for fetched in _loader(self.windows, self.requests, self.workers):
            self.damage.add(fetched.damaged)
            if fetched.batch is not None:
                yield fetched.batch
