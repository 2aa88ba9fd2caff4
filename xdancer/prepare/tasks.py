"""Tasks for workers that may die or hang: each worker has one at a time, so it is known which task cost it."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from xdancer.errors import XDancerError

START_LIMIT = 600.0
"""Seconds in which the first worker must be ready: it imports torch, and a busy cluster lets it wait."""
STILLBORN = 3
"""So many workers in a row that die before they are ready end the run: something else than a video is wrong."""


@dataclass(frozen=True)
class Task:
    """A call to make elsewhere; all of it can be pickled."""

    key: str
    group: str
    """Tasks of one group like to meet the same worker, which remembers what they share; if one proves deadly, the others are not tried."""
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Casualty:
    """Instead of a result: the task, or one of its group, cost two workers."""

    reason: str


class WorkerDiedError(Exception):
    """The process is gone; the message says how."""


@runtime_checkable
class Worker(Protocol):
    """One process. It first answers, unasked, that it is ready."""

    def give(self, task: Task) -> None:
        """Start a task; `answer` has its result later."""

    def answer(self) -> Any:
        """What it has to say.

        Raises:
            WorkerDiedError: nothing any more.
            Exception: what the task raised.
        """

    def kill(self) -> None:
        """End it at once."""


@runtime_checkable
class Crew(Protocol):
    """Where workers come from."""

    size: int

    def hire(self) -> Worker:
        """One more process; it may take long to be ready."""
        ...

    def wait(self, workers: Sequence[Any], seconds: float) -> list[Any]:
        """Those of the workers that have an answer, or died, within the time."""
        ...


class _Queue:
    """Tasks by group, in their order."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.groups: dict[str, deque[Task]] = {}
        for task in tasks:
            self.groups.setdefault(task.group, deque()).append(task)

    def __bool__(self) -> bool:
        return bool(self.groups)

    def take(self, last: str | None, busy: set[str]) -> Task:
        """The next task of the worker's last group, else of one that nobody works on, else of the longest."""
        if last in self.groups:
            group = last
        else:
            group = next((name for name in self.groups if name not in busy), None) or max(self.groups, key=lambda name: len(self.groups[name]))
        task = self.groups[group].popleft()
        if not self.groups[group]:
            del self.groups[group]
        return task

    def withdraw(self, group: str) -> list[Task]:
        """What waits of a group; it is no longer in the queue."""
        return list(self.groups.pop(group, ()))


@dataclass
class _Place:
    """A worker and what it is at."""

    worker: Worker
    task: Task | None = None
    begun: float = 0.0
    ready: bool = False
    group: str | None = None
    """Of its last task."""


class Shift:
    """The workers that live, and what they do."""

    def __init__(self, crew: Crew, limit: float) -> None:
        self.crew, self.limit = crew, limit
        self.places: list[_Place] = []
        self.stillborn = 0
        """Workers in a row that died before they were ready."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]:
        """Every task with its result, or with the `Casualty`, in the order in which they end.

        A task that costs its worker (crash, or more than `limit` seconds) is tried once more when the others are through, with all other
        workers idle; until that is decided, no more of its group are begun.
        """
        waiting = list(tasks)
        while waiting:
            queue, suspects, waiting = _Queue(waiting), list[Task](), list[Task]()
            for task, result in self._work(queue, self.crew.size):
                if isinstance(result, Casualty):
                    suspects.append(task)
                    waiting += queue.withdraw(task.group)
                else:
                    yield task, result
            condemned: dict[str, Casualty] = {}
            for suspect in suspects:
                result = condemned.get(suspect.group)
                if result is None:
                    ((_, result),) = self._work(_Queue([suspect]), 1)
                    if isinstance(result, Casualty):
                        condemned[suspect.group] = result
                yield suspect, result
            for task in waiting:
                if task.group in condemned:
                    yield task, condemned[task.group]
            waiting = [task for task in waiting if task.group not in condemned]

    def end(self) -> None:
        """All workers go."""
        for place in self.places:
            place.worker.kill()
        self.places = []

    def _work(self, queue: _Queue, size: int) -> Iterator[tuple[Task, Any]]:
        """Every task of the queue (which may shrink meanwhile) on at most `size` workers at a time."""
        started, served = time.monotonic(), any(place.ready for place in self.places)
        while queue or any(place.task for place in self.places):
            self._hand_out(queue, size)
            asked = [place for place in self.places if place.task is not None or not place.ready]
            heard = self.crew.wait([place.worker for place in asked], self._patience())
            for place in asked:
                if place.worker in heard:
                    yield from self._hear(place)
                elif place.task is not None and time.monotonic() > place.begun + self.limit:
                    self._dismiss(place)
                    yield place.task, Casualty(f"took longer than --clip-timeout {self.limit:g} s")
            served = served or any(place.ready for place in self.places)
            if not served and time.monotonic() - started > START_LIMIT:
                raise XDancerError(f"No worker was ready within {START_LIMIT:g} s. Is the cluster full? Ask for fewer --workers.")

    def _hand_out(self, queue: _Queue, size: int) -> None:
        for place in self.places:
            if queue and place.ready and place.task is None and sum(other.task is not None for other in self.places) < size:
                busy = {other.task.group for other in self.places if other.task is not None}
                place.task = queue.take(place.group, busy)
                place.begun, place.group = time.monotonic(), place.task.group
                place.worker.give(place.task)
        waiting = sum(len(tasks) for tasks in queue.groups.values())
        unused = sum(place.task is None for place in self.places)
        for _ in range(min(size - len(self.places), waiting - unused)):
            self.places.append(_Place(self.crew.hire()))

    def _patience(self) -> float:
        ends = [place.begun + self.limit for place in self.places if place.task is not None]
        return max(0.0, min([*ends, time.monotonic() + 5.0]) - time.monotonic()) + 0.01

    def _hear(self, place: _Place) -> Iterator[tuple[Task, Any]]:
        try:
            answer = place.worker.answer()
        except WorkerDiedError as death:
            self.stillborn += not place.ready
            if self.stillborn == STILLBORN:
                raise XDancerError(f"Worker processes end before they begin (the last {death}). Try fewer --workers.") from death
            self._dismiss(place)
            if place.task is not None:
                yield place.task, Casualty(f"the worker process {death}")
            return
        task, place.task, place.ready, self.stillborn = place.task, None, True, 0
        if task is not None:
            yield task, answer

    def _dismiss(self, place: _Place) -> None:
        place.worker.kill()
        self.places.remove(place)
