"""Worker processes that exit, crash, hang or raise."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from xdancer.prepare.processes import LocalCrew, LocalWorker, usable_cores
from xdancer.prepare.tasks import Casualty, Shift, Task, WorkerDiedError


@pytest.fixture
def worker() -> Iterator[LocalWorker]:
    worker = LocalWorker()
    assert worker.answer() is None
    yield worker
    worker.kill()


def test_a_process_that_exits_costs_its_task_only() -> None:
    shift = Shift(LocalCrew(1), 60.0)
    work = [Task("exit", "x", os._exit, (3,)), Task("fine", "y", len, ("four",))]
    results = {task.key: result for task, result in shift.run(work)}
    shift.end()
    assert results == {"exit": Casualty("the worker process ended with exit code 3"), "fine": 4}


@pytest.mark.parametrize(
    ("function", "arguments", "says"),
    [(os.abort, (), "was killed by SIGABRT"), (bytearray, (1 << 62,), "ran out of memory"), (os._exit, (5,), "ended with exit code 5")],
)
def test_how_a_process_died(worker: LocalWorker, function: Callable[..., Any], arguments: tuple[int, ...], says: str) -> None:
    worker.give(Task("x", "x", function, arguments))
    with pytest.raises(WorkerDiedError, match=says):
        worker.answer()


def test_errors_come_back_and_a_hanging_process_is_ended(worker: LocalWorker) -> None:
    worker.give(Task("x", "x", int, ("two",)))
    with pytest.raises(ValueError, match="invalid literal"):
        worker.answer()
    worker.give(Task("x", "x", time.sleep, (1000,)))
    assert LocalCrew(1).wait([worker], 0.05) == []
    worker.kill()
    assert worker.process.exitcode == -signal.SIGKILL


def test_cores() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
