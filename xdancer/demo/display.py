"""Tells the terminal what the demo is doing: phase, step of total, time left. Lines instead of bars where the output is not a terminal."""

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from xdancer.demo.estimate import time_left
from xdancer.demo.phase import Phase
from xdancer.demo.scheduler import CORES, Child
from xdancer.demo.state import State

LINE_EVERY = 30.0
"""Seconds between two lines about the running phases where there are no bars."""

MEASURABLE = 0.15
"""From this share on a phase's own speed tells how long the rest of it takes."""


class Display:
    """Shows running phases while `with` lasts; `watch` goes to the scheduler."""

    def __init__(self, phases: Sequence[Phase], state: State, console: Console | None = None) -> None:
        self.phases = phases
        self.state = state
        self.console = console or Console()
        self.rich = self.console.is_terminal
        self.tasks: dict[str, TaskID] = {}
        self.announced: set[str] = set(state.finished)
        self.done: dict[str, float] = {}
        self.last_line = time.monotonic()
        self.bars = Progress(
            SpinnerColumn(), TextColumn("{task.description:<34}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"), console=self.console, transient=False, disable=not self.rich,
        )  # fmt: skip

    def __enter__(self) -> "Display":
        self.bars.start()
        for name in self.state.finished:
            self.console.print(f"already done: {self._title(name)}")
        return self

    def __exit__(self, *_: Any) -> None:
        self.bars.stop()

    def watch(self, running: dict[str, Child]) -> None:
        """Update from the running children and the state."""
        left = f"about {clock(self.time_left(running))} left"
        for name, child in running.items():
            if name not in self.tasks:
                self.tasks[name] = self.bars.add_task(child.phase.title, total=child.phase.steps or None, left="")
                if not self.rich:
                    self.console.print(f"started: {child.phase.title} (log: {child.log})", soft_wrap=True)
            progress = child.phase.progress(child.log)
            if progress is not None:
                self.done[name] = progress[0] / max(progress[1], 1)
                self.bars.update(self.tasks[name], completed=progress[0], total=progress[1], left=left)
        for name, seconds in self.state.finished.items():
            if name not in self.announced:
                self._finish(name, seconds)
        if not self.rich and time.monotonic() - self.last_line > LINE_EVERY:
            self.last_line = time.monotonic()
            parts = [f"{name} {100 * self.done.get(name, 0.0):.0f} %" for name in running]
            self.console.print(f"  {', '.join(parts)}; {left}", soft_wrap=True)

    def time_left(self, running: dict[str, Child]) -> float:
        """Seconds until the end: the budget's figures, scaled by how long the finished phases took beside theirs."""
        expected = sum(phase.weight for phase in self.phases if phase.name in self.state.finished)
        slowness = sum(self.state.finished.values()) / expected if expected else 1.0
        seconds = {}
        for phase in self.phases:
            child, share = running.get(phase.name), self.done.get(phase.name, 0.0)
            seconds[phase.name] = phase.weight * slowness * (1 - share)
            if child is not None and share > MEASURABLE:
                seconds[phase.name] = child.seconds * (1 - share) / share
        return time_left(self.phases, finished=self.state.finished, running=running, seconds=seconds, cores=CORES)

    def _finish(self, name: str, seconds: float) -> None:
        self.announced.add(name)
        if not self.rich:
            self.console.print(f"finished: {self._title(name)} in {clock(seconds)}", soft_wrap=True)
        elif name in self.tasks:
            total = self.bars.tasks[self.tasks[name]].total or 1
            self.bars.update(self.tasks[name], completed=total, total=total, left="done")
            self.bars.stop_task(self.tasks[name])

    def _title(self, name: str) -> str:
        return next((phase.title for phase in self.phases if phase.name == name), name)


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
