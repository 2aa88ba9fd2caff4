"""One trained row: its dances to held-out songs from one pose each, or held-out poses through its tokens, and their figures."""

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.checkpoint import embedded_tokenizer, load_model
from xdancer.data.reader import ShardReader
from xdancer.errors import XDancerError
from xdancer.evaluation.clips import Clip, read_clips
from xdancer.evaluation.folder import write_json
from xdancer.evaluation.model import BATCH, dance_pairs
from xdancer.evaluation.tokenizer import tokenizer_figures, write_decoded
from xdancer.metrics.beat_alignment import score_beats
from xdancer.metrics.frechet import enough_for_frechet, frechet_distance
from xdancer.metrics.motion_table import MotionItem, beat_clip, evaluate_motion, kinetic_windows
from xdancer.metrics.pose import body_height
from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.pipelines.pose_file import save_poses
from xdancer.reproduce.control import figure_figures, style_figures
from xdancer.vqvae.model import VQVAE

SAMPLING = SamplingConfig(temperature=1.0, top_p=0.985, smoothing=1.0)
WISH_GUIDANCE = 6.0
"""Of the figures with guidance on what a dance is asked to be (docs/experiments.md)."""
WINDOWS = "kinetic.npy"
"""Kinetic features of a run's dances, beside its figures: for the Fréchet distance over all seeds together."""


@torch.no_grad()
def measure_dances(*, data: Path, run: Path, figures: Path, clips: int = 40, frames: int = 240, seed: int = 0) -> None:
    """Let a run's model dance, and write its figures.

    Args:
        data: held-out shards.
        run: run folder of stage 2.
        figures: the .json to write.
        clips: dances, each to its own song.
        frames: length of each.
        seed: of the sampling.
    """
    path = run / "last.ckpt"
    gpt = load_model(path, MotionGPT)
    chosen = [cut(clip, frames, gpt.config.music_lookahead_frames) for clip in read_clips(data, list(gpt.config.music_features), count=clips)]
    tokenizer, dances = embedded_tokenizer(path)[0], list[NDArray[np.float32]]()
    for begin in range(0, len(chosen), BATCH):
        dances += dance_pairs(tokenizer, gpt, [(clip, clip) for clip in chosen[begin : begin + BATCH]], SAMPLING, seed + begin, "fp32")
        print(f"dances {len(dances)}/{len(chosen)}", flush=True)
    items = [
        MotionItem(clip.key, generated=dance, true=clip.pose, beats=np.asarray(clip.meta["beats"], np.float64), tempo=clip.meta["tempo"])
        for clip, dance in zip(chosen, dances, strict=True)
    ]
    np.save(figures.with_name(WINDOWS), _kinetic(dances, [clip.pose for clip in chosen]))
    borders = [border_ratio(dance, border_frames(gpt.config, len(dance))) for dance in dances]
    extra = {
        "gpt/border_ratio": float(np.nanmean(borders)), "gpt/parameters": sum(parameter.numel() for parameter in gpt.parameters()),
        "gpt/beat_f1_by_clip": [_f1(item) for item in items], **last_validation(run),
    }  # fmt: skip
    write_json(figures, evaluate_motion(items, seed=seed) | extra | _asked(tokenizer, gpt, chosen, data.parent / "train", frames, seed))


def _kinetic(
    dances: Sequence[Float[NDArray, "_ 60 3"]], sizes: Sequence[Float[NDArray, "_ 60 3"]]
) -> Float[NDArray, "window 54"]:  # fmt: skip
    """Features of all windows of the dances, in the body heights that the true poses `sizes` have."""
    heights = [body_height(pose) for pose in sizes]
    return np.concatenate([kinetic_windows(dance, height) for dance, height in zip(dances, heights, strict=True) if np.isfinite(height)])


@cache
def _true_kinetic(train: Path) -> Float[NDArray, "window 54"]:
    """Features of the true training dances; all rows of a table are compared with the same ones."""
    reader = ShardReader(train)
    clips = [reader.pose(number, 0, int(reader.frames[number])) for number in range(len(reader))]
    return _kinetic(clips, clips)


def pooled_frechet(runs: Sequence[Path], train: Path) -> float | None:
    """Fréchet distance of the kinetic features of some runs' dances together to those of the true training dances, z-scored by the latter.

    None where the runs have fewer than ten windows per feature: one run's are too few.
    """
    if not all((run / WINDOWS).is_file() for run in runs):
        return None
    true = _true_kinetic(train)
    made = np.concatenate([np.load(run / WINDOWS, allow_pickle=False) for run in runs])
    mean, scale = true.mean(0), true.std(0).clip(min=1e-8)
    return frechet_distance((made - mean) / scale, (true - mean) / scale) if enough_for_frechet(made, true) else None


def _asked(tokenizer: VQVAE, gpt: MotionGPT, clips: list[Clip], train: Path, frames: int, seed: int) -> dict[str, float]:
    """What a model with conditions makes of them, without guidance and with."""
    figures: dict[str, float] = {}
    for suffix, guidance in (("", 1.0), ("_guided", WISH_GUIDANCE)):
        sampling, found = replace(SAMPLING, wish_guidance=guidance), dict[str, float]()
        if gpt.config.styles:
            found |= style_figures(tokenizer, gpt, clips, train, frames=frames, sampling=sampling, seed=seed)
        if gpt.config.motion_figures:
            found |= figure_figures(tokenizer, gpt, clips, sampling=sampling, seed=seed)
        figures |= {f"{name}{suffix}": value for name, value in found.items()}
    return figures


def cut(clip: Clip, frames: int, lookahead: int) -> Clip:
    """The clip's first frames, with the music that the look-ahead reads behind them."""
    music = {name: rows[: frames + lookahead] for name, rows in clip.music.items()}
    return Clip(clip.key, clip.pose[:frames], clip.meta, music)


def _f1(item: MotionItem) -> float | None:
    clip = beat_clip(item.generated, item.beats, item.tempo, "seconds")
    value = score_beats(clip.motion, clip.music, duration=clip.duration).f1
    return value if np.isfinite(value) else None


def border_frames(config: MotionGPTConfig, frames: int) -> list[int]:
    """The frames at which a new segment begins to write."""
    return list(range(config.frames, frames, config.frames - config.overlap_frames))


def border_ratio(pose: Float[NDArray, "frame 60 3"], borders: list[int]) -> float:
    """Mean acceleration of the body at the segments' borders over that of all frames; 1 = no seam shows, NaN without borders or movement."""
    steps = np.linalg.norm(np.diff(pose[:, :18, :2], n=2, axis=0), axis=-1).mean(axis=1)  # entry t is the acceleration at frame t + 1
    at = [border - 1 for border in borders if 1 <= border <= len(steps)]
    return float(steps[at].mean() / steps.mean()) if at and steps.mean() > 0 else float("nan")


def last_validation(run: Path) -> dict[str, float]:
    """Cross-entropy on held-out windows at the end of the training, and how much it rises with other songs.

    Raises:
        XDancerError: the run did not validate.
    """
    names = {"val/loss": "gpt/cross_entropy", "val/music_gain": "gpt/music_gain"}
    path, found = run / "metrics.csv", dict[str, float]()
    if path.is_file():
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream):
                found |= {key: float(row[name]) for name, key in names.items() if row.get(name)}
    if "gpt/cross_entropy" not in found:
        raise XDancerError(f"{path} holds no validation. Train with trainer.val_check_interval equal to max_steps.")
    return found


@torch.no_grad()
def measure_tokenizer(*, data: Path, run: Path, figures: Path, clips: int = 40, frames: int = 240, seed: int = 0) -> None:
    """Held-out poses through a tokenizer, and the figures of what is left of them.

    Args:
        data: held-out shards.
        run: run folder of stage 1.
        figures: the .json to write.
        clips: how many.
        frames: of each.
        seed: not used; tokens are not drawn.
    """
    tokenizer = load_model(run / "last.ckpt", VQVAE)
    chosen = [cut(clip, frames, 0) for clip in read_clips(data, [], count=clips)]
    with tempfile.TemporaryDirectory() as folder:
        write_decoded(chosen, tokenizer, Path(folder))
        for clip in chosen:
            save_poses(Path(folder) / "motion" / f"{clip.key}.true.npy", clip.pose)
        found = tokenizer_figures(Path(folder))
    extra = {"vqvae/parameters": sum(parameter.numel() for parameter in tokenizer.parameters()), "clips": [clip.key for clip in chosen]}
    write_json(figures, {**found, **extra})
