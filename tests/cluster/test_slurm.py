"""Jobs on a real SLURM of two nodes: they train together, survive preemption and time limits, chains hand checkpoints on or end."""

import csv
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from xdancer.embedded.build import EmbeddedConfig, build_embedded

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests/support"
STEPS = 12
EMBEDDED = EmbeddedConfig(train_clips=4, val_clips=2, test_clips=1, seconds=4.0, video_clips=2, evaluation_video_clips=1)


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


two_nodes = _load("two_nodes")
pytestmark = [
    pytest.mark.skipif(two_nodes.missing() is not None, reason=str(two_nodes.missing())), pytest.mark.timeout(900)
]  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """A running SLURM and the folder that jobs are submitted from."""

    environment: dict[str, str]
    folder: Path

    def submit(self, *arguments: str) -> list[str]:
        """`xdancer submit` on CPUs, one task a node; the jobs' numbers."""
        command = [
            sys.executable,
            "-m",
            "xdancer",
            "submit",
            *arguments[:1],
            "--gpus",
            "0",
            "--cpus-per-task",
            "1",
            "--time",
            "10",
            *arguments[1:],
        ]
        return [line.split()[0] for line in two_nodes.run(self.environment, *command, folder=self.folder).splitlines()]

    def command(self, *words: str) -> None:
        two_nodes.run(self.environment, *words)

    def wait(self, job: str, *states: str) -> dict[str, str]:
        return two_nodes.wait_for(self.environment, job, *states)

    def steps(self, run: str) -> int:
        """Rows of a run's table so far."""
        path = self.folder / run / "metrics.csv"
        if not path.is_file():
            return 0
        with path.open(newline="") as file:
            return sum(bool(row.get("train/loss")) for row in csv.DictReader(file))

    def starts(self, run: str) -> list[dict[str, Any]]:
        return json.loads((self.folder / run / "run.json").read_text())["starts"]

    def weights(self, run: str) -> dict[str, torch.Tensor]:
        return torch.load(self.folder / run / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    work = tmp_path_factory.mktemp("work")
    paths = [str(ROOT), str(SUPPORT), os.environ.get("PYTHONPATH", "")]
    shutil.copy(SUPPORT / "tiny.yaml", work)
    slow = {"class_path": "slow_steps.SlowSteps", "init_args": {"seconds": 0.4}}
    overlay = {"trainer": {"max_steps": STEPS, "val_check_interval": 5, "callbacks+": [slow]}, "checkpoint": {"every_n_train_steps": 5}}
    (work / "slow.yaml").write_text(yaml.safe_dump(overlay))
    with two_nodes.cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield Cluster({**environment, "PYTHONPATH": os.pathsep.join(paths)}, work)


@pytest.fixture(scope="module")
def undisturbed(slurm: Cluster) -> dict[str, torch.Tensor]:
    """Weights of the run that nobody disturbs."""
    (job,) = slurm.submit("tiny.yaml", "--config", "slow.yaml", "--nodes", "2", "--runs", "whole")
    slurm.wait(job, "COMPLETED")
    assert [(start["world_size"], start["end_step"]) for start in slurm.starts("whole/run")] == [(2, STEPS)]
    logs = sorted(path.name for path in (slurm.folder / "whole/run/logs").iterdir())
    assert logs == [f"{job}-rank0.log", f"{job}-rank1.log", f"{job}.log"]
    return slurm.weights("whole/run")


def interrupted(slurm: Cluster, name: str, *arguments: str) -> str:
    """A job on both nodes that has done a few steps."""
    (job,) = slurm.submit("tiny.yaml", "--config", "slow.yaml", "--nodes", "2", "--runs", name, *arguments)
    end = time.monotonic() + 200
    while slurm.steps(f"{name}/run") < 3:
        assert time.monotonic() < end
        time.sleep(0.1)
    return job


@pytest.mark.parametrize("how", ["requeue", "time limit's signal"])
def test_a_job_that_is_stopped_continues_to_the_bit(slurm: Cluster, undisturbed: dict[str, torch.Tensor], how: str) -> None:
    name = how.partition(" ")[0]
    job = interrupted(slurm, name)
    if how == "requeue":
        slurm.command("scontrol", "requeue", job)
    else:
        slurm.command("scancel", "--signal=USR1", "--batch", job)
    slurm.wait(job, "PENDING", "REQUEUED", "COMPLETING")
    found = slurm.wait(job, "COMPLETED")
    assert found["Restarts"] == "1"
    first, last = slurm.starts(f"{name}/run")
    assert first["stopped_by"] == "signal"
    assert 0 < first["end_step"] == last["start_step"] < STEPS
    assert last["end_step"] == STEPS
    weights = slurm.weights(f"{name}/run")
    assert all(torch.equal(value, weights[key]) for key, value in undisturbed.items())


@pytest.mark.slow
def test_a_time_limit_of_a_minute_is_survived(slurm: Cluster, undisturbed: dict[str, torch.Tensor]) -> None:
    """SLURM counts limits in minutes and sends its warning up to a minute early: 40 s of steps, one minute a start."""
    options = ["--time", "1", "--warning", "20", "--", "--trainer.max_steps", "100"]
    (whole,) = slurm.submit("tiny.yaml", "--config", "slow.yaml", "--nodes", "2", "--runs", "long", *options[4:])
    (job,) = slurm.submit("tiny.yaml", "--config", "slow.yaml", "--nodes", "2", "--runs", "limited", *options)
    for number in (whole, job):
        two_nodes.wait_for(slurm.environment, number, "COMPLETED", seconds=600)
    assert len(slurm.starts("limited/run")) > 1
    one, other = slurm.weights("long/run"), slurm.weights("limited/run")
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_a_failing_stage_ends_what_needs_it(slurm: Cluster) -> None:
    (first,) = slurm.submit("tiny.yaml", "--runs", "failing", "--", "--model.init_args.config.slots", "0")
    (second,) = slurm.submit("tiny.yaml", "--runs", "after", "--stage-after", first)
    slurm.wait(first, "FAILED")
    assert slurm.wait(second, "CANCELLED", "DEADLINE")["Reason"] in ("DependencyNeverSatisfied", "Dependency")
    assert not (slurm.folder / "after/run/run.json").exists()


def test_the_chain_of_the_four_stages_hands_its_checkpoints_on(slurm: Cluster) -> None:
    build_embedded(slurm.folder / "data/demo", EMBEDDED, workers=1, progress=False)
    few = {"trainer.max_steps": 2, "trainer.limit_val_batches": 0, "trainer.num_sanity_val_steps": 0, "data.init_args.batch_size": 2}
    options = [word for key, value in few.items() for word in (f"--{key}", str(value))]
    jobs = slurm.submit("configs/demo/vqvae.yaml", "--chain", "--runs", "chain", "--", *options)
    stages = ("vqvae", "gpt", "video_image", "video_temporal")
    for job, stage in zip(jobs, stages, strict=True):
        slurm.wait(job, "COMPLETED")
        assert slurm.starts(f"chain/{stage}")[-1]["end_step"] == 2
    tokenizer = slurm.starts("chain/gpt")[0]["upstream"]["tokenizer_fingerprint"]
    assert all(slurm.starts(f"chain/{stage}")[0]["upstream"]["tokenizer_fingerprint"] == tokenizer for stage in stages[1:])
