"""How the work is done; nothing here changes a clip."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from xdancer.errors import XDancerError
from xdancer.prepare.processes import LocalCrew, usable_cores
from xdancer.prepare.tasks import Crew, Shift, Task

EngineName = Literal["local", "ray"]
Progress = Callable[[str, int, int, str], None]
"""What is done, how many are, of how many, and a remark."""
Run = Callable[[Iterable[Task]], Iterator[tuple[Task, Any]]]
"""Tasks → each with its result or `Casualty`, in the order in which they end."""


@dataclass(frozen=True)
class Execution:
    """Where clips are made."""

    workers: int | None = None
    """At the same time; None = one per usable core (on a Ray cluster: per core of the cluster), 0 = in this process."""
    engine: EngineName = "local"
    ray_address: str | None = None
    """Of a running Ray cluster; None starts one on this machine."""
    clip_timeout: float = 1800.0
    """Seconds after which a worker counts as hanging."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise XDancerError(f"--workers {self.workers}: at least 1, or 0 to work in this process.")
        if not self.clip_timeout > 0:
            raise XDancerError(f"--clip-timeout {self.clip_timeout:g}: seconds, more than 0.")
        if self.engine == "local" and self.ray_address is not None:
            raise XDancerError(f"--ray-address {self.ray_address}: belongs to --engine ray.")
        if self.engine == "ray" and self.workers == 0:
            raise XDancerError("--workers 0 --engine ray: Ray works in processes of its own. Ask for at least 1 worker, or leave --engine out.")

    @contextmanager
    def open(self, *, gpu: bool = False) -> Iterator[Run]:
        """Gives the function that runs tasks; its workers live until the block ends. `gpu`: they compute on one.

        In this process (0 workers) there are no casualties: a crash is the end.
        """
        if self.workers == 0:
            yield lambda tasks: ((task, task.function(*task.arguments)) for task in tasks)
            return
        with self._crew(gpu) as crew:
            shift = Shift(crew, self.clip_timeout)
            try:
                yield shift.run
            finally:
                shift.end()

    def _crew(self, gpu: bool) -> AbstractContextManager[Crew]:
        if self.engine == "ray":
            from xdancer.prepare.ray_crew import ray_crew

            return ray_crew(self.workers, self.ray_address, gpu=gpu)
        return nullcontext(LocalCrew(self.workers or (1 if gpu else usable_cores())))
