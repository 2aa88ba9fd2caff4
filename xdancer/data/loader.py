"""Loaders over window sets: an endless, resumable stream for training, a finite pass for evaluation; threads read ahead."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from xdancer.data.order import BlockOrder, Request, finite_requests
from xdancer.data.windows import DamageLog, Fetched, WindowSet
from xdancer.errors import ShardError

BatchT = TypeVar("BatchT")
AHEAD = 4
"""Batches that each reading thread has waiting."""


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


def read_ahead(windows: WindowSet[BatchT], requests: Iterable[Request], workers: int) -> Iterator[Fetched[BatchT]]:
    """The batches of some requests, in their order, read ahead by threads.

    Reading waits for files, decodes video and moves numbers: it needs the interpreter for little, so threads read as much as processes would,
    and what they read need not be handed from one process to another, which takes longer than reading it (benchmarks/loader.py).

    Args:
        windows: what is read.
        requests: may be endless.
        workers: threads; with 0 nothing is read ahead.
    """
    if workers == 0:
        yield from map(windows.fetch, requests)
        return
    torch.get_num_threads()  # fixes this thread's number before the readers set theirs, which later threads take over
    with ThreadPoolExecutor(workers, "xdancer-reader", initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: deque[Future[Fetched[BatchT]]] = deque()
        try:
            for request in requests:
                waiting.append(pool.submit(windows.fetch, request))
                if len(waiting) > AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def endless(order: BlockOrder, position: int, batch_size: int, share: Share) -> Iterator[Request]:
    """This rank's share of one global batch after the other."""
    size = batch_size * share.world
    while True:
        yield order.take(position, size).stride(share.rank, share.world)
        position += size


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
            requests = endless(self.order, self.position.samples, self.batch_size, self.share)
            self._running = self.position.samples, read_ahead(self.windows, requests, self.workers)
        return self._running[1]

    def state_dict(self) -> dict[str, int]:
        """The position once more: Lightning asks every loader, and warns of one that cannot resume."""
        return {"samples": self.position.samples}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continue behind that many samples."""
        self.position.samples = int(state_dict["samples"])

    def close(self) -> None:
        """Let the reading threads go."""
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
        for fetched in read_ahead(self.windows, self.requests, self.workers):
            self.damage.add(fetched.damaged)
            if fetched.batch is not None:
                yield fetched.batch
