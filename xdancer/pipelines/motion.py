"""MotionPipeline: a song and a first pose → the dance as tokens and poses, at once or frame by frame. Stages 1 and 2, no pictures."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from xdancer.audio.encoder import encode_music, encode_music_to_disk
from xdancer.audio.feature_cache import cache_folder, writable
from xdancer.checkpoint import load_model
from xdancer.device import Precision, autocast
from xdancer.errors import XDancerError
from xdancer.motion_gpt.arrival import Arrival
from xdancer.motion_gpt.editing import MotionEdit
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.rollout import Music, few_threads, stream_motion
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.motion_gpt.smoothing import smooth_pose, smooth_stream
from xdancer.pipelines.folder import read_folder, require_one_tokenizer, write_folder
from xdancer.types import FPS, MotionSample, MotionTokens, PoseBatch
from xdancer.vqvae.model import VQVAE

LEAST_MUSIC = 3.0
"""Seconds of the song that are read also for shorter dances: tempo and beats need them."""
LONG_SONG = 120.0
"""Seconds from which on a song's features lie on disk and are read memory-mapped."""
DECODED_AT_ONCE = 1024
"""Frames that the tokenizer decodes together."""

Progress = Callable[[str, int, int], None]
"""(what, done, total): `dance` counts frames, `render` windows over all denoising steps."""
Choice = Callable[[list[Float[NDArray, "_ 60 3"]]], int]
"""Poses of several dances → the number of the one to take."""


@dataclass(frozen=True)
class Wishes:
    """What is wanted of a dance beside its music, its beginning and its length."""

    sampling: SamplingConfig = SamplingConfig()
    """How tokens are drawn."""
    edit: MotionEdit | None = None
    """Tokens that stay; frames that are locked as a whole are approached."""
    asked: Mapping[str, Tensor] = field(default_factory=dict)
    """Style and figures, see `stream_motion`."""


class MotionStream:
    """A dance while it is made: its poses one by one, and all of it afterwards.

    Iterate once. Each pose comes as soon as it is known: after its own tokens and the few frames that the smoothing needs.
    """

    def __init__(self, pipeline: "MotionPipeline", steps: Iterator[Tensor], *, frames: int, smoothing: float, seed: int) -> None:
        config = pipeline.gpt.config
        self._ids = torch.zeros(1, frames, config.parts, config.slots, dtype=torch.int32, device=pipeline.device)
        self._pipeline, self._steps, self._smoothing, self._seed = pipeline, _kept(steps, self._ids, None), smoothing, seed
        self._done = False

    @torch.no_grad()
    def __iter__(self) -> Iterator[Float[NDArray, "60 3"]]:
        tokenizer = self._pipeline.tokenizer
        poses = smooth_stream((tokenizer.decode(MotionTokens(ids[:, None])) for ids in self._steps), self._smoothing)
        while True:
            with autocast(self._pipeline.device, self._pipeline.precision), few_threads(self._pipeline.gpt):  # not while the reader works
                pose = next(poses, None)
            if pose is None:
                self._done = True
                return
            yield pose.to_array()[0]

    @property
    def sample(self) -> MotionSample:
        """The whole dance, the same as `MotionPipeline.dance` makes of equal arguments; known when the last pose has been read."""
        if not self._done:
            raise ValueError("The dance is not finished: read all of its poses first.")
        return to_sample(self._pipeline.tokenizer, self._ids.long(), smoothing=self._smoothing, seed=self._seed)


class MotionPipeline:
    """Stages 1 and 2.

    Args:
        tokenizer: stage 1.
        gpt: stage 2, trained on the tokens of this tokenizer.
    """

    def __init__(self, tokenizer: VQVAE, gpt: MotionGPT, *, precision: Precision = "fp32") -> None:
        self.tokenizer, self.gpt = tokenizer.eval(), gpt.eval()
        self.precision: Precision = precision

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, device: torch.device | str = "cpu", precision: Precision = "fp32") -> "MotionPipeline":
        """The first two stages of a model folder, with or without a renderer.

        Raises:
            CheckpointError: missing, damaged, of another version; StageMismatchError: its parts were not exported together.
        """
        models, _ = read_folder(Path(folder), stages=("vqvae", "motion_gpt"))
        return cls(cast(VQVAE, models["vqvae"]), cast(MotionGPT, models["motion_gpt"]), precision=precision).to(device)

    @classmethod
    def from_checkpoints(cls, vqvae: Path, gpt: Path, *, precision: Precision = "fp32") -> "MotionPipeline":
        """The pipeline of two training checkpoints; `shipped` stands for those of the package.

        Raises:
            CheckpointError: missing, damaged or of another stage; StageMismatchError: stage 2 was trained on another tokenizer.
        """
        tokenizer, motion_gpt = load_model(vqvae, VQVAE), load_model(gpt, MotionGPT)
        require_one_tokenizer(tokenizer, vqvae, {"motion_gpt": gpt})
        return cls(tokenizer, motion_gpt, precision=precision)

    def save_pretrained(self, folder: Path | str, *, notes: Mapping[str, Any] | None = None, half: bool = False) -> None:
        """Write a model folder without a renderer; errors as in `DancePipeline.save_pretrained`."""
        write_folder(Path(folder), self.models, notes=notes, half=half)

    @property
    def models(self) -> dict[str, nn.Module]:
        """The stages' models by name."""
        return {"vqvae": self.tokenizer, "motion_gpt": self.gpt}

    @property
    def device(self) -> torch.device:
        return next(self.gpt.parameters()).device

    def to(self, device: torch.device | str) -> "MotionPipeline":
        """Move both stages."""
        for model in self.models.values():
            model.to(device)
        return self

    def encode(self, music: Float[NDArray, " sample"], *, sample_rate: int, frames: int) -> dict[str, Float[np.ndarray, "row _"]]:
        """The music features that the motion GPT reads; further rows serve as its look-ahead, where the song has them.

        Those of a long song are written to the cache folder and memory-mapped.
        """
        wanted = max(frames + self.gpt.config.music_lookahead_frames, round(LEAST_MUSIC * FPS))
        rows = max(frames, min(wanted, int(len(music) / sample_rate * FPS)))
        part, names = music[: round((rows / FPS + 1) * sample_rate)], self.gpt.config.music_features
        if rows > LONG_SONG * FPS and writable(cache_folder()):
            return encode_music_to_disk(part, sample_rate, rows, names)
        return encode_music(part, sample_rate, rows, names)

    def dance(
        self, music: Music, start: PoseBatch, *, frames: int, seed: int = 0, wishes: Wishes = Wishes(), candidates: int = 1,
        choose: Choice | None = None, progress: Progress | None = None,
    ) -> MotionSample:  # fmt: skip
        """The dance of one dancer.

        Args:
            music: result of `encode`.
            start: the first poses.
            frames: length of the dance.
            seed: equal seeds give equal dances.
            wishes: how it is drawn and what stays.
            candidates: dances that are drawn together.
            choose: takes one of several candidates; not called for one.
            progress: told how far the work is.
        """
        if candidates < 1 or (candidates > 1 and choose is None):
            raise ValueError(f"candidates {candidates}: at least 1; several need a choice.")
        poses = PoseBatch(start.keypoints.repeat(candidates, 1, 1, 1), start.confidence.repeat(candidates, 1, 1))
        sample = roll_out(
            self.tokenizer, self.gpt, music, poses, frames=frames, wishes=wishes, seed=seed, precision=self.precision, progress=progress
        )
        if choose is None or candidates == 1:
            return sample
        chosen = choose([sample.pose.to_array(item) for item in range(candidates)])
        pose = PoseBatch(sample.pose.keypoints[chosen : chosen + 1], sample.pose.confidence[chosen : chosen + 1])
        return MotionSample(MotionTokens(sample.tokens.ids[chosen : chosen + 1]), pose, seed=seed)

    def stream(self, music: Music, start: PoseBatch, *, frames: int, seed: int = 0, wishes: Wishes = Wishes()) -> MotionStream:
        """The dance of `dance`, pose by pose while it is made."""
        steps = _steps(self.tokenizer, self.gpt, music, start, frames=frames, wishes=wishes, seed=seed)
        return MotionStream(self, steps, frames=frames, smoothing=wishes.sampling.smoothing, seed=seed)


def ask_for(
    gpt: MotionGPT, *, style: str | None = None, energy: float | None = None, density: float | None = None
) -> dict[str, Tensor]:  # fmt: skip
    """`Wishes.asked` of what a user names.

    Raises:
        XDancerError: the model does not know the style, or was trained without what is asked for.
    """
    asked, device = {}, next(gpt.parameters()).device
    if style is not None:
        if style not in gpt.config.styles:
            raise XDancerError(f"--style {style}: the model knows {', '.join(gpt.config.styles) or 'no styles'}.")
        asked["style"] = torch.tensor([gpt.config.styles.index(style)], device=device)
    figures = [math.nan if value is None else value for value in (energy, density)]  # the order of `conditions.FIGURES`
    if not all(map(math.isnan, figures)):
        if not gpt.config.motion_figures:
            raise XDancerError("--energy and --density: the model was trained without them (config key motion_figures).")
        asked["figures"] = torch.tensor([figures], device=device)
    return asked


def frames_of(music: Float[NDArray, " sample"], *, sample_rate: int, seconds: float | None = None) -> int:
    """Frames of a dance to the whole song, or to its first seconds."""
    length = len(music) / sample_rate
    return max(1, round(FPS * (length if seconds is None else min(seconds, length))))


@torch.no_grad()
def roll_out(
    tokenizer: VQVAE, gpt: MotionGPT, music: Music, start: PoseBatch, *, frames: int, wishes: Wishes = Wishes(), seed: int = 0,
    precision: Precision = "fp32", progress: Progress | None = None,
) -> MotionSample:  # fmt: skip
    """Dances to `music` from the first poses `start`: tokens by the GPT, poses by the tokenizer's decoder."""
    shape = (len(start.keypoints), frames, gpt.config.parts, gpt.config.slots)
    ids = torch.zeros(shape, dtype=torch.long, device=start.keypoints.device)
    with autocast(ids.device, precision), few_threads(gpt):
        steps = _steps(tokenizer, gpt, music, start, frames=frames, wishes=wishes, seed=seed)
        deque(_kept(steps, ids, progress), maxlen=0)
        return to_sample(tokenizer, ids, smoothing=wishes.sampling.smoothing, seed=seed)


@torch.no_grad()
def to_sample(tokenizer: VQVAE, ids: Int[Tensor, "batch frame part slot"], *, smoothing: float, seed: int) -> MotionSample:
    """Dances of any length with their smoothed poses; the decoder sees `DECODED_AT_ONCE` frames at a time."""
    parts = [tokenizer.decode(MotionTokens(some)) for some in ids.split(DECODED_AT_ONCE, dim=1)]
    pose = PoseBatch(torch.cat([part.keypoints for part in parts], dim=1), torch.cat([part.confidence for part in parts], dim=1))
    return MotionSample(MotionTokens(ids), smooth_pose(pose, smoothing), seed=seed)


@torch.no_grad()
def _steps(
    tokenizer: VQVAE, gpt: MotionGPT, music: Music, start: PoseBatch, *, frames: int, wishes: Wishes, seed: int
) -> Iterator[Int[Tensor, "batch part slot"]]:  # fmt: skip
    """The dances' tokens frame by frame."""
    yield from stream_motion(
        gpt, music, tokenizer.encode(start), frames=frames, sampling=wishes.sampling, edit=wishes.edit, arrival=Arrival(tokenizer),
        generator=torch.Generator(start.keypoints.device).manual_seed(seed), asked=wishes.asked,
    )  # fmt: skip


def _kept(steps: Iterable[Tensor], ids: Int[Tensor, "batch frame part slot"], progress: Progress | None) -> Iterator[Tensor]:
    """The same frames, each after it was written to `ids`."""
    for index, frame in enumerate(steps):
        ids[:, index] = frame
        if progress is not None:
            progress("dance", index + 1, ids.shape[1])
        yield frame
