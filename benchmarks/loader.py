"""128-frame windows of dance with librosa and musicnn: shards against single .npy files in random order, the page cache warm.

    python benchmarks/loader.py [--workers 0 2] [--runs 5] [--clips 320] [--clock cpu]

Ours is stage 2's training loader (64 frames with 64 of history, context, beats), whose workers are threads. The reference is a torch DataLoader
with its default collate over the same arrays as files, one per clip and kind as the peers keep them, with as many worker processes and the same
batches of 24: read whole and cut (`np.load`); mapped into memory and cut (`mmap_mode="r"`); or cut beforehand, one file per window. Both hand
out float32; the batches are dropped. One JSON line per row, windows per second. `--clock cpu` counts the CPU time of this process and its
workers and divides by as many cores as there are workers (at least one): what a machine without other work would do.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from _measure import print_row
from torch.utils.data import DataLoader, Dataset

from xdancer.data.dances import DanceShape, DanceWindows
from xdancer.data.loader import Position, Share, TrainLoader
from xdancer.data.order import BlockOrder
from xdancer.data.shards import ShardReader, ShardWriter
from xdancer.data.windows import DamageLog
from xdancer.types import ClipSample

FRAMES, CLIP, BATCH = 128, 240, 24
"""Frames of a window and of a clip, windows of a batch (the paper's)."""
FEATURES = {"librosa": {"width": 35, "version": "random"}, "musicnn": {"width": 753, "version": "random"}}
REFERENCES = {"files per clip": ("clips", False), "mapped files per clip": ("clips", True), "files per window": ("windows", False)}
"""Folder of the files, and whether they are mapped into memory."""
SHAPE = DanceShape(segment_frames=64, history_frames=64, context_frames=8, lookahead_frames=0, features=("librosa", "musicnn"))


def write(root: Path, clips: int) -> None:
    """The same random clips as shards, as a file per clip, and as a file per window."""
    random = np.random.default_rng(0)
    for name in ("clips", "windows"):
        (root / name).mkdir()
    with ShardWriter(root / "train", split="train", features=FEATURES, licence="none") as writer:
        for number in range(clips):
            pose = random.uniform(0, 1, (CLIP, 60, 3)).astype(np.float32)
            music = {name: random.normal(size=(CLIP, int(info["width"]))).astype(np.float32) for name, info in FEATURES.items()}
            beats = np.arange(0.2, CLIP / 30, 0.5).tolist()
            meta = {"source": "random", "song": f"{number}", "width": 512, "height": 896, "beats": beats, "tempo": 120.0}
            writer.write(ClipSample(f"clip-{number:06d}", pose, music, meta))
            for name, array in {"pose": pose, "librosa": music["librosa"], "musicnn": music["musicnn"].astype(np.float16)}.items():
                np.save(root / "clips" / f"{number}.{name}.npy", array)
                np.save(root / "windows" / f"{number}.{name}.npy", array[:FRAMES])


class Files(Dataset[dict[str, torch.Tensor]]):
    """A window of each clip from its single files, as float32."""

    def __init__(self, folder: Path, clips: int, *, mmap: bool) -> None:
        self.folder, self.clips = folder, clips
        self.mmap: Literal["r"] | None = "r" if mmap else None

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        arrays = {name: np.load(self.folder / f"{number}.{name}.npy", mmap_mode=self.mmap) for name in ("pose", *FEATURES)}
        start = int(torch.randint(len(arrays["pose"]) - FRAMES + 1, ()))
        return {name: torch.from_numpy(array[start : start + FRAMES]).float() for name, array in arrays.items()}


def endless(loader: Iterable[object]) -> Iterator[object]:
    while True:
        yield from loader


def ours(root: Path, workers: int) -> Iterator[object]:
    """Batches of the training loader."""
    reader = ShardReader(root / "train")
    windows = DanceWindows(reader, SHAPE, training=True)
    order, damage = BlockOrder(windows.shard_sizes, 0), DamageLog(reader)
    return endless(TrainLoader(windows, order, batch_size=BATCH, share=Share(), workers=workers, position=Position(), damage=damage))


def theirs(files: Files, workers: int) -> Iterator[object]:
    """Batches of a torch DataLoader over single files."""
    settings = {"persistent_workers": True, "prefetch_factor": 4, "worker_init_fn": _one_thread} if workers else {}
    return endless(DataLoader(files, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers, **settings))


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def cpu_seconds() -> float:
    """CPU time of this process and of its running workers."""
    seconds = time.process_time()
    for worker in multiprocessing.active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def windows_per_second(streams: Mapping[str, Iterator[object]], *, workers: int, batches: int, runs: int, clock: str) -> dict[str, float]:
    """Median over the runs, the streams in turn; the first run does not count."""
    now = cpu_seconds if clock == "cpu" else time.perf_counter
    cores = max(1, workers) if clock == "cpu" else 1
    rates: dict[str, list[float]] = {name: [] for name in streams}
    for run in range(runs + 1):
        for name, stream in streams.items():
            begin = now()
            for _ in range(batches):
                next(stream)
            if run:
                rates[name].append(batches * BATCH * cores / (now() - begin))
    return {name: statistics.median(values) for name, values in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40, help="in a run, of 24 windows each")
    parser.add_argument("--clips", type=int, default=320, help="of 8 s; 1 GB for 1000, three times")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # mapped files; they are only read
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, arguments.clips)
        for workers in arguments.workers:
            streams = {"ours": ours(root, workers)}
            for name, files in REFERENCES.items():
                streams[name] = theirs(Files(root / files[0], arguments.clips, mmap=files[1]), workers)
            rates = windows_per_second(
                streams, workers=workers, batches=arguments.batches, runs=arguments.runs, clock=arguments.clock
            )  # fmt: skip
            for name in REFERENCES:
                what = f"windows per second, {workers} workers, against {name}"
                print_row(what, ours=rates["ours"], reference=rates[name], ratio=rates["ours"] / rates[name], target=1.5, clock=arguments.clock)


if __name__ == "__main__":
    main()
