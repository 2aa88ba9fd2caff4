"""Who gets which task, and what becomes of tasks that cost their worker; with workers that live in this process."""

from collections.abc import Sequence
from typing import Any

import pytest

from xdancer.errors import XDancerError
from xdancer.prepare import tasks
from xdancer.prepare.tasks import Casualty, Shift, Task, WorkerDiedError


class Fake:
    """Answers at once; a task that raises SystemExit is its end, one that raises TimeoutError never answers."""

    def __init__(self, crew: "FakeCrew") -> None:
        self.crew, self.task, self.number = crew, None, len(crew.hired)

    def give(self, task: Task) -> None:
        self.task = task
        self.crew.log.append((self.number, task.key))

    def answer(self) -> Any:
        if self.task is None:
            if self.crew.stillborn:
                raise WorkerDiedError("ended with exit code 1")
            return None
        task, self.task = self.task, None
        try:
            return task.function(*task.arguments)
        except SystemExit as end:
            raise WorkerDiedError(f"ended with exit code {end.code}") from end

    def kill(self) -> None:
        self.crew.killed.append(self.number)


class FakeCrew:
    """Workers of this process; the one hired first answers first."""

    def __init__(self, size: int, *, stillborn: bool = False) -> None:
        self.size, self.stillborn = size, stillborn
        self.hired: list[Fake] = []
        self.killed: list[int] = []
        self.log: list[tuple[int, str]] = []
        self.at_work: list[int] = []

    def hire(self) -> Fake:
        self.hired.append(Fake(self))
        return self.hired[-1]

    def wait(self, workers: Sequence[Fake], seconds: float) -> list[Fake]:
        self.at_work.append(sum(worker.task is not None for worker in workers))
        return [worker for worker in workers if worker.task is None or worker.task.function is not hang]


def hang() -> None:
    """Never called: its worker does not answer."""


def done(value: int = 0) -> int:
    return value


def die(code: int = 7) -> None:
    raise SystemExit(code)


def test_every_result_once_and_a_group_stays_with_its_worker() -> None:
    crew = FakeCrew(2)
    work = [Task(f"{group}{number}", group, done, (number,)) for group in "ab" for number in range(3)]
    results = {task.key: result for task, result in Shift(crew, 10.0).run(work)}
    assert results == {f"{group}{number}": number for group in "ab" for number in range(3)}
    assert sorted(crew.log) == [(0, "a0"), (0, "a1"), (0, "a2"), (1, "b0"), (1, "b1"), (1, "b2")]
    assert len(crew.hired) == 2


def test_an_idle_worker_helps_with_the_longest_group() -> None:
    crew = FakeCrew(2)
    work = [Task("a0", "a", done), *(Task(f"b{number}", "b", done) for number in range(4))]
    list(Shift(crew, 10.0).run(work))
    assert {worker for worker, key in crew.log if key.startswith("b")} == {0, 1}


def test_no_more_workers_than_tasks() -> None:
    crew = FakeCrew(8)
    list(Shift(crew, 10.0).run([Task("a", "a", done), Task("b", "b", done)]))
    assert len(crew.hired) == 2


def test_a_deadly_task_is_tried_again_alone_and_then_left_out_with_its_group() -> None:
    crew = FakeCrew(2)
    work = [Task("bad0", "bad", die), Task("bad1", "bad", done), Task("bad2", "bad", done), *(Task(f"g{n}", f"g{n}", done) for n in range(4))]
    shift = Shift(crew, 10.0)
    results = {task.key: result for task, result in shift.run(work)}
    assert [key for _, key in crew.log].count("bad0") == 2
    assert crew.log[-1][1] == "bad0"
    assert crew.at_work[-1] == 1
    assert results["bad0"] == results["bad2"] == Casualty("the worker process ended with exit code 7")
    assert [results[f"g{number}"] for number in range(4)] == [0] * 4
    assert len(results) == len(work)
    shift.end()
    assert sorted(crew.killed) == list(range(len(crew.hired)))


def test_after_a_lucky_second_try_the_group_goes_on() -> None:
    lives = iter([SystemExit(9), None])

    def die_once() -> int:
        if (end := next(lives)) is not None:
            raise end
        return 1

    work = [Task("x0", "x", die_once), Task("x1", "x", done, (2,)), Task("x2", "x", done, (3,))]
    assert {task.key: result for task, result in Shift(FakeCrew(1), 10.0).run(work)} == {"x0": 1, "x1": 2, "x2": 3}


def test_a_hanging_task_is_ended() -> None:
    crew = FakeCrew(2)
    results = {task.key: result for task, result in Shift(crew, 0.01).run([Task("h", "h", hang), Task("g", "g", done, (5,))])}
    assert results == {"h": Casualty("took longer than --clip-timeout 0.01 s"), "g": 5}
    assert [key for _, key in crew.log].count("h") == 2
    assert len(crew.killed) == 2


def test_what_a_task_raises_reaches_the_caller() -> None:
    def fail() -> None:
        raise XDancerError("no such weights")

    with pytest.raises(XDancerError, match="no such weights"):
        list(Shift(FakeCrew(1), 10.0).run([Task("a", "a", fail)]))


def test_workers_that_never_begin_end_the_run() -> None:
    crew = FakeCrew(1, stillborn=True)
    with pytest.raises(XDancerError, match=r"Worker processes end before they begin \(the last ended with exit code 1\)"):
        list(Shift(crew, 10.0).run([Task("a", "a", done)]))
    assert len(crew.hired) == tasks.STILLBORN


def test_a_full_cluster_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = FakeCrew(1)
    monkeypatch.setattr(tasks, "START_LIMIT", 0.0)
    monkeypatch.setattr(crew, "wait", lambda workers, seconds: [])
    with pytest.raises(XDancerError, match="No worker was ready within 0 s"):
        list(Shift(crew, 10.0).run([Task("a", "a", done)]))
