"""A dance of any length: segment after segment, each continuing the overlap with the one before (paper: Long generation)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xdancer.motion_gpt.arrival import Arrival, approach
from xdancer.motion_gpt.decoding import Decoder
from xdancer.motion_gpt.editing import MotionEdit
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.sampling import SamplingConfig, sample_frames
from xdancer.motion_gpt.window import Music, Window, context_frames_before, music_rows
from xdancer.types import MotionTokens

__all__ = ["Music", "context_frames_before", "few_threads", "generate_motion", "pad_music", "stream_motion"]

ONE_THREAD_WIDTH = 512
"""Models narrower than this are decoded by one thread on a CPU: on two busy cores a second one made the shipped model 20 times slower."""


def pad_music(music: list[Mapping[str, Float[Tensor, "_ _"]]]) -> dict[str, Float[Tensor, "batch frame _"]]:
    """Songs of unequal length as one batch, the shorter ones continued by zeros. Cut the dances to their songs' lengths afterwards."""
    longest = max(len(value) for song in music for value in song.values())
    return {name: torch.stack([music_rows(song[name][None], 0, longest)[0] for song in music]) for name in music[0]}


def generate_motion(
    gpt: MotionGPT,
    music: Music,
    start: MotionTokens,
    *,
    frames: int,
    sampling: SamplingConfig = SamplingConfig(),
    generator: torch.Generator | None = None,
    edit: MotionEdit | None = None,
    arrival: Arrival | None = None,
    asked: Mapping[str, Tensor] | None = None,
    progress: Callable[[int], None] | None = None,
) -> MotionTokens:
    """All tokens that `stream_motion` yields, arguments likewise; `progress` is called with the number of finished frames after each."""
    ids = torch.zeros(len(start.ids), frames, *start.ids.shape[2:], dtype=torch.long, device=start.ids.device)
    steps = stream_motion(
        gpt, music, start, frames=frames, sampling=sampling, generator=generator, edit=edit, arrival=arrival, asked=asked
    )  # fmt: skip
    with few_threads(gpt):
        for index, frame in enumerate(steps):
            ids[:, index] = frame
            if progress is not None:
                progress(index + 1)
    return MotionTokens(ids)


@contextmanager
def few_threads(gpt: MotionGPT) -> Iterator[None]:
    """Context in which a small model is decoded; its products are too small to share, and waking a second thread for each costs more."""
    threads = torch.get_num_threads()
    if gpt.config.width < ONE_THREAD_WIDTH:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def stream_motion(
    gpt: MotionGPT,
    music: Music,
    start: MotionTokens,
    *,
    frames: int,
    sampling: SamplingConfig = SamplingConfig(),
    generator: torch.Generator | None = None,
    edit: MotionEdit | None = None,
    arrival: Arrival | None = None,
    asked: Mapping[str, Tensor] | None = None,
) -> Iterator[Int[Tensor, "batch part slot"]]:
    """Tokens frame by frame as they are decoded, those of `start` first.

    Memory does not grow with the length: one window's cache, tokens and music at a time.

    Args:
        gpt: the model; put it in eval mode.
        music: features by name, row 0 = frame 0; arrays may be memory-mapped. Rows behind `frames` serve as look-ahead; missing rows are zeros.
        start: at least one frame of tokens, usually those of the portrait's pose; it becomes the beginning of the dance.
        frames: length of the dance, `start` included.
        sampling: how tokens are drawn.
        generator: source of randomness on the model's device; equal seeds give equal dances.
        edit: tokens that the dance must have, also in place of `start`'s.
        arrival: how frames that are locked as a whole are approached; without it the dance jumps to them. The frames of the way come together.
        asked: what else is asked for, by name of the segment's field: `style`, `figures`.

    Raises:
        ValueError: `start` is empty or longer than the dance, or the edit does not fit the model's tokens.
    """
    device, known = start.ids.device, start.ids.shape[1]
    if not 1 <= known <= frames:
        raise ValueError(f"start has {known} frames; it needs at least 1 and at most the {frames} frames asked for.")
    edit = _checked(gpt, edit, len(start.ids)).to(device)
    window = Window(gpt, music, MotionTokens(edit.apply(start.ids.long())), edit, asked or {})
    yield from window.past.unbind(1)
    window.move()
    decoder = Decoder(gpt)
    while window.known < frames:
        stop, target = min(window.stop, frames), None
        if arrival is not None:
            stop, target = _next_stop(window, stop, frames, arrival.frames)
            if target is not None:
                yield from approach(window, target, arrival, sampling=sampling, generator=generator).unbind(1)
                continue
        decoded = []
        for frame in sample_frames(
            gpt, window.segment(), given=window.known - window.begin, frames=stop - window.begin, sampling=sampling, locked=window.locked(),
            generator=generator, decoder=decoder,
        ):  # fmt: skip
            decoded.append(frame)
            yield frame
        window.append(torch.stack(decoded, dim=1))


def _next_stop(window: Window, stop: int, frames: int, way: int) -> tuple[int, int | None]:
    """How far the dance goes on freely; with a number where instead the way to a locked frame begins now."""
    target = window.edit.next_whole(window.known)
    if target is None or target >= frames:
        return stop, None
    if target > window.known:
        return min(stop, max(window.known, target - way)), target if target - way <= window.known else None
    while target < stop and window.edit.whole(target):
        target += 1
    return target, None


def _checked(gpt: MotionGPT, edit: MotionEdit | None, batch: int) -> MotionEdit:
    config = gpt.config
    shape = (config.parts, config.slots)
    if edit is None:
        return MotionEdit(torch.zeros(1, 0, *shape, dtype=torch.long), torch.zeros(1, 0, *shape, dtype=torch.bool))
    if edit.tokens.shape[2:] != shape or len(edit.tokens) not in (1, batch):
        raise ValueError(f"An edit of {tuple(edit.tokens.shape)} for {batch} dances of {shape[0]} parts × {shape[1]} slots.")
    held = edit.tokens[edit.locked]
    if held.numel() and not 0 <= int(held.min()) <= int(held.max()) < config.codes:
        raise ValueError(f"Locked tokens from {int(held.min())} to {int(held.max())}; the model has codes 0 … {config.codes - 1}.")
    return edit
