"""A dance of ten minutes at the demo's sizes: growth of the process and time per frame, minute by minute.

    python benchmarks/rollout_memory.py [--minutes 10] [--plot docs/images/rollout_memory.png]

Random weights and random music features (librosa and musicnn, 788 numbers a frame) in memory-mapped files: memory and time do not depend on the
values. `MotionPipeline.stream` gives poses; they are dropped. Memory is the whole resident set, mapped files included, after every second of
the dance; its growth is the slope of a straight line from the end of the first minute on. Time is the process's own on the CPU; the
reference is a second dance, begun anew every minute, that takes turns with the long one second by second, so that a machine that other work
slows down slows both. One JSON line per row.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from _measure import print_row
from numpy.typing import NDArray

from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.pipelines.motion import MotionPipeline, Wishes
from xdancer.pipelines.standing import standing_pose
from xdancer.types import FPS, PoseBatch
from xdancer.vqvae.model import VQVAE, VQVAEConfig

GPT = MotionGPTConfig(
    layers=4, heads=4, width=128, frames=32, context_frames=4, overlap_frames=8, slots=2, music_features={"librosa": 35, "musicnn": 753},
    music_lookahead_frames=8, previous_frames=2,
)  # fmt: skip
TOKENIZER = VQVAEConfig(slots=2, encoder_width=32, encoder_depth=1, decoder_width=384, decoder_depth=2)
MEBIBYTE = 2**20


def resident() -> float:
    """Resident set of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MEBIBYTE


def features(frames: int, folder: Path) -> dict[str, NDArray[np.float32]]:
    """Random music features of so many frames in memory-mapped files."""
    music = {}
    for name, width in GPT.music_features.items():
        values = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=(frames, width))
        for begin in range(0, frames, 1800):
            piece = values[begin : begin + 1800]
            piece[:] = np.random.default_rng(begin).normal(size=piece.shape)
        values.flush()
        del values, piece
        music[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return music


def one_second(poses: Iterator[object]) -> float:
    """CPU milliseconds a frame of a dance's next second."""
    begin = time.process_time()
    for _ in range(FPS):
        next(poses)
    return 1e3 * (time.process_time() - begin) / FPS


def dance(minutes: int, folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """After every second of a long dance: resident MiB, milliseconds of its frames, and of those of a dance that begins every minute."""
    frames = minutes * 60 * FPS
    music, pipeline = features(frames + GPT.music_lookahead_frames, folder), MotionPipeline(VQVAE(TOKENIZER), MotionGPT(GPT))
    start, wishes = PoseBatch.from_array(standing_pose()[None]), Wishes(SamplingConfig(top_p=0.985, smoothing=1.0))

    def begun() -> Iterator[object]:
        return iter(pipeline.stream(music, start, frames=frames, wishes=wishes))

    long, fresh, rows = begun(), begun(), []
    for second in range(minutes * 60 - 1):  # smoothing holds the last frames back
        fresh = begun() if second % 60 == 0 else fresh
        own, reference = one_second(long), one_second(fresh)
        rows.append((resident(), own, reference))
    memory, own, reference = np.array(rows).T
    return memory, own, reference


def draw(path: Path, memory: NDArray[np.float64], share: NDArray[np.float64]) -> None:
    """Both curves over the minutes of the dance."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (upper, lower) = pyplot.subplots(2, 1, sharex=True, figsize=(6, 3.6), layout="constrained")
    minutes = np.arange(1, len(memory) + 1) / 60
    upper.plot(minutes, memory)
    upper.set(ylabel="resident MiB", ylim=(0, 1.2 * memory.max()), title="One dance: memory and time per frame stay")
    lower.plot(minutes, share, linewidth=0.6)
    lower.set(xlabel="minutes of the dance", ylabel="time by a new dance's", ylim=(0, 2))
    figure.savefig(path, dpi=80)


def main() -> None:
    """Dance, print the rows, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--plot", type=Path, default=Path("docs/images/rollout_memory.png"))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        memory, own, reference = dance(arguments.minutes, Path(folder))
    growth = float(np.polyfit(np.arange(60, len(memory) + 1) / 60, memory[59:], 1)[0])
    last, new = (float(np.median(values[-60:])) for values in (own, reference))
    settings = {"minutes": arguments.minutes, "threads": 1, "resident_mib": float(memory[-1])}
    print_row("growth of the process, MiB a minute of dance", ours=growth, reference=1.0, ratio=1.0 / max(growth, 1e-3), target=1.0, **settings)
    print_row(
        "a frame of the last minute, of a new dance's minute", ours=last, reference=new, ratio=new / last, target=0.9, unit="CPU ms", **settings
    )
    draw(arguments.plot, memory, own / reference)


if __name__ == "__main__":
    main()
