"""How far a command is, on the terminal: a bar, or a line now and then where the output is a file."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_EVERY = 5.0
"""Seconds between two lines `what N/M` where there is no terminal."""


class Steps:
    """Call it with (what, done, total); each `what` has its own bar."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self.terminal = console.is_terminal
        self.bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(32),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self.terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self.spoken = time.monotonic()

    def __enter__(self) -> "Steps":
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.terminal:
            if what not in self.tasks:
                self.tasks[what] = self.bars.add_task(what, total=total)
            self.bars.update(self.tasks[what], completed=done, total=total)
        elif done >= total or time.monotonic() - self.spoken > LINE_EVERY:
            self.spoken = time.monotonic()
            print(f"{what} {done}/{total}", file=sys.stderr, flush=True)
