"""Runs phases as child processes on a fixed number of cores, in the order of their needs, and records what is finished."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import xdancer
from xdancer.demo.memory import resident_bytes
from xdancer.demo.phase import Phase, tail
from xdancer.demo.state import State
from xdancer.errors import XDancerError

CORES = 2
POLL = 0.25
Watch = Callable[[dict[str, "Child"]], None]
"""Called at every poll with the running children by phase name."""


@dataclass
class Child:
    """A running phase."""

    phase: Phase
    process: "subprocess.Popen[bytes]"
    log: Path
    started: float

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def run_phases(
    phases: Sequence[Phase], state: State, logs: Path, *, cores: int = CORES, watch: Watch | None = None, keep_open: Sequence[int] = ()
) -> None:
    """Run all phases that `state` does not name as finished; a phase with more threads than `cores` runs alone.

    Args:
        phases: earlier ones are preferred when several are ready.
        state: updated and saved as phases finish or are interrupted.
        logs: folder for one log per phase.
        cores: sum of `threads` that may run at a time.
        watch: for progress displays.
        keep_open: file descriptors the children inherit (a lock stays held until the last child has gone).

    Raises:
        XDancerError: a child failed; the others are stopped first.
    """
    logs.mkdir(parents=True, exist_ok=True)
    running: dict[str, Child] = {}
    begin = time.monotonic()
    try:
        while True:
            for phase in ready(phases, state, running, cores):
                running[phase.name] = start(phase, logs / f"{phase.name}.log", keep_open)
                state.commands[phase.name] = " ".join(phase.command())
            if not running:
                break
            time.sleep(POLL)
            state.peak_memory = max(state.peak_memory, resident_bytes([os.getpid()]))
            if watch is not None:
                watch(running)
            for name, child in list(running.items()):
                code = child.process.poll()
                if code == 0:
                    state.finish(name, child.seconds)
                    del running[name]
                elif code is not None:
                    raise XDancerError(failure(child, code))
    finally:
        for child in running.values():
            stop(child)
            state.stop(child.phase.name, child.seconds)
        state.wall = round(state.wall + time.monotonic() - begin, 1)
        state.save()


def ready(phases: Sequence[Phase], state: State, running: dict[str, Child], cores: int) -> list[Phase]:
    """The phases to start now: needs finished, enough cores free, earlier ones first."""
    free = cores - sum(child.phase.threads for child in running.values())
    chosen: list[Phase] = []
    for phase in phases:
        if phase.name in state.finished or phase.name in running or not set(phase.needs) <= set(state.finished):
            continue
        alone = not running and not chosen
        if phase.threads <= free or alone:
            chosen.append(phase)
            free -= phase.threads
    return chosen


def start(phase: Phase, log: Path, keep_open: Sequence[int] = ()) -> Child:
    """Start a phase's child; its output is appended to the log."""
    threads = str(phase.threads)
    library = str(Path(xdancer.__file__).resolve().parents[1])
    environment = {
        **os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads,
        "PYTHONUNBUFFERED": "1", "COLUMNS": "160", "PYTHONPATH": os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")])),
    }  # fmt: skip
    command = phase.command()
    with log.open("ab") as stream:
        stream.write(f"$ {' '.join(command)}\n".encode())
        stream.flush()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, env=environment, pass_fds=tuple(keep_open)
        )
    return Child(phase, process, log, time.monotonic())


def stop(child: Child, patience: float = 20.0) -> None:
    """End a child: asked first, so that it can write its checkpoint, then made to."""
    if child.process.poll() is None:
        child.process.terminate()
        try:
            child.process.wait(patience)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()


def failure(child: Child, code: int, lines: int = 3) -> str:
    """One line about a child that failed, with the end of its log."""
    text = tail(child.log, 6000).decode("utf-8", "replace").replace("\r", "\n")
    ends = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("$ ")][-lines:]
    how = f"failed with exit code {code}"
    if code < 0:
        how = f"was ended by signal {-code}" + (" (out of memory?)" if code == -9 else "")
    return f"phase {child.phase.name!r} {how}: {' | '.join(ends)} (log: {child.log}). Finished phases are kept: repeat the command to continue."
