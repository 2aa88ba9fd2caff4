"""Stage 2's samples: a segment of dance with the history before it and the music of both."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xdancer.data.order import Request, draw_uniform
from xdancer.data.poses import mirror_poses
from xdancer.data.reader import ShardReader
from xdancer.data.windows import ClipWindows, Fetched, read_windows, usable_frames
from xdancer.errors import ShardError
from xdancer.skeleton import KEYPOINT_COUNT
from xdancer.types import FPS, DanceBatch, MotionTokens, MusicFeatures, PoseBatch


@dataclass(frozen=True)
class DanceShape:
    """Frames of a stage 2 sample, and the music features it carries."""

    segment_frames: int
    history_frames: int
    """Frames before the segment: the previous segment and the largest gap (`segment_frames + overlap`)."""
    context_frames: int
    lookahead_frames: int
    features: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.segment_frames < 1 or self.lookahead_frames < 0 or not 0 <= self.context_frames <= self.history_frames:
            raise ShardError(
                f"Stage 2 samples need segment_frames >= 1, lookahead_frames >= 0 and 0 <= context_frames <= history_frames, got "
                f"{self.segment_frames}, {self.lookahead_frames}, {self.context_frames} and {self.history_frames}."
            )

    @property
    def largest_gap(self) -> int:
        """How far before the segment the previous one may end; also how much shorter than a segment it may be."""
        return max(0, self.history_frames - self.segment_frames)


def beat_frames(beats: list[float]) -> NDArray[np.int64]:
    """Frames that hold a beat: the picture t/30 s nearest to it."""
    return np.floor(np.asarray(beats, dtype=np.float64) * FPS + 0.5).astype(np.int64)


def spread_context(begin: int, *, span: int, count: int) -> NDArray[np.int64]:
    """`count` frames spread evenly over the `span` frames before `begin`, the same rule as in the rollout."""
    return begin - span + ((np.arange(count) + 0.5) * (span / max(count, 1))).astype(np.int64)


class DanceWindows:
    """Windows of one split as `DanceBatch`es.

    Training draws the segment's start, the gap and the length of the previous segment from (seed, epoch, window); evaluation tiles the clips
    and takes the rollout's geometry: no gap, a previous segment shortened by the overlap. With `styles` given, every sample says which of
    them its clip's style is. With `tokens`, the dance is given by the reader's motion tokens, which cannot be mirrored.

    Frames outside the clip's usable range are no history: there the pose is the first usable one with confidence 0, tokens are -1, music is
    zero. Music behind the clip's end is zero, too.
    """

    def __init__(
        self, reader: ShardReader, shape: DanceShape, *, training: bool, frame_range: tuple[float, float] = (0.0, 1.0), mirror: bool = False,
        seed: int = 0, styles: tuple[str, ...] = (), tokens: bool = False,
    ) -> None:  # fmt: skip
        missing = [name for name in shape.features if name not in reader.features]
        if missing:
            raise ShardError(
                f"{reader.folder} has the music features {', '.join(reader.features) or 'none'}, but {', '.join(missing)} is asked for. "
                f"Choose data.features among them, or add it: xdancer features {reader.folder} --add {missing[0]}."
            )
        self.reader, self.shape, self.training, self.mirror, self.seed = reader, shape, training, mirror, seed
        self.styles, self.tokens = styles, tokens
        self.first, self.stop = usable_frames(reader, frame_range)
        counts = (self.stop - self.first) // shape.segment_frames
        self.windows = ClipWindows.of(reader, counts, needed=f"{shape.segment_frames} usable frames (one segment)")

    @property
    def shard_sizes(self) -> NDArray[np.int64]:
        return self.windows.shard_sizes

    def fetch(self, request: Request) -> Fetched[DanceBatch]:
        samples, _, damaged = read_windows(self.windows, request, self._read, training=self.training)
        if not samples:
            return Fetched(None, damaged)
        dance = torch.from_numpy(np.stack([sample.dance for sample in samples]))
        music = {name: torch.from_numpy(np.stack([sample.music[name] for sample in samples])) for name in self.shape.features}
        batch = DanceBatch(
            None if self.tokens else PoseBatch(dance[..., :2].contiguous(), dance[..., 2].contiguous()),
            MusicFeatures(music, torch.from_numpy(np.stack([sample.beats for sample in samples]))),
            torch.from_numpy(np.stack([sample.context for sample in samples])),
            torch.tensor([sample.has_context for sample in samples]),
            self.shape.segment_frames,
            style=torch.tensor([sample.style for sample in samples]) if self.styles else None,
            tokens=MotionTokens(dance) if self.tokens else None,
        )
        return Fetched(batch, damaged)

    def _read(self, single: Request) -> "_Sample":
        clips, numbers = self.windows.locate(single.items)
        clip, number = int(clips[0]), int(numbers[0])
        first, shape = int(self.first[clip]), self.shape
        room = int(self.stop[clip]) - first - shape.segment_frames
        if self.training:
            where, gap_draw, span_draw, flip = draw_uniform(self.seed, single, 4)[0].tolist()
            start = first + int(where * (room + 1))
            gap = int(gap_draw * (shape.largest_gap + 1))
            span = shape.segment_frames - int(span_draw * (min(shape.largest_gap, shape.segment_frames - 1) + 1))
        else:
            start, gap, flip = first + number * shape.segment_frames, 0, 1.0
            span = max(1, shape.segment_frames - shape.largest_gap)
        return self._cut(clip, start, gap=gap, span=span, flip=self.mirror and flip < 0.5)

    def _cut(self, clip: int, start: int, *, gap: int, span: int, flip: bool) -> "_Sample":
        shape, first = self.shape, int(self.first[clip])
        history = min(shape.history_frames, start - first)
        padding = shape.history_frames - history
        begin, end = start - history, start + shape.segment_frames
        stop = min(int(self.reader.frames[clip]), end + shape.lookahead_frames)
        rows = ((padding, end + shape.lookahead_frames - stop), (0, 0))
        music = {name: np.pad(self.reader.feature(clip, name, begin, stop), rows) for name in shape.features}
        beats = np.zeros(shape.history_frames + shape.segment_frames + shape.lookahead_frames, dtype=np.bool_)
        meta = self.reader.meta(clip)
        marks = beat_frames(meta["beats"])
        beats[marks[(marks >= begin) & (marks < stop)] - begin + padding] = True
        before = min(span, history - gap)
        has_context = shape.context_frames > 0 and before >= shape.context_frames
        span, behind = (before, shape.history_frames - gap) if has_context else (shape.history_frames, shape.history_frames)
        context = spread_context(behind, span=span, count=shape.context_frames)
        style = self.styles.index(meta["style"]) if meta.get("style") in self.styles else -1
        dance = self._tokens(clip, begin, end, padding) if self.tokens else self._poses(clip, begin, end, padding, flip=flip)
        return _Sample(dance, music, beats, context, has_context, style)

    def _poses(self, clip: int, begin: int, end: int, padding: int, *, flip: bool) -> NDArray[np.float32]:
        known = self.reader.pose(clip, begin, end)
        if flip:
            known = mirror_poses(known)
        held = np.zeros((padding, KEYPOINT_COUNT, 3), dtype=np.float32)
        held[..., :2] = known[0, :, :2]
        return np.concatenate([held, known])

    def _tokens(self, clip: int, begin: int, end: int, padding: int) -> NDArray[np.int64]:
        return np.pad(self.reader.tokens(clip, begin, end), ((padding, 0), (0, 0), (0, 0)), constant_values=-1)


@dataclass(frozen=True)
class _Sample:
    dance: NDArray[Any]
    """Poses, or tokens."""
    music: dict[str, NDArray[np.float32]]
    beats: NDArray[np.bool_]
    context: NDArray[np.int64]
    has_context: bool
    style: int
