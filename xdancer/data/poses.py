"""Stage 1's samples: single frames as poses, any of them in any batch."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.data.augment import PoseAugmentation
from xdancer.data.members import DamagedSampleError
from xdancer.data.order import Request, draw_uniform
from xdancer.data.reader import ShardReader
from xdancer.data.windows import ClipWindows, Fetched, usable_frames
from xdancer.skeleton import KEYPOINT_COUNT, MIRROR
from xdancer.types import PoseBatch

MEMORY_LIMIT = 1_000_000_000
"""Bytes of poses that are held in memory (1.4 million frames); beyond, frames are read one by one."""


def mirror_poses(pose: Float[np.ndarray, "*batch 60 3"]) -> Float[np.ndarray, "*batch 60 3"]:
    """The poses seen in a mirror: left and right exchanged, x negated, confidence moved along."""
    mirrored = pose[..., MIRROR, :]
    mirrored[..., 0] *= -1
    return mirrored


class PoseFrames:
    """Every usable frame of a split as one sample; batches are (batch, 1, 60) `PoseBatch`es.

    Args:
        reader: the split.
        frame_range: share of every clip that is used.
        mirror: mirror half of the poses, drawn by (seed, epoch, frame).
        augment: further random changes, drawn likewise.
        seed: of that draw.
        memory_limit: bytes of poses to hold in memory.
    """

    def __init__(
        self, reader: ShardReader, *, frame_range: tuple[float, float] = (0.0, 1.0), mirror: bool = False,
        augment: PoseAugmentation | None = None, seed: int = 0, memory_limit: int = MEMORY_LIMIT,
    ) -> None:  # fmt: skip
        self.reader, self.mirror, self.augment, self.seed = reader, mirror, augment, seed
        self.first, stop = usable_frames(reader, frame_range)
        counts = stop - self.first
        self.windows = ClipWindows.of(reader, counts, needed="a frame")
        self.loaded: NDArray[np.float32] | None = None
        self.damaged: dict[str, str] = {}
        if int(counts.sum()) * KEYPOINT_COUNT * 3 * 4 <= memory_limit:
            self._load(counts)

    @property
    def shard_sizes(self) -> NDArray[np.int64]:
        return self.windows.shard_sizes

    def fetch(self, request: Request) -> Fetched[PoseBatch]:
        damaged = dict(self.damaged)
        poses = self.loaded[request.items] if self.loaded is not None else self._read(request.items, damaged)
        if self.mirror:
            chosen = draw_uniform(self.seed, request, 1)[:, 0] < 0.5
            poses[chosen] = mirror_poses(poses[chosen])
        if self.augment is not None:
            poses = self.augment(poses, draw_uniform(self.seed, request, 1 + self.augment.draws)[:, 1:])
        tensor = torch.from_numpy(poses)[:, None]
        return Fetched(PoseBatch(tensor[..., :2].contiguous(), tensor[..., 2].contiguous()), damaged)

    def _load(self, counts: NDArray[np.int64]) -> None:
        """All poses into memory; the frames of a damaged clip are those of its neighbour, repeated."""
        self.loaded = np.empty((int(counts.sum()), KEYPOINT_COUNT, 3), dtype=np.float32)
        at, gaps = 0, []
        for clip in self.windows.clips.tolist():
            rows = self.loaded[at : at + int(counts[clip])]
            try:
                rows[:] = self.reader.pose(clip, int(self.first[clip]), int(self.first[clip] + counts[clip]))
            except DamagedSampleError as error:
                self.damaged[error.key] = error.reason
                gaps.append((at, at + len(rows)))
            at += len(rows)
        filled = np.ones(at, dtype=bool)
        for start, stop in gaps:
            filled[start:stop] = False
        good = np.flatnonzero(filled)
        if len(good) == 0:
            raise DamagedSampleError(next(iter(self.damaged)), "and so is every other clip of the split")
        for start, stop in gaps:
            source = int(np.searchsorted(good, start)) + np.arange(stop - start)
            self.loaded[start:stop] = self.loaded[good[source % len(good)]]

    def _read(self, items: NDArray[np.int64], damaged: dict[str, str]) -> NDArray[np.float32]:
        """Single frames from disk; in the place of a damaged one stands its predecessor in the batch (or the next good one)."""
        clips, frames = self.windows.locate(items)
        poses = np.empty((len(items), KEYPOINT_COUNT, 3), dtype=np.float32)
        good = np.zeros(len(items), dtype=bool)
        for row, (clip, frame) in enumerate(zip(clips.tolist(), (frames + self.first[clips]).tolist(), strict=True)):
            try:
                poses[row] = self.reader.pose(clip, frame, frame + 1)[0]
                good[row] = True
            except DamagedSampleError as error:
                damaged[error.key] = error.reason
        if not good.any():
            raise DamagedSampleError(next(iter(damaged)), "and so is every other clip of the batch")
        source = np.maximum.accumulate(np.where(good, np.arange(len(items)), int(np.flatnonzero(good)[0])))
        return poses[source]
