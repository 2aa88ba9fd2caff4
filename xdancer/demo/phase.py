"""One phase of the demo: a child process with its log, its needs and a way to tell how far it is."""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRESS = re.compile(rb"(?<![\d./])(\d+)/(\d+)(?![\d./])")
STEP = re.compile(rb"step (\d+)/\d+")


@dataclass(frozen=True)
class Phase:
    """A child process `python ARGUMENTS` that can run once the phases in `needs` are finished."""

    name: str
    title: str
    arguments: tuple[str, ...]
    """What follows the interpreter."""
    needs: tuple[str, ...] = ()
    threads: int = 1
    """Compute threads it is given, and cores it occupies in the schedule; fixed, since sums differ in the last bits with it."""
    steps: int | None = None
    """Optimiser steps of a training phase."""
    run_dir: Path | None = None
    """Run folder of a training phase; an interrupted one continues from its `last.ckpt`."""
    weight: float = 10.0
    """Seconds it takes on the machine the budget was measured on, for the estimate of the time left."""

    @property
    def checkpoint(self) -> Path | None:
        """Where an interrupted training phase continues from, if it got that far."""
        last = None if self.run_dir is None else self.run_dir / "last.ckpt"
        return last if last is not None and last.is_file() else None

    def command(self) -> list[str]:
        """The command line to run now."""
        resume = ("--ckpt_path", "last") if self.checkpoint is not None else ()
        return [sys.executable, *self.arguments, *resume]

    def shown(self, root: Path) -> str:
        """The command line as a person would type it in the checkout."""
        return shlex.join(["python", *(argument.replace(f"{root}/", "") for argument in self.arguments)])

    def progress(self, log: Path) -> tuple[int, int] | None:
        """(done, total) of the running child, from its run's metrics or the last `N/M` of its log."""
        if self.steps is not None and self.run_dir is not None:
            logged, spoken = last_step(self.run_dir / "metrics.csv"), STEP.findall(tail(log, 2000))
            done = max(0 if logged is None else logged + 1, int(spoken[-1]) if spoken else 0)
            return min(done, self.steps), self.steps
        found = PROGRESS.findall(tail(log, 2000))
        return (int(found[-1][0]), int(found[-1][1])) if found else None


def tail(path: Path, count: int) -> bytes:
    """The last bytes of a file; nothing if it is not there."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - count))
            return stream.read()
    except OSError:
        return b""


def last_step(metrics: Path) -> int | None:
    """The `step` of the last complete row of a run's metrics.csv."""
    if not metrics.is_file():
        return None
    with metrics.open("rb") as stream:
        header = stream.readline().decode("utf-8", "replace").strip().split(",")
    if "step" not in header:
        return None
    rows = tail(metrics, 8000).decode("utf-8", "replace").split("\n")[1:-1]
    column = header.index("step")
    for row in reversed(rows):
        cells = row.strip().split(",")
        if len(cells) == len(header) and cells[column].isdigit():
            return int(cells[column])
    return None
