"""A dance of any length: segment after segment, each continuing the overlap with the one before (paper: Long generation)."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from xdancer.motion_gpt.model import ABSENT, MotionGPT, Segment
from xdancer.motion_gpt.sampling import SamplingConfig, sample_segment
from xdancer.types import MotionTokens


def context_frames_before(begin: int, *, count: int, span: int) -> list[int]:
    """`count` frames spread evenly over the up to `span` frames before a segment; none before the dance begins."""
    first = max(0, begin - span)
    if begin == 0 or count == 0:
        return []
    step = (begin - first) / count
    return [first + int((index + 0.5) * step) for index in range(count)]


def pad_music(music: list[Mapping[str, Float[Tensor, "_ _"]]]) -> dict[str, Float[Tensor, "batch frame _"]]:
    """Songs of unequal length as one batch, the shorter ones continued by zeros. Cut the dances to their songs' lengths afterwards."""
    longest = max(len(value) for song in music for value in song.values())
    return {name: torch.stack([_rows(song[name][None], 0, longest)[0] for song in music]) for name in music[0]}


def _rows(value: Float[Tensor, "batch frame width"], begin: int, count: int) -> Tensor:
    """`count` rows from `begin`; zeros where the song is over, as in the training data."""
    found = value[:, begin : begin + count]
    return F.pad(found, (0, 0, 0, count - found.shape[1]))


@torch.no_grad()
def generate_motion(
    gpt: MotionGPT,
    music: Mapping[str, Float[Tensor, "batch rows _"]],
    start: MotionTokens,
    *,
    frames: int,
    sampling: SamplingConfig = SamplingConfig(),
    generator: torch.Generator | None = None,
    progress: Callable[[int], None] | None = None,
) -> MotionTokens:
    """Tokens of `frames` frames whose first frames are `start`.

    Memory beyond the result does not grow with the length: one window's cache, one window's music at a time.

    Args:
        gpt: the model; put it in eval mode.
        music: features by name, row 0 = frame 0. Rows behind `frames` serve as look-ahead; missing rows are zeros.
        start: at least one frame of tokens, usually those of the portrait's pose; it becomes the beginning of the dance.
        frames: length of the result, `start` included.
        sampling: how tokens are drawn.
        generator: source of randomness on the model's device; equal seeds give equal dances.
        progress: called with the number of finished frames after each segment.
    """
    config, device = gpt.config, start.ids.device
    known = start.ids.shape[1]
    if not 1 <= known <= frames:
        raise ValueError(f"start has {known} frames; it needs at least 1 and at most the {frames} frames asked for.")
    ids = torch.zeros(len(start.ids), frames, config.parts, config.slots, dtype=torch.long, device=device)
    ids[:, :known] = start.ids
    cache = gpt.transformer.new_cache(len(ids) * (1 if sampling.guidance == 1 else 2), gpt.layout.window)
    while known < frames:
        begin = 0 if known < config.frames else known - config.overlap_frames
        stop = min(begin + config.frames, frames)
        segment = _segment(gpt, music, ids, begin, known)
        ids[:, begin:stop] = sample_segment(
            gpt, segment, given=known - begin, frames=stop - begin, sampling=sampling, generator=generator, cache=cache
        )
        known = stop
        if progress is not None:
            progress(known)
    return MotionTokens(ids)


def _segment(gpt: MotionGPT, music: Mapping[str, Tensor], ids: Tensor, begin: int, known: int) -> Segment:
    """The window that starts at frame `begin`, its tokens known up to frame `known`."""
    config, batch = gpt.config, len(ids)
    shape = (config.parts, config.slots)
    motion = ids.new_zeros(batch, config.frames, *shape)
    motion[:, : known - begin] = ids[:, begin:known]
    previous = ids.new_full((batch, config.previous_frames, *shape), ABSENT)
    seen = min(begin, config.previous_frames) if config.context_frames else 0  # without motion context nothing before the segment is shown
    if seen:
        previous[:, -seen:] = ids[:, begin - seen : begin]
    index = context_frames_before(begin, count=config.context_frames, span=config.frames - config.overlap_frames)
    stacked = _stacked(gpt, music, begin, config.frames)
    if index:
        context = ids[:, index]
        context_music = torch.cat([_stacked(gpt, music, frame, 1) for frame in index], dim=1)
    else:
        context = ids.new_full((batch, config.context_frames, *shape), ABSENT)
        context_music = stacked.new_zeros(batch, config.context_frames, stacked.shape[-1])
    return Segment(motion, context, previous, stacked, context_music, torch.ones(batch, dtype=torch.bool, device=ids.device))


def _stacked(gpt: MotionGPT, music: Mapping[str, Tensor], begin: int, count: int) -> Tensor:
    """`count` frames of normalised music from `begin`, each with its look-ahead."""
    rows = count + gpt.config.music_lookahead_frames
    return gpt.stack_music({name: _rows(value, begin, rows) for name, value in music.items()})
