"""The window that moves along a song: the frames of the dance that the next segment needs, and their music, nothing more."""

import mmap
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from xdancer.motion_gpt.editing import MotionEdit
from xdancer.motion_gpt.model import ABSENT, MotionGPT, Segment
from xdancer.types import MotionTokens

Music = Mapping[str, Float[Tensor, "#batch rows _"] | Float[np.ndarray, "rows _"]]
"""Features by name, row 0 = frame 0: tensors of a batch, or the array of one song, which may be memory-mapped. A batch of one holds for all."""


class Window:
    """Where a rollout stands.

    Args:
        gpt: the model.
        music: features by name; only the rows of the window are read.
        start: the dance's first frames.
        edit: tokens that are locked.
        asked: what else is asked for, by name of the segment's field: `style`, `figures`.
    """

    def __init__(self, gpt: MotionGPT, music: Music, start: MotionTokens, edit: MotionEdit, asked: Mapping[str, Tensor]) -> None:
        self.gpt, self.music, self.edit, self.asked = gpt, music, edit, asked
        self.past, self.first = start.ids, 0
        self.begin = 0

    @property
    def known(self) -> int:
        """Frames of the dance so far."""
        return self.first + self.past.shape[1]

    @property
    def stop(self) -> int:
        """The frame behind the window."""
        return self.begin + self.gpt.config.frames

    @property
    def span(self) -> int:
        """Frames before a segment from which its context is taken."""
        return self.gpt.config.frames - self.gpt.config.overlap_frames

    def append(self, ids: Int[Tensor, "batch frame part slot"]) -> None:
        """Frames that follow. Once the window is full, the next one begins at the overlap, and what it does not need is forgotten."""
        self.past = torch.cat([self.past, ids], dim=1)
        self.move()

    def move(self) -> None:
        """On to the next window, where this one is full."""
        if self.known >= self.stop:
            self.begin = self.known - self.gpt.config.overlap_frames
            unneeded = max(0, self.begin - max(self.span, self.gpt.config.previous_frames) - self.first)
            self.past, self.first = self.past[:, unneeded:], self.first + unneeded

    def replace_last(self, ids: Int[Tensor, "batch frame part slot"]) -> None:
        """Other tokens for the last frames, as many as are still remembered."""
        count = min(ids.shape[1], self.past.shape[1])
        self.past = torch.cat([self.past[:, : self.past.shape[1] - count], ids[:, ids.shape[1] - count :]], dim=1)

    def segment(self) -> Segment:
        """What the model reads: the frames since the window's beginning, the locked ones ahead, and what came before."""
        config, begin, ids = self.gpt.config, self.begin, self.past
        shape = (len(ids), self.gpt.config.frames, config.parts, config.slots)
        motion = self.edit.apply(ids.new_zeros(shape), begin=begin)
        motion[:, : self.known - begin] = self._frames(range(begin, self.known))
        previous = ids.new_full((len(ids), config.previous_frames, *shape[2:]), ABSENT)
        seen = min(begin, config.previous_frames) if config.context_frames else 0  # without motion context nothing before the segment is shown
        if seen:
            previous[:, -seen:] = self._frames(range(begin - seen, begin))
        index = context_frames_before(begin, count=config.context_frames, span=self.span)
        music = self._stacked(begin, config.frames)
        if index:
            context = self._frames(index)
            context_music = torch.cat([self._stacked(frame, 1) for frame in index], dim=1)
        else:
            context = ids.new_full((len(ids), config.context_frames, *shape[2:]), ABSENT)
            context_music = self._silence(config.context_frames)
        has_music = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
        asked: dict[str, Any] = {name: value.expand(len(ids), *value.shape[1:]) for name, value in self.asked.items()}
        return replace(Segment(motion, context, previous, music, context_music, has_music), **asked)

    def locked(self) -> Bool[Tensor, "batch frame part slot"] | None:
        """The locked tokens of the window's segment, None where there are none."""
        rows = self.edit.rows(self.begin, self.stop).locked.expand(len(self.past), -1, -1, -1)
        return rows if rows.any() else None

    def _silence(self, count: int) -> Tensor:
        """The music of frames before the dance as training shows it: zeros, normalised like all music."""
        rows = max(count, 1) + self.gpt.config.music_lookahead_frames
        zeros = {name: self.gpt.music_mean.new_zeros(len(self.past), rows, width) for name, width in self.gpt.config.music_features.items()}
        return self.gpt.stack_music(zeros)[:, :count]

    def _frames(self, index: range | list[int]) -> Tensor:
        return self.past[:, [frame - self.first for frame in index]]

    def _stacked(self, begin: int, count: int) -> Tensor:
        """`count` frames of normalised music from `begin`, each with its look-ahead."""
        rows = count + self.gpt.config.music_lookahead_frames
        device = self.past.device
        stacked = self.gpt.stack_music({name: music_rows(value, begin, rows).to(device) for name, value in self.music.items()})
        return stacked.expand(len(self.past), -1, -1)


def repeated(segment: Segment, times: int) -> Segment:
    """Every item of the batch `times` times in a row."""
    values = {item.name: getattr(segment, item.name) for item in fields(segment)}
    repeats: dict[str, Any] = {name: None if value is None else value.repeat_interleave(times, 0) for name, value in values.items()}
    return Segment(**repeats)


def context_frames_before(begin: int, *, count: int, span: int) -> list[int]:
    """`count` frames spread evenly over the up to `span` frames before a segment; none before the dance begins."""
    first = max(0, begin - span)
    if begin == 0 or count == 0:
        return []
    step = (begin - first) / count
    return [first + int((index + 0.5) * step) for index in range(count)]


def music_rows(
    value: Float[Tensor, "batch rows width"] | Float[np.ndarray, "rows width"], begin: int, count: int
) -> Float[Tensor, "batch frame width"]:
    """`count` rows from `begin`; zeros where the song is over, as in the training data."""
    if isinstance(value, Tensor):
        found = value[:, begin : begin + count]
    else:
        found = torch.from_numpy(np.array(value[begin : begin + count], dtype=np.float32))[None]
        _forget(value)
    return F.pad(found, (0, 0, 0, count - found.shape[1]))


def _forget(array: np.ndarray) -> None:
    """Give the memory back into which a read-only mapped file was read; the system would keep counting the whole file as ours."""
    base = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if isinstance(base, mmap.mmap) and not array.flags.writeable and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
