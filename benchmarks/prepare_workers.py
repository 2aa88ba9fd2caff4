"""`xdancer prepare` with several workers against one: wall time of the whole command, starting included.

    python benchmarks/prepare_workers.py VIDEO… [--workers 2] [--copies 8] [--runs 1] [--all-cores] [-W 256 -H 448]

Every video is given `copies` times, each copy (mp4) with a few bytes of its own behind, which make it another file to `prepare`. The sides take
turns, each into a new folder; `ratio` is the seconds with one worker / with several (`workers` would be perfect). A command may use as many
cores as it has workers: MediaPipe's own threads let one worker use a second core. `--all-cores` leaves it all of them. Wants a
machine without other work.
"""

import argparse
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _measure import print_row


def seconds(videos: Path, workers: int, cores: set[int], size: tuple[int, int]) -> float:
    """Of one command on these cores."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "xdancer", "prepare", str(videos), "--out", f"{out}/data", "--workers", str(workers)]
        begin = time.perf_counter()
        subprocess.run(
            [*command, "-W", str(size[0]), "-H", str(size[1])],
            check=True,
            capture_output=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        return time.perf_counter() - begin


def main() -> None:
    """One row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--all-cores", action="store_true")
    parser.add_argument("-W", "--width", type=int, default=256)
    parser.add_argument("-H", "--height", type=int, default=448)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        for video in arguments.videos:
            for number in range(arguments.copies):
                unlike = struct.pack(">I4sI", 12, b"free", number)  # an empty place, as mp4 allows it
                Path(folder, f"{video.stem}_{number}{video.suffix}").write_bytes(video.read_bytes() + unlike)
        taken: dict[int, list[float]] = {1: [], arguments.workers: []}
        for _ in range(arguments.runs):
            for workers, times in taken.items():
                own = set(cores if arguments.all_cores else cores[:workers])
                times.append(seconds(Path(folder), workers, own, (arguments.width, arguments.height)))
    one, several = (statistics.median(times) for times in taken.values())
    what = f"prepare {len(arguments.videos) * arguments.copies} videos, {arguments.workers} workers against 1: seconds"
    print_row(
        what, ours=several, reference=one, ratio=one / several, target=0.9 * arguments.workers, runs=arguments.runs,
        all_cores=arguments.all_cores,
    )  # fmt: skip


if __name__ == "__main__":
    main()
