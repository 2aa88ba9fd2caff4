"""slurm/train.sbatch on a real SLURM, with a program that counts in place of train.py: who is queued again, and who is not."""

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from xdancer.cluster.jobs import plan_jobs
from xdancer.cluster.script import render

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


two_nodes = _load("two_nodes")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(two_nodes.missing() is not None, reason=str(two_nodes.missing())), pytest.mark.timeout(300)
]  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """A running SLURM and the folder that jobs are submitted from."""

    environment: dict[str, str]
    folder: Path

    def submit(self, name: str, *flags: str, nodes: int = 2, seeds: int | None = None, options: tuple[str, ...] = ()) -> str:
        """A job whose ranks count; its number."""
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump({"run_dir": name}))
        config = self.folder / f"{name}.yaml"
        (job,) = plan_jobs(config, [], options, chain=False, runs=self.folder, seeds=seeds, ablations=[])
        resources = {
            "nodes": str(nodes), "ntasks-per-node": "1", "gpus-per-node": None, "cpus-per-task": "1", "time": "5",
            "output": f"{self.folder}/{name}-%a.log", "array": None if seeds is None else f"0-{seeds - 1}",
        }  # fmt: skip
        script = render(job, resources, [])
        (line,) = [line for line in script.splitlines() if line.startswith("train=/")]
        script = script.replace(line, f"train={SUPPORT / 'counts.py'}")
        for variant in job.variants:
            variant.run_dir.mkdir(parents=True)
        return two_nodes.run(self.environment, "sbatch", "--parsable", *flags, folder=self.folder, text=script)

    def command(self, *words: str) -> str:
        return two_nodes.run(self.environment, *words)

    def wait(self, job: str, *states: str) -> dict[str, str]:
        return two_nodes.wait_for(self.environment, job, *states, seconds=90)

    def begun(self, run: str, start: str = "start at 0") -> None:
        """Wait until rank 0 counts."""
        end = time.monotonic() + 60
        while not any(start in path.read_text() for path in (self.folder / run / "logs").glob("*-rank0.log")):
            assert time.monotonic() < end, f"{run} does not begin"
            time.sleep(0.1)

    def starts(self, run: str) -> list[int]:
        (log,) = (self.folder / run / "logs").glob("*-rank0.log")
        return [int(line.split()[-1]) for line in log.read_text().splitlines() if line.startswith("start at ")]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with two_nodes.cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield Cluster(environment, tmp_path_factory.mktemp("work"))


def test_a_task_of_an_array_queues_itself_again_and_not_the_others(slurm: Cluster) -> None:
    """One task has the number of the array for its own."""
    array = slurm.submit("array", nodes=1, seeds=2)
    slurm.begun("array/seed0")
    slurm.begun("array/seed1")
    ids = {number: slurm.wait(f"{array}_{number}", "RUNNING")["JobId"] for number in (0, 1)}
    (twin,) = [number for number, own in ids.items() if own == array]
    slurm.command("scancel", "--signal=USR1", "--batch", f"{array}_{twin}")
    restarts = {number: slurm.wait(f"{array}_{number}", "COMPLETED")["Restarts"] for number in (0, 1)}
    assert restarts == {twin: "1", 1 - twin: "0"}
    first, second = slurm.starts(f"array/seed{twin}")
    assert first == 0 < second
    assert slurm.starts(f"array/seed{1 - twin}") == [0]


def test_a_job_preempted_by_an_urgent_one_comes_back(slurm: Cluster) -> None:
    """In the grace time SLURM tells the ranks alone: their code has to bring the job back."""
    job = slurm.submit("preempted")
    slurm.begun("preempted")
    urgent = slurm.command("sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=sleep 1")
    slurm.wait(urgent, "COMPLETED")
    assert slurm.wait(job, "COMPLETED")["Restarts"] == "1"
    first, second = slurm.starts("preempted")
    assert first == 0 < second


def test_a_cancelled_job_stays_cancelled_and_its_dependents_go(slurm: Cluster) -> None:
    job = slurm.submit("cancelled")
    after = slurm.submit("after", f"--dependency=afterok:{job}", "--kill-on-invalid-dep=yes")
    slurm.begun("cancelled")
    slurm.command("scancel", job)
    slurm.wait(job, "CANCELLED")
    slurm.wait(after, "CANCELLED")
    time.sleep(3)  # the script has left by now
    assert slurm.wait(job, "CANCELLED")["Restarts"] == "0"
    assert not (slurm.folder / "after/logs").exists()


def test_a_job_that_cannot_be_queued_again_has_failed(slurm: Cluster) -> None:
    """Not: has ended well, which would start what depends on it."""
    job = slurm.submit("once", "--no-requeue")
    slurm.begun("once")
    slurm.command("scancel", "--signal=USR1", "--batch", job)
    assert slurm.wait(job, "FAILED")["ExitCode"] == "75:0"


def test_a_job_that_gets_nowhere_is_not_queued_for_ever(slurm: Cluster) -> None:
    job = slurm.submit("deaf", options=("--deaf",))
    slurm.begun("deaf")
    slurm.command("scancel", "--signal=USR1", "--batch", job)
    found = slurm.wait(job, "FAILED", "COMPLETED")
    assert (found["JobState"], found["Restarts"]) == ("FAILED", "0")
    assert "without a new checkpoint" in next(slurm.folder.glob("deaf-*.log")).read_text()


def test_a_stage_does_not_start_from_a_run_that_has_not_ended(slurm: Cluster) -> None:
    (slurm.folder / "tokens").mkdir()
    (slurm.folder / "tokens/run.json").write_text('{"starts": [{"stopped": "now", "stopped_by": "SIGTERM"}]}')
    job = slurm.submit("later", options=("--model.init_args.tokenizer", str(slurm.folder / "tokens/last.ckpt")))
    assert slurm.wait(job, "FAILED")["ExitCode"] == "2:0"
    assert "has not ended (SIGTERM)" in next(slurm.folder.glob("later-*.log")).read_text()
