"""Workers on a Ray cluster: one actor each, with one core. Needs the extra `ray`, and xdancer on every machine of the cluster."""

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lightning_utilities.core.imports import RequirementCache

from xdancer.errors import MissingPackageError, XDancerError
from xdancer.prepare.processes import usable_cores
from xdancer.prepare.tasks import Task, WorkerDiedError

RAY = RequirementCache("ray>=2.60,<3")
PATIENCE = 10.0
"""Seconds in which the machine of an address must answer."""


@contextmanager
def ray_crew(workers: int | None, address: str | None, *, gpu: bool = False) -> Iterator["RayCrew"]:
    """Workers of the cluster at `address`, or of one that lives on this machine until the block ends.

    Raises:
        MissingPackageError: Ray is not installed.
        XDancerError: no cluster answers there.
    """
    if not RAY:
        raise MissingPackageError("--engine ray needs Ray: pip install 'xdancer[ray]'.")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is not None:
        _require_answer(address)
    import ray

    cores = workers or (1 if gpu else usable_cores())
    try:
        if address is None:
            ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        place = "on this machine" if address is None else f"at --ray-address {address}"
        raise XDancerError(f"Ray does not start {place} ({_first_line(error)}). Check the address, or leave it out.") from error
    try:
        cluster = ray.cluster_resources()
        yield RayCrew(workers or max(1, int(cluster.get("GPU" if gpu else "CPU", 1))), gpu=gpu)
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Refuse a HOST:PORT where nobody listens: Ray itself tries for more than ten minutes.

    Raises:
        XDancerError: nobody does.
    """
    place = re.fullmatch(r"(?:ray://)?\[?([^/\[\]]+?)\]?:(\d+)", address)
    if place is None:  # such as auto, which Ray looks up
        return
    try:
        socket.create_connection((place[1], int(place[2])), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise XDancerError(f"--ray-address {address}: nobody answers there ({error}). Check the address, or leave it out.") from error


class RayCrew:
    """`size` actors; those for which the cluster has no room wait until it has."""

    def __init__(self, size: int, *, gpu: bool = False) -> None:
        import ray

        self.size = size
        self.actor = ray.remote(num_cpus=1, num_gpus=int(gpu), max_restarts=0)(_Server)

    def hire(self) -> "RayWorker":
        return RayWorker(self.actor.remote())

    def wait(self, workers: "Sequence[RayWorker]", seconds: float) -> "list[RayWorker]":
        import ray

        heard, _ = ray.wait([worker.result for worker in workers], num_returns=1, timeout=seconds)
        return [worker for worker in workers if worker.result in heard]


class RayWorker:
    """One actor and the result that is awaited from it."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.result = actor.ready.remote()

    def give(self, task: Task) -> None:
        self.result = self.actor.run.remote(task.function, task.arguments)

    def answer(self) -> Any:
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return ray.get(self.result)
        except RayTaskError as error:
            if isinstance(error.cause, MemoryError):
                raise WorkerDiedError("ran out of memory") from error
            raise error.as_instanceof_cause() from error
        except RayError as error:
            raise WorkerDiedError(f"died: {_first_line(error)}") from error

    def kill(self) -> None:
        import ray

        ray.kill(self.actor)


class _Server:
    """What an actor does."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)  # numpy's threads follow OMP_NUM_THREADS, which Ray sets to the actor's cores

    def ready(self) -> None:
        """Answers when the process runs."""

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return function(*arguments)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
