"""Cutting clips into samples: what a window set offers to the loaders, and the rules that all sets share."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xdancer.data.members import DamagedSampleError
from xdancer.data.order import Request
from xdancer.data.reader import ShardReader
from xdancer.errors import ShardError

BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)
Plan = TypeVar("Plan")
Window = TypeVar("Window")
log = logging.getLogger("xdancer.data")


@dataclass(frozen=True)
class Fetched(Generic[BatchT_co]):
    """A batch and the damaged clips met on the way (key → reason)."""

    batch: BatchT_co | None
    """None where every sample of a validation batch was damaged."""
    damaged: dict[str, str] = field(default_factory=dict)


@runtime_checkable
class WindowSet(Protocol[BatchT_co]):
    """Samples of one split, numbered shard by shard; several threads may fetch at once."""

    @property
    def shard_sizes(self) -> NDArray[np.int64]:
        """Samples per shard."""
        ...

    def fetch(self, request: Request) -> Fetched[BatchT_co]:
        """The samples as one batch."""
        ...


def usable_frames(reader: ShardReader, frame_range: tuple[float, float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and behind-last usable frame of every clip, for a share of each clip such as (0.0, 0.8).

    Raises:
        ShardError: the range is empty or outside [0, 1].
    """
    low, high = frame_range
    if not 0 <= low < high <= 1:
        raise ShardError(f"frame_range {tuple(frame_range)} must satisfy 0 <= first < second <= 1, such as (0.0, 0.8).")
    return np.floor(low * reader.frames + 1e-6).astype(np.int64), np.floor(high * reader.frames + 1e-6).astype(np.int64)


@dataclass(frozen=True)
class ClipWindows:
    """How many windows each clip gives; windows are numbered clip by clip, in the order of the shards."""

    clips: NDArray[np.int64]
    """Clip number by rank in shard order."""
    ends: NDArray[np.int64]
    """Windows up to and with each of `clips`."""
    shard_sizes: NDArray[np.int64]

    @staticmethod
    def of(reader: ShardReader, counts: NDArray[np.int64], *, needed: str) -> "ClipWindows":
        """Windows from a count per clip.

        Raises:
            ShardError: no clip gives a window; `needed` says what a clip must have.
        """
        if not counts.any():
            longest = int(reader.frames.max(initial=0))
            raise ShardError(
                f"No clip of {reader.folder} has {needed} (the longest has {longest} frames). Use longer clips or smaller windows."
            )
        if not counts.all():
            log.info("%s: %d of %d clips are left out, they lack %s", reader.folder, int((counts == 0).sum()), len(counts), needed)
        clips = np.argsort(reader.shard_of, kind="stable")
        sizes = np.bincount(reader.shard_of, weights=counts, minlength=int(reader.shard_of.max()) + 1).astype(np.int64)
        return ClipWindows(clips, np.cumsum(counts[clips]), sizes)

    def locate(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Clip and number of the window inside it, for every item."""
        rank = np.searchsorted(self.ends, items, side="right")
        before = np.where(rank > 0, self.ends[rank - 1], 0)
        return self.clips[rank], items - before

    def next_clip(self, item: int) -> int:
        """The first window behind the clip of `item`, from the beginning again after the last."""
        rank = int(np.searchsorted(self.ends, item, side="right"))
        return int(self.ends[rank]) % int(self.ends[-1])


def read_windows(
    windows: ClipWindows, request: Request, plan: Callable[[Request], list[Plan]], read: Callable[[Plan], Window], *, training: bool
) -> tuple[list[Window], dict[str, str]]:
    """Read samples one by one past damaged clips.

    In training the next clip's first window stands in for a damaged one, so that batches keep their shape; in evaluation it is left out.

    Args:
        windows: the windows that the request numbers.
        request: the wanted samples.
        plan: what is to be read for each of them.
        read: reads one.
        training: whether another clip stands in for a damaged one.

    Returns:
        The samples, and the damaged clips' reasons by key.

    Raises:
        ShardError: no undamaged clip is found among a hundred neighbours.
    """
    samples: list[Window] = []
    damaged: dict[str, str] = {}
    for position, (item, what) in enumerate(zip(request.items.tolist(), plan(request), strict=True)):
        for _ in range(100):
            try:
                samples.append(read(what))
                break
            except DamagedSampleError as error:
                damaged[error.key] = error.reason
            if not training:
                break
            item = windows.next_clip(item)
            what = plan(Request(np.array([item]), request.epochs[position : position + 1]))[0]
        else:
            raise ShardError(f"A hundred clips in a row are damaged, the last is {list(damaged)[-1]!r}. Run `xdancer shards verify`.")
    return samples, damaged


class DamageLog:
    """Counts damaged clips of a split; each is logged once with its key.

    Raises:
        ShardError: from `add`, when more than 10 clips and more than 1 % of the split are damaged.
    """

    LIMIT = 10
    SHARE = 0.01

    def __init__(self, reader: ShardReader) -> None:
        self.folder, self.clips = reader.folder, len(reader)
        self.reasons: dict[str, str] = {}

    def add(self, damaged: dict[str, str]) -> None:
        for key, reason in damaged.items():
            if key not in self.reasons:
                self.reasons[key] = reason
                log.warning("%s: clip %r is damaged and skipped (%s); %d so far", self.folder, key, reason, len(self.reasons))
        if len(self.reasons) > self.LIMIT and len(self.reasons) > self.SHARE * self.clips:
            raise ShardError(
                f"{self.folder}: {len(self.reasons)} of {self.clips} clips are damaged (more than {self.LIMIT} and {self.SHARE:.0%}), "
                f"the last is {list(self.reasons)[-1]!r}. Run `xdancer shards verify {self.folder}`, then make or copy the shards again."
            )
