"""Several window sets read as one, such as poses of two data sets."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from xdancer.data.order import Request
from xdancer.data.windows import Fetched, WindowSet
from xdancer.types import PoseBatch


class JoinedPoses:
    """Samples of several sets of poses, numbered one set behind the other; every sample is as likely as any other.

    All count as one shard, so that every batch mixes the sets: blocks of shards would bring one set after the other.

    Args:
        sets: window sets whose batches are `PoseBatch`es of the same number of frames.
    """

    def __init__(self, sets: Sequence[WindowSet[PoseBatch]]) -> None:
        self.sets = list(sets)
        self.ends = np.cumsum([int(part.shard_sizes.sum()) for part in sets])

    @property
    def shard_sizes(self) -> NDArray[np.int64]:
        return self.ends[-1:]

    def fetch(self, request: Request) -> Fetched[PoseBatch]:
        owner = np.searchsorted(self.ends, request.items, side="right")
        batches, places, damaged = list[PoseBatch](), list[NDArray[np.int64]](), dict[str, str]()
        for number in np.unique(owner).tolist():
            place = np.flatnonzero(owner == number)
            before = int(self.ends[number - 1]) if number else 0
            fetched = self.sets[number].fetch(Request(request.items[place] - before, request.epochs[place]))
            assert fetched.batch is not None  # a frame that cannot be read has a neighbour in its place
            batches.append(fetched.batch)
            places.append(place)
            damaged |= fetched.damaged
        order = torch.from_numpy(np.argsort(np.concatenate(places)))
        keypoints, confidence = (
            torch.cat([getattr(batch, name) for batch in batches])[order].contiguous() for name in ("keypoints", "confidence")
        )
        return Fetched(PoseBatch(keypoints, confidence), damaged)
