"""Frames from codes: DDIM over overlapping windows, all frames denoised jointly (the paper's long video; sizes are ours), in a stream."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xdancer.errors import XDancerError
from xdancer.types import PoseBatch
from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.video_diffusion.model import Motion, Portrait, VideoDiffusion, joined_motion, repeated_portrait
from xdancer.video_diffusion.noise import make_scheduler

MEMORY_SHARE, MOST_TOGETHER = 0.7, 8
"""Windows that are predicted together take at most this share of the accelerator's free memory, and are at most so many."""


def window_starts(frames: int, *, window: int, overlap: int, offset: int = 0) -> list[tuple[int, int]]:
    """(start, stop) of windows that cover `frames` frames in steps of `window − overlap`.

    `offset` shifts the grid to the left. Nothing wraps around: the windows at the ends are moved inside, not joined.
    """
    if frames <= window:
        return [(0, frames)]
    step = window - overlap
    starts = sorted({min(max(start, 0), frames - window) for start in range(-(offset % step), frames - overlap, step)})
    return [(start, start + window) for start in starts]


def draw_grids(
    config: VideoDiffusionConfig, pictures: int, *, steps: int, generator: torch.Generator | None, place: Any = "cpu"
) -> list[list[tuple[int, int]]]:
    """The windows of every denoising step, the first thing that is drawn of a generator."""
    draws = torch.randint(0, config.window_frames - config.window_overlap, (steps,), generator=generator, device=place).tolist()
    return [window_starts(pictures, window=config.window_frames, overlap=config.window_overlap, offset=offset) for offset in draws]


class WindowedMotion:
    """Guidance of the windows of a long clip, computed when first needed and kept for one pass over the windows.

    With `picked` (batch, picture) the windows count pictures, each guided by the codes around its frame; else all frames of the codes.
    """

    def __init__(self, model: VideoDiffusion, portrait: Portrait, codes: Tensor, pose: PoseBatch | None, picked: Tensor | None) -> None:
        self.model, self.portrait, self.codes, self.pose, self.picked = model, portrait, codes, pose, picked
        self.pictures = codes.shape[1] if picked is None else picked.shape[1]
        self._kept: dict[tuple[int, int], Motion] = {}

    def __call__(self, start: int, stop: int, *, keep: bool, known: Motion | None = None) -> Motion:
        """Of the frames from `start` on; `known` as in `VideoDiffusion.encode_motion`."""
        if (start, stop) in self._kept:
            return self._kept[start, stop]
        if self.picked is not None:
            motion = self.model.encode_motion(self.portrait, self.codes, self.pose, frame_index=self.picked[:, start:stop], known=known)
        else:
            pose = None if self.pose is None else self.pose.frames(slice(start, stop))
            motion = self.model.encode_motion(self.portrait, self.codes[:, start:stop], pose, known=known)
        if keep:
            self._kept[start, stop] = motion
        return motion


class Together:
    """How many windows are predicted in one call: as many as the GPU's memory holds, by what the first one took; on a CPU, which has
    nothing to gain, one.
    """

    def __init__(self, device: torch.device, count: int | None = None) -> None:
        self.device = device
        self.count = count if count or device.type == "cuda" else 1

    def __call__(self) -> int:
        return self.count or 1

    def watch(self, work: Callable[[], Tensor]) -> Tensor:
        """Do the work; the first time on a GPU, see what memory it takes."""
        if self.count is not None:
            return work()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        done = work()
        taken = torch.cuda.max_memory_allocated(self.device) - before
        free = torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        self.count = max(1, min(MOST_TOGETHER, int(MEMORY_SHARE * free / max(taken, 1))))
        return done


def check_inputs(model: VideoDiffusion, reference: Tensor, codes: Tensor, pose: PoseBatch | None) -> None:
    """Raise XDancerError where sizes do not fit the renderer."""
    size = (model.config.height, model.config.width)
    if tuple(reference.shape[-2:]) != size:
        raise XDancerError(
            f"The portrait is {reference.shape[-2]}×{reference.shape[-1]} (height×width), this renderer makes {size[0]}×{size[1]}: resize it."
        )
    if codes.shape[1] == 0:
        raise XDancerError("No frames to render: the codes are empty.")
    if model.config.motion_decoder and codes.shape[-1] != model.config.codes_width:
        raise XDancerError(
            f"The codes are {codes.shape[-1]} wide, this renderer reads {model.config.codes_width}: use the tokenizer it was trained with."
        )
    if pose is not None and pose.confidence.shape[1] != codes.shape[1]:
        raise XDancerError(f"{codes.shape[1]} frames of codes but {pose.confidence.shape[1]} of keypoints.")


def denoise(
    model: VideoDiffusion, portrait: Portrait, codes: Float[Tensor, "batch frame code"], pose: PoseBatch | None, *, steps: int,
    guidance: float, generator: torch.Generator | None, progress: Callable[[int, int], None] | None = None, picked: Tensor | None = None,
    together: int | None = None,
) -> Iterator[Float[Tensor, "batch picture channel rows columns"]]:  # fmt: skip
    """Latents of all frames, or of the `picked` ones, in order, some at a time.

    Per step the predictions of overlapping windows are averaged; the grid of windows shifts from step to step. A frame of one step needs
    only the windows of the step before that reach it, so all steps run one behind the other along the clip: the result is that of denoising
    the whole clip step by step, the memory that of a few windows per step. `together`: windows per prediction; as memory allows if None.
    """
    config, scheduler = model.config, make_scheduler(model.config)
    scheduler.set_timesteps(steps, device=codes.device)
    branches = [WindowedMotion(model, portrait, codes, pose, picked)]
    if guidance != 1:
        branches.append(WindowedMotion(model, model.drop(portrait), codes, pose, picked))
    pictures, place = branches[0].pictures, generator.device if generator else codes.device
    grids = draw_grids(config, pictures, steps=steps, generator=generator, place=place)
    done, total, windows_together = 0, sum(map(len, grids)), Together(codes.device, together)

    def predict(noisy: list[Tensor], windows: Sequence[tuple[int, int]], timestep: Tensor) -> tuple[Tensor, ...]:
        nonlocal done
        prediction = windows_together.watch(lambda: _predict(model, branches, torch.cat(noisy), timestep, windows, guidance))
        done += len(windows)
        if progress is not None:
            progress(done, total)
        return prediction.chunk(len(windows))

    shape = (len(codes), config.latent_channels, *config.latent_size)
    latents = _noise(pictures, config.window_frames, shape, generator, place, codes.device)
    for timestep, windows in zip(scheduler.timesteps, grids, strict=True):
        step = partial(_step, scheduler, timestep)
        latents = _denoise_once(latents, windows, partial(predict, timestep=timestep), step, together=windows_together)
    return latents


def _noise(
    pictures: int, window: int, shape: tuple[int, ...], generator: torch.Generator | None, place: Any, device: torch.device
) -> Iterator[Tensor]:
    """Where denoising starts, a window of frames at a time."""
    for start in range(0, pictures, window):
        size = (shape[0], min(window, pictures - start), *shape[1:])
        yield torch.randn(size, generator=generator, device=place).to(device)


def _step(scheduler: Any, timestep: Tensor, prediction: Tensor, noisy: Tensor) -> Tensor:
    return scheduler.step(prediction, timestep, noisy, eta=0.0).prev_sample


def _denoise_once(
    source: Iterator[Tensor], windows: list[tuple[int, int]], predict: Callable[..., Sequence[Tensor]],
    step: Callable[[Tensor, Tensor], Tensor], *, together: Callable[[], int],
) -> Iterator[Tensor]:  # fmt: skip
    """One denoising step along a clip: reads noisy frames as its windows need them, gives frames on when their last window is done."""
    noisy, first = next(source), 0
    totals = torch.zeros_like(noisy)
    counts = noisy.new_zeros(1, noisy.shape[1], 1, 1, 1)
    while windows:
        count = together()
        now, windows = windows[:count], windows[count:]
        while first + noisy.shape[1] < now[-1][1]:
            more = next(source)
            noisy, totals = torch.cat([noisy, more], dim=1), torch.cat([totals, torch.zeros_like(more)], dim=1)
            counts = torch.cat([counts, counts.new_zeros(1, more.shape[1], 1, 1, 1)], dim=1)
        inside = [slice(start - first, stop - first) for start, stop in now]
        for part, prediction in zip(inside, predict([noisy[:, part] for part in inside], now), strict=True):
            totals[:, part] += prediction
            counts[:, part] += 1
        ready = (windows[0][0] if windows else now[-1][1]) - first
        if ready:
            yield step(totals[:, :ready] / counts[:, :ready], noisy[:, :ready])
            noisy, totals, counts, first = noisy[:, ready:], totals[:, ready:], counts[:, ready:], first + ready


def _predict(
    model: VideoDiffusion, branches: list[WindowedMotion], noisy: Tensor, timestep: Tensor, windows: Sequence[tuple[int, int]], guidance: float
) -> Tensor:
    """The predictions of some windows, one behind the other in the batch, guided if there is an unconditional branch."""
    timesteps = timestep.expand(len(noisy))
    short = branches[0].pictures <= model.config.window_frames
    predictions, known = [], list[Motion | None]([None] * len(windows))
    for branch in branches:
        known = [branch(start, stop, keep=short, known=other) for (start, stop), other in zip(windows, known, strict=True)]
        motion = joined_motion(cast(list[Motion], known))
        predictions.append(model(noisy, timesteps, repeated_portrait(branch.portrait, len(windows)), motion))
    if len(predictions) == 1:
        return predictions[0]
    return predictions[1] + guidance * (predictions[0] - predictions[1])


@torch.no_grad()
def stream_latents(
    model: VideoDiffusion, *, reference: Float[Tensor, "batch 3 height width"], reference_pose: PoseBatch,
    codes: Float[Tensor, "batch frame code"], pose: PoseBatch | None = None, steps: int | None = None, guidance: float | None = None,
    generator: torch.Generator | None = None, progress: Callable[[int, int], None] | None = None,
    picked: Int[Tensor, "batch picture"] | None = None, together: int | None = None,
) -> Iterator[Float[Tensor, "batch picture channel rows columns"]]:  # fmt: skip
    """Denoised latents for any number of codes, in order, some frames at a time; `decode_windows` makes pictures of them.

    One portrait (in [-1, 1]) and its pose per item. `pose`: keypoints decoded from the same tokens, where `model.needs_pose`. `steps`,
    `guidance`: the config's if None. The same generator state gives the same bits. `progress` is told (windows done, windows in all
    denoising steps). `picked`: the windows count these frames alone, for models without temporal modules. `together`: as in `denoise`.

    Raises:
        XDancerError: sizes that do not fit the renderer.
    """
    check_inputs(model, reference, codes, pose)
    steps = model.config.steps if steps is None else steps
    guidance = model.config.guidance if guidance is None else guidance
    if not 1 <= steps <= model.config.train_timesteps:
        raise XDancerError(f"steps {steps}: from 1 to {model.config.train_timesteps}.")
    portrait = model.encode_portrait(reference, reference_pose.frames(slice(0, 1)))
    yield from denoise(
        model, portrait, codes, pose, steps=steps, guidance=guidance, generator=generator, progress=progress, picked=picked, together=together
    )


@torch.no_grad()
def render_video(
    model: VideoDiffusion, *, reference: Float[Tensor, "batch 3 height width"], reference_pose: PoseBatch,
    codes: Float[Tensor, "batch frame code"], pose: PoseBatch | None = None, steps: int | None = None, guidance: float | None = None,
    generator: torch.Generator | None = None, frame_index: Int[Tensor, "batch picture"] | None = None,
) -> Float[Tensor, "batch picture 3 height width"]:  # fmt: skip
    """All frames, or those of `frame_index`, in [-1, 1] at once, for short clips; arguments as in `stream_latents`."""
    picked = None if model.config.temporal else frame_index
    latents = torch.cat(
        list(
            stream_latents(
                model, reference=reference, reference_pose=reference_pose, codes=codes, pose=pose, steps=steps, guidance=guidance,
                generator=generator, picked=picked,
            )
        ),
        dim=1,
    )  # fmt: skip
    if frame_index is not None and picked is None:
        latents = latents[torch.arange(len(latents), device=latents.device)[:, None], frame_index]
    return decode_frames(model, latents).clamp(-1, 1)


def decode_windows(model: VideoDiffusion, latents: Iterable[Tensor]) -> Iterator[Float[Tensor, "batch frame 3 height width"]]:
    """Pictures of latents, at most a window of frames at a time: neither the autoencoder nor a long video fills the memory."""
    for part in (part for some in latents for part in some.split(model.config.window_frames, dim=1)):
        yield model.image_space.decode(part.flatten(0, 1)).unflatten(0, part.shape[:2])


def decode_frames(model: VideoDiffusion, latents: Tensor) -> Float[Tensor, "batch frame 3 height width"]:
    """Pictures of latents, all at once."""
    return torch.cat(list(decode_windows(model, [latents])), dim=1)
