"""Whether the windows of a long video show: frame differences where a window begins or ends against those inside, and background flicker.

    python benchmarks/window_borders.py --data data/shipped_video/test [--model DIR] [--clips 24] [--frames 64]

Held-out clips with videos, each rendered from its own tokens with its first frame as the portrait. Of every clip: mean absolute difference
of neighbouring frames (of 255) at the borders of the last denoising step's windows, minus that inside; 95 % interval by bootstrap over clips.
A dance is not equally fast everywhere: `against_true` takes the same difference of the true frames off. Clips that move less than half of the
truth are counted and left out (a still picture has no borders). One JSON line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from xdancer.checkpoint import load_model
from xdancer.data.reader import ShardReader
from xdancer.evaluation.clips import render_clip, with_video
from xdancer.metrics.beat_alignment import bootstrap_interval
from xdancer.metrics.reconstruction import person_region
from xdancer.metrics.video_item import VideoItem
from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.video_diffusion.sampling import draw_grids
from xdancer.vqvae.model import VQVAE
from xdancer.weights import shipped_model


def changes(frames: np.ndarray) -> np.ndarray:
    """Mean absolute difference of every frame to the one before; entry t belongs to frame t + 1."""
    return np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))


def borders(config: VideoDiffusionConfig, frames: int, seed: int) -> np.ndarray:
    """Which entries of `changes` lie where a window of the last step begins or ends."""
    grid = draw_grids(config, frames, steps=config.steps, generator=torch.Generator().manual_seed(seed))[-1]
    at = {edge for window in grid for edge in window} - {0, frames}
    return np.isin(np.arange(1, frames), sorted(at))


def flicker(item: VideoItem, frames: np.ndarray) -> float:
    """Mean absolute difference of neighbouring frames where nobody ever is."""
    away = ~person_region(torch.from_numpy(item.mask), None).numpy().any(axis=0)
    return float(np.abs(np.diff(frames.astype(np.float32), axis=0))[:, away].mean())


def interval(values: list[float]) -> list[float]:
    """Mean and its 95 % bootstrap interval."""
    return [round(float(value), 4) for value in (np.mean(values), *bootstrap_interval(np.array(values), draws=10_000))]


def main() -> None:
    """All clips, one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=shipped_model())
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--frames", type=int, default=64)
    options = parser.parse_args()
    tokenizer, renderer = load_model(options.model, VQVAE), load_model(options.model, VideoDiffusion)
    reader = ShardReader(options.data)
    seams, against, still, made, true = [], [], 0, [], []
    for seed, key in enumerate(with_video(reader)[: options.clips]):
        item = render_clip(tokenizer, renderer, reader, key, frames=options.frames, seed=seed)
        ours, theirs, at = changes(item.generated), changes(item.true), borders(renderer.config, len(item.true), seed)
        print(f"clips {seed + 1}/{options.clips}", flush=True)
        if ours.mean() < theirs.mean() / 2:
            still += 1
            continue
        seams.append(float(ours[at].mean() - ours[~at].mean()))
        against.append(seams[-1] - float(theirs[at].mean() - theirs[~at].mean()))
        made.append(flicker(item, item.generated))
        true.append(flicker(item, item.true))
    row = {
        "what": "window borders", "border_minus_inside": interval(seams), "against_true": interval(against), "clips": len(seams),
        "still": still, "frames": options.frames, "background_flicker": round(float(np.mean(made)), 4),
        "background_flicker_true": round(float(np.mean(true)), 4),
    }  # fmt: skip
    print(json.dumps(row))


if __name__ == "__main__":
    main()
