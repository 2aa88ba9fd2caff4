"""A whole video with fewer denoising steps, and how far the pictures are from each other.

    python benchmarks/fewer_steps.py [--model DIR] [--seconds 6] [--steps 1] [--exact 2] [--runs 3]

Keeping a prediction over several DDIM steps is the same as taking fewer of them (between two steps that share x̂ the update is one straight
line), so `xdancer generate --steps` is the approximation; what it costs depends on the model and is measured here. Portrait: the package's;
song: one of the embedded data set's styles. `ratio` is of pictures and file of a dance that is known, `with_dance` counts stage 2 and the
music features too; `psnr` is over the whole video, `least` of its worst frame; wanted 1.8 at 35 dB. One JSON line.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import interleaved, print_row

from xdancer.embedded.grid import BeatGrid
from xdancer.embedded.song import make_song
from xdancer.media import read_image, write_video
from xdancer.metrics.reconstruction import psnr, unit_pictures
from xdancer.pipelines.dance import DancePipeline
from xdancer.pipelines.motion import Wishes
from xdancer.pipelines.portrait import first_pose
from xdancer.types import FPS
from xdancer.weights import shipped_model, shipped_portrait


def likeness(pictures: Any, exact: Any) -> tuple[float, float]:
    """PSNR in dB over all frames, and of the worst one."""
    ours, theirs = unit_pictures(np.stack(pictures)), unit_pictures(np.stack(exact))
    return psnr(ours, theirs), min(psnr(*pair) for pair in zip(ours.split(1), theirs.split(1), strict=True))


def main() -> None:
    """Both sides take turns, one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=shipped_model())
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--exact", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pipeline = DancePipeline.from_pretrained(options.model)
    portrait, pose = read_image(shipped_portrait()[0]), first_pose(shipped_portrait()[1])
    song = make_song("disco", "benchmark", BeatGrid(120.0, 0.0), seconds=options.seconds, energy=1.0)
    start, frames = pipeline.start(portrait, pose), round(options.seconds * FPS)
    made: dict[str, Any] = {}

    def dance() -> Any:
        music = pipeline.motion.encode(song.waveform, sample_rate=song.sample_rate, frames=frames)
        return pipeline.motion.dance(music, start, frames=frames, seed=0, wishes=Wishes())

    def video(name: str, steps: int) -> None:
        made[name] = list(pipeline.show(portrait, start, motion, steps=steps, seed=0).frames)
        with tempfile.TemporaryDirectory() as folder:
            write_video(Path(folder) / "dance.mp4", made[name], fps=float(FPS), audio=song.waveform, sample_rate=song.sample_rate)

    motion = dance()
    sides = {"exact": lambda: video("exact", options.exact), "fewer": lambda: video("fewer", options.steps), "dance": dance}
    seconds = interleaved(sides, runs=options.runs, clock=options.clock)
    mean, least = likeness(made["fewer"], made["exact"])
    print_row(
        f"whole video of {options.seconds:g} s, {options.steps} step(s)", ours=seconds["fewer"], reference=seconds["exact"],
        ratio=seconds["exact"] / seconds["fewer"], target=1.8, psnr=mean, least=least, exact_steps=options.exact,
        with_dance=(seconds["exact"] + seconds["dance"]) / (seconds["fewer"] + seconds["dance"]), seed=0, runs=options.runs,
    )  # fmt: skip


if __name__ == "__main__":
    main()
