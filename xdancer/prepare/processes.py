"""Workers on this machine: one process each, with one thread each."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from xdancer.prepare.tasks import Task, WorkerDiedError
from xdancer.workers import one_thread_each, start_worker

OUT_OF_MEMORY = 12
"""Exit code of a worker whose memory did not suffice; whatever it still holds is not to be trusted."""


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine has inside a SLURM job or a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalCrew:
    """`size` processes of this machine."""

    def __init__(self, size: int) -> None:
        self.size = size

    def hire(self) -> "LocalWorker":
        return LocalWorker()

    def wait(self, workers: "Sequence[LocalWorker]", seconds: float) -> "list[LocalWorker]":
        heard = wait([worker.pipe for worker in workers], seconds)
        return [worker for worker in workers if worker.pipe in heard]


class LocalWorker:
    """A process and the pipe to it; dead, its end of the pipe is closed."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # forking a process in which torch runs threads can hang
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,))
        with one_thread_each():
            self.process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        with suppress(OSError):  # dead: `answer` says so
            self.pipe.send((task.function, task.arguments))

    def answer(self) -> Any:
        try:
            fine, result = self.pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise WorkerDiedError(_death(self.process.exitcode or 0)) from error
        if not fine:
            raise result
        return result

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _death(code: int) -> str:
    if code >= 0:
        return "ran out of memory" if code == OUT_OF_MEMORY else f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}{' (out of memory?)' if -code == signal.SIGKILL else ''}"


def _serve(pipe: Connection) -> None:
    start_worker()
    if not _said(pipe, (True, None)):
        return
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            result = (True, function(*arguments))
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except Exception as error:
            result = (False, error)
        if not _said(pipe, result):
            return


def _said(pipe: Connection, answer: tuple[bool, Any]) -> bool:
    """Whether there is still somebody to say it to."""
    try:
        pipe.send(answer)
    except OSError:
        return False
    return True
