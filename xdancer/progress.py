"""How far a command is, on the terminal: a bar, or a line now and then where the output is a file."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

LINE_EVERY = 5.0
"""Seconds between two lines `what N/M` where there is no terminal."""


class Steps:
    """Call it with (what, done, total) and a remark; each `what` has its own bar. What the first call finds done is not speed."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self.terminal = console.is_terminal
        self.bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(32),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[remark]}"),
            console=console,
            speed_estimate_period=600,  # a clip may take minutes
            disable=not self.terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self.begun: dict[str, tuple[float, int]] = {}
        self.spoken = time.monotonic()

    def __enter__(self) -> "Steps":
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bars.stop()

    def __call__(self, what: str, done: int, total: int, remark: str = "") -> None:
        if self.terminal:
            if what not in self.tasks:
                self.tasks[what] = self.bars.add_task(what, total=total, completed=done, remark=remark)
            self.bars.update(self.tasks[what], completed=done, total=total, remark=remark)
            return
        now = time.monotonic()
        since, before = self.begun.setdefault(what, (now, done))
        if done >= total or now - self.spoken > LINE_EVERY:
            self.spoken = now
            rate = (done - before) / (now - since) if now - since >= 1 else 0.0
            left = duration((total - done) / rate) + " left" if rate > 0 and done < total else ""
            parts = [f"{what} {done}/{total}", per_time(rate), left, remark]
            print(" · ".join(part for part in parts if part), file=sys.stderr, flush=True)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(per_time(task.speed or 0.0))


def per_time(rate: float) -> str:
    """A rate per second, as a number of a readable size; empty for none."""
    return "" if rate <= 0 else f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min" if rate >= 1 / 60 else f"{rate * 3600:.1f}/h"


def duration(seconds: float) -> str:
    """`3 h 05 min`, `4 min 10 s` or `12 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
