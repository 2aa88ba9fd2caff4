"""Stage 3's samples: pictures of a clip with the poses around them, and another picture of the same clip as the portrait."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from xdancer.data.members import EMBEDDING, LATENTS, MASK, VIDEO, DamagedSampleError
from xdancer.data.order import Request, draw_uniform
from xdancer.data.reader import ShardReader
from xdancer.data.windows import ClipWindows, Fetched, read_windows, usable_frames
from xdancer.errors import MediaError, ShardError
from xdancer.media import read_video
from xdancer.skeleton import body_distances
from xdancer.types import PoseBatch, VideoBatch, VideoLatents

ASPECT_TOLERANCE = 0.05
"""By how much a picture may be distorted when it is resized; beyond, poses and pictures would no longer fit."""
NEAREST = 12
"""Among so many nearest frames training draws the portrait."""
APART = 12
"""Frames around a window that are too much like it to be training portraits."""


@dataclass(frozen=True)
class VideoShape:
    """Frames of a stage 3 sample, and the size of its pictures."""

    frames: int
    """Pictures of a sample."""
    consecutive: bool
    """Consecutive pictures from the middle of the pose window, or any `frames` of it."""
    pose_window: int
    """Consecutive poses of a sample, at least `frames`."""
    size: tuple[int, int] | None
    """(height, width); None keeps the videos' own size, which then must be the same for all."""
    reference_frame: int = 0
    """Evaluation takes this picture of the clip as the portrait (counted inside the usable range)."""
    nearest_portrait: bool = False
    """The portrait's body stands near the window's: evaluation takes the nearest frame, training one of the `NEAREST` outside of the window."""

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= self.pose_window:
            raise ShardError(f"Stage 3 samples need 1 <= frames <= pose_window, got frames {self.frames} and pose_window {self.pose_window}.")


class FrameSource:
    """Decoded pictures of a split's videos, resized, with a bounded cache of whole clips.

    The cache takes clips until it is full and then keeps them: under random access that serves more hits than throwing out. Clips outside it
    are decoded from the key frame before the window.

    Args:
        reader: the split.
        size: (height, width) of the result, None for the video's own.
        cache_bytes: memory for decoded clips; 0 decodes every window anew.
    """

    def __init__(self, reader: ShardReader, *, size: tuple[int, int] | None, cache_bytes: int = 0) -> None:
        self.reader, self.size, self.cache_bytes = reader, size, cache_bytes
        self._forget()

    def _forget(self) -> None:
        self._cache: dict[tuple[int, str], NDArray[np.uint8]] = {}
        self._used = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_cache", "_used", "_lock")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def read(self, clip: int, member: str, frames: NDArray[np.int64]) -> UInt8[np.ndarray, "frame height width channel"]:
        """The pictures with those numbers: 3 channels from `video.mp4`, 1 from `mask.mp4`.

        Raises:
            DamagedSampleError: the video cannot be decoded or is shorter than the clip.
        """
        cached = self._cache.get((clip, member))
        if cached is not None:
            return cached[frames]
        total = int(self.reader.frames[clip])
        if self._used < self.cache_bytes:
            whole = self._decode(clip, member, 0, total)
            with self._lock:
                self._keep((clip, member), whole)
            return whole[frames]
        low, high = int(frames.min()), int(frames.max()) + 1
        return self._decode(clip, member, low, high - low)[frames - low]

    def _keep(self, key: tuple[int, str], pictures: NDArray[np.uint8]) -> None:
        """Keep a clip's pictures if they fit; if not, the cache counts as full: from now on windows only."""
        if key not in self._cache:
            fits = self._used + pictures.nbytes <= self.cache_bytes
            self._used = self._used + pictures.nbytes if fits else self.cache_bytes
            if fits:
                self._cache[key] = pictures

    def _decode(self, clip: int, member: str, start: int, count: int) -> NDArray[np.uint8]:
        try:
            pictures = read_video(self.reader.member(clip, member), start=start, count=count).frames
        except MediaError as error:
            raise DamagedSampleError(self.reader.keys[clip], f"{member}: {error}") from error
        pictures = pictures[..., :1] if member == MASK else pictures
        return np.ascontiguousarray(pictures) if self.size in (None, pictures.shape[1:3]) else resize_pictures(pictures, self.size)


def resize_pictures(pictures: UInt8[np.ndarray, "frame h w c"], size: tuple[int, int]) -> UInt8[np.ndarray, "frame height width c"]:
    """Pictures at another (height, width), antialiased."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    resized = interpolate(tensor, size=size, mode="bilinear", antialias=True, align_corners=False)
    return np.ascontiguousarray(resized.numpy().transpose(0, 2, 3, 1))


class VideoWindows:
    """Windows of one split as `VideoBatch`es; only clips that carry video count.

    Training draws the window, the pictures in it and the portrait (any usable frame of the clip) from (seed, epoch, window). Evaluation tiles
    the clips; its portrait is frame `reference_frame`. With `latents`, the reader's latents are read and the pictures are not.
    `portrait_range`: share of every clip that portraits come from where that is another one than the windows'.
    """

    def __init__(
        self, reader: ShardReader, shape: VideoShape, *, training: bool, frame_range: tuple[float, float] = (0.0, 1.0), seed: int = 0,
        cache_bytes: int = 0, latents: bool = False, portrait_range: tuple[float, float] | None = None,
    ) -> None:  # fmt: skip
        self.reader, self.shape, self.training, self.seed, self.latents = reader, shape, training, seed, latents
        self.first, self.stop = usable_frames(reader, frame_range)
        self.portraits = usable_frames(reader, portrait_range or frame_range)
        with_video = np.array([reader.has(clip, VIDEO) for clip in range(len(reader))])
        if not with_video.any():
            raise ShardError(f"{reader.folder} has no clip with video; stage 3 needs them. Make the shards with `xdancer prepare VIDEO_DIR`.")
        counts = np.where(with_video, (self.stop - self.first) // shape.pose_window, 0)
        self.windows = ClipWindows.of(reader, counts, needed=f"video and {shape.pose_window} usable frames (one pose window)")
        self.with_masks = all(reader.has(clip, MASK) for clip in np.flatnonzero(counts).tolist())
        self.source = FrameSource(reader, size=shape.size, cache_bytes=cache_bytes)
        self._check_sizes(np.flatnonzero(counts).tolist()[:64])

    @property
    def shard_sizes(self) -> NDArray[np.int64]:
        return self.windows.shard_sizes

    def fetch(self, request: Request) -> Fetched[VideoBatch]:
        samples, damaged = read_windows(self.windows, request, Request.singles, self._read, training=self.training)
        if not samples:
            return Fetched(None, damaged)
        return Fetched(_collate(samples), damaged)

    def _read(self, single: Request) -> "_Sample":
        clips, numbers = self.windows.locate(single.items)
        clip, shape = int(clips[0]), self.shape
        first, stop = int(self.first[clip]), int(self.stop[clip])
        begin = first + int(numbers[0]) * shape.pose_window
        middle = (shape.pose_window - shape.frames) // 2
        picks = np.arange(middle, middle + shape.frames) if shape.consecutive else _spread(shape.pose_window, shape.frames)
        draw = None
        if self.training:
            draws = draw_uniform(self.seed, single, 2 + shape.pose_window)[0]
            begin, draw = first + int(draws[0] * (stop - first - shape.pose_window + 1)), float(draws[1])
            if not shape.consecutive:
                picks = np.sort(np.argsort(draws[2:])[: shape.frames])
        pose = self.reader.pose(clip, begin, begin + shape.pose_window)
        portrait = self._portrait(clip, begin, pose[picks], draw)
        reference_pose = self.reader.pose(clip, portrait, portrait + 1)
        frames = np.append(begin + picks, portrait)
        if self.latents:
            return _Sample(np.empty((len(frames), 0, 0, 3), np.uint8), None, pose, picks, reference_pose, clip, self._latents(clip, frames))
        take = self._picture_reader(clip, frames)
        return _Sample(take(VIDEO), take(MASK) if self.with_masks else None, pose, picks, reference_pose, clip)

    def _portrait(self, clip: int, begin: int, wanted: Float[np.ndarray, "frame 60 3"], draw: float | None) -> int:
        """Number of the frame that is the portrait of the window at `begin`; `draw` in [0, 1) chooses it in training."""
        shape, (first, stop) = self.shape, (int(limit[clip]) for limit in self.portraits)
        if not shape.nearest_portrait:
            return min(first + shape.reference_frame, stop - 1) if draw is None else first + int(draw * (stop - first))
        distances = body_distances(wanted, self.reader.pose(clip, first, stop))
        seen = distances[np.isfinite(distances).any(1)]  # frames that show a body
        distance, frames = seen.mean(0) if len(seen) else np.zeros(stop - first), np.arange(first, stop)
        if draw is None:
            return first + int(distance.argmin())
        apart = (frames < begin - APART) | (frames >= begin + shape.pose_window + APART)
        apart = apart if apart.any() else np.ones_like(apart)  # a clip that is hardly longer than a window
        near = frames[apart][np.argsort(distance[apart], kind="stable")[:NEAREST]]
        return int(near[int(draw * len(near))])

    def _latents(self, clip: int, frames: NDArray[np.int64]) -> "_Latents":
        """Of the sample's pictures and, last, of its portrait."""
        low, high, portrait = int(frames[:-1].min()), int(frames[:-1].max()) + 1, int(frames[-1])
        window = self.reader.picture_rows(clip, LATENTS, low, high)[frames[:-1] - low]
        with_embedding = EMBEDDING in self.reader.derived
        return _Latents(
            np.concatenate([window, self.reader.picture_rows(clip, LATENTS, portrait, portrait + 1)]),
            self.reader.picture_rows(clip, EMBEDDING, portrait, portrait + 1)[0] if with_embedding else None,
        )

    def _picture_reader(self, clip: int, frames: NDArray[np.int64]) -> Callable[[str], NDArray[np.uint8]]:
        """Reads the sample's pictures and, apart from them, the portrait (last row), which may lie far away in the clip."""

        def take(member: str) -> NDArray[np.uint8]:
            return np.concatenate([self.source.read(clip, member, frames[:-1]), self.source.read(clip, member, frames[-1:])])

        return take

    def _check_sizes(self, clips: list[int]) -> None:
        """Refuse pictures that would be distorted, or that do not fit into one batch."""
        sizes = sorted({(self.reader.meta(clip)["height"], self.reader.meta(clip)["width"]) for clip in clips})
        if self.shape.size is None:
            if len(sizes) > 1:
                raise ShardError(f"{self.reader.folder} mixes picture sizes {sizes}. Name one with data.size, such as {list(sizes[0])}.")
            return
        rows, columns = self.shape.size
        for height, width in sizes:
            if abs((width / height) / (columns / rows) - 1) > ASPECT_TOLERANCE:
                raise ShardError(
                    f"{self.reader.folder} has pictures of {height}×{width} (height × width), data.size asks for {rows}×{columns}: "
                    "that would distort them. Choose a size of the same shape."
                )


def _spread(window: int, count: int) -> NDArray[np.int64]:
    """`count` frames spread evenly over a window."""
    return ((np.arange(count) + 0.5) * window / count).astype(np.int64)


@dataclass(frozen=True)
class _Latents:
    rows: NDArray[np.float32]
    """Mean and deviation by channel: of the pictures, then of the portrait."""
    embedding: NDArray[np.float32] | None


@dataclass(frozen=True)
class _Sample:
    pictures: NDArray[np.uint8]
    """The sample's pictures, then the portrait."""
    masks: NDArray[np.uint8] | None
    pose: NDArray[np.float32]
    picks: NDArray[np.int64]
    reference_pose: NDArray[np.float32]
    clip: int
    latents: _Latents | None = None


def _collate(samples: list[_Sample]) -> VideoBatch:
    pictures = _channels_first(np.stack([sample.pictures for sample in samples])) / 127.5 - 1
    masks = [sample.masks for sample in samples if sample.masks is not None]
    mask = _channels_first(np.stack(masks)) / 255 if masks else None
    return VideoBatch(
        reference=pictures[:, -1], reference_pose=_poses([sample.reference_pose for sample in samples]), frames=pictures[:, :-1],
        pose=_poses([sample.pose for sample in samples]), frame_index=torch.from_numpy(np.stack([sample.picks for sample in samples])),
        reference_mask=None if mask is None else mask[:, -1], mask=None if mask is None else mask[:, :-1],
        clip=torch.tensor([sample.clip for sample in samples]),
        latents=_collate_latents([sample.latents for sample in samples if sample.latents is not None]),
    )  # fmt: skip


def _collate_latents(samples: list[_Latents]) -> VideoLatents | None:
    if not samples:
        return None
    mean, deviation = torch.from_numpy(np.stack([sample.rows for sample in samples])).chunk(2, dim=2)
    embeddings = [sample.embedding for sample in samples if sample.embedding is not None]
    return VideoLatents(
        mean[:, -1].contiguous(), mean[:, :-1].contiguous(), deviation[:, :-1].contiguous(),
        torch.from_numpy(np.stack(embeddings)) if embeddings else None,
    )  # fmt: skip


def _channels_first(pictures: UInt8[np.ndarray, "batch frame h w c"]) -> Float[Tensor, "batch frame c h w"]:
    return torch.from_numpy(pictures).permute(0, 1, 4, 2, 3).float().contiguous()


def _poses(poses: list[Float[np.ndarray, "frame 60 3"]]) -> PoseBatch:
    tensor = torch.from_numpy(np.stack(poses))
    return PoseBatch(tensor[..., :2].contiguous(), tensor[..., 2].contiguous())
