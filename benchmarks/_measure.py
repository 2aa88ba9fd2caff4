"""What the benchmarks share: interleaved runs and one JSON line per row."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""`cpu` is what a single thread would take if it had a core for itself: for machines that are busy with other work."""


def interleaved(sides: Mapping[str, Callable[[], object]], *, runs: int, clock: str = "wall") -> dict[str, float]:
    """Median seconds of every side; the sides take turns, after one turn that does not count."""
    now = CLOCKS[clock]
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for run in range(runs + 1):
        for name, work in sides.items():
            begin = now()
            work()
            if run:
                seconds[name].append(now() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def own_process(script: str, options: Mapping[str, object]) -> dict[str, Any]:
    """The last line, JSON, that a benchmark prints when it is called with these options: a side whose peak memory is to be its own."""
    command = [sys.executable, script, *(f"--{name}={value}" for name, value in options.items())]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def peak_megabytes(device: str) -> float:
    """The most memory that this process has held so far; on a GPU, of the GPU."""
    return torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def print_row(what: str, *, ours: float, reference: float, ratio: float, target: float, **more: object) -> None:
    """One result; `ratio` above 1 is better than the reference. The machine's load stands beside it."""
    row = {"what": what, "ours": ours, "reference": reference, "ratio": ratio, "target": target, **more, "load": os.getloadavg()[0]}
    print(json.dumps({name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}), flush=True)
