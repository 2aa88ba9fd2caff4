"""Stage 2's samples: a segment of dance with the history before it and the music of both."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray

from xdancer.data.members import POSE
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


def spread_context(begin: Int[NDArray, " sample"], *, span: Int[NDArray, " sample"], count: int) -> Int[NDArray, "sample context"]:
    """`count` frames spread evenly over the `span` frames before `begin`, the same rule as in the rollout."""
    return (begin - span)[:, None] + ((np.arange(count) + 0.5) * (span / max(count, 1))[:, None]).astype(np.int64)


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
        rows = _Rows(self, len(request.items))
        _, damaged = read_windows(self.windows, request, self._plan, rows.read, training=self.training)
        return Fetched(rows.batch() if rows.filled else None, damaged)

    def _plan(self, request: Request) -> "list[_Cut]":
        """Where the samples are cut from their clips."""
        clips, numbers = self.windows.locate(request.items)
        first, segment, gaps = self.first[clips], self.shape.segment_frames, self.shape.largest_gap
        if self.training:
            where, gap, span, flip = draw_uniform(self.seed, request, 4).T
            starts = first + (where * (self.stop[clips] - first - segment + 1)).astype(np.int64)
            gap = (gap * (gaps + 1)).astype(np.int64)
            span = segment - (span * (min(gaps, segment - 1) + 1)).astype(np.int64)
            mirrored = (flip < 0.5) & self.mirror
        else:
            starts, gap, span = first + numbers * segment, np.zeros_like(first), np.full_like(first, max(1, segment - gaps))
            mirrored = np.zeros(len(first), dtype=np.bool_)
        columns = (clips, starts, gap, span, mirrored)
        return [_Cut(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


@dataclass(frozen=True)
class _Cut:
    """One sample of a clip."""

    clip: int
    start: int
    """First frame of the segment."""
    gap: int
    """Frames between the previous segment and the segment, where the clip has them."""
    span: int
    """Frames of the previous segment, where the clip has them."""
    mirrored: bool


class _Rows:
    """A batch in the making: each sample is read straight into its row; what a damaged one left there is overwritten by the next."""

    def __init__(self, windows: DanceWindows, size: int) -> None:
        self.windows, self.reader, self.shape, self.filled = windows, windows.reader, windows.shape, 0
        frames = self.shape.history_frames + self.shape.segment_frames
        rows = frames + self.shape.lookahead_frames
        widths = {name: self.reader.manifest.features[name]["width"] for name in self.shape.features}
        kind, place = (np.int64, self.reader.token_shape) if windows.tokens else (np.float32, (KEYPOINT_COUNT, 3))
        self.dance = np.empty((size, frames, *place), dtype=kind)
        self.music = {name: np.empty((size, rows, width), dtype=np.float32) for name, width in widths.items()}
        self.beats = np.zeros((size, rows), dtype=np.bool_)
        self.history, self.gap, self.span, self.style = np.zeros((4, size), dtype=np.int64)

    def read(self, cut: _Cut) -> None:
        row, shape, windows = self.filled, self.shape, self.windows
        history = min(shape.history_frames, cut.start - int(windows.first[cut.clip]))
        padding, begin, end = shape.history_frames - history, cut.start - history, cut.start + shape.segment_frames
        if windows.tokens:
            self.dance[row, :padding] = -1
            self.dance[row, padding:] = self.reader.tokens(cut.clip, begin, end)
        else:
            self._read_pose(self.dance[row], padding, cut, begin)
        stop = min(int(self.reader.frames[cut.clip]), end + shape.lookahead_frames)
        known = slice(padding, padding + stop - begin)
        for name, rows in self.music.items():
            rows[row, : known.start] = 0
            rows[row, known.stop :] = 0
            self.reader.files.fill(rows[row, known], cut.clip, f"{name}.npy", begin)
        meta = self.reader.meta(cut.clip)
        marks = beat_frames(meta["beats"])
        self.beats[row, marks[(marks >= begin) & (marks < stop)] - begin + padding] = True
        self.style[row] = windows.styles.index(meta["style"]) if meta.get("style") in windows.styles else -1
        self.history[row], self.gap[row], self.span[row] = history, cut.gap, cut.span
        self.filled += 1

    def _read_pose(self, out: NDArray[np.float32], padding: int, cut: _Cut, begin: int) -> None:
        self.reader.files.fill(out[padding:], cut.clip, POSE, begin)
        if cut.mirrored:
            out[padding:] = mirror_poses(out[padding:])
        out[:padding, :, :2] = out[padding, :, :2]
        out[:padding, :, 2] = 0

    def batch(self) -> DanceBatch:
        """The rows filled so far."""
        shape, filled = self.shape, slice(self.filled)
        history, gap = self.history[filled], self.gap[filled]
        before = np.minimum(self.span[filled], history - gap)
        has_context = (before >= shape.context_frames) & (shape.context_frames > 0)
        behind = shape.history_frames - np.where(has_context, gap, 0)
        context = spread_context(behind, span=np.where(has_context, before, shape.history_frames), count=shape.context_frames)
        music = {name: torch.from_numpy(rows[filled]) for name, rows in self.music.items()}
        dance = torch.from_numpy(self.dance[filled])
        return DanceBatch(
            None if self.windows.tokens else PoseBatch(dance[..., :2].contiguous(), dance[..., 2].contiguous()),
            MusicFeatures(music, torch.from_numpy(self.beats[filled])),
            torch.from_numpy(context),
            torch.from_numpy(has_context),
            shape.segment_frames,
            style=torch.from_numpy(self.style[filled]) if self.windows.styles else None,
            tokens=MotionTokens(dance) if self.windows.tokens else None,
        )
