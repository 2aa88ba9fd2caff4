"""Train on two nodes, take the job from them again and again, and compare what it leaves with the job that nobody disturbed, bit by bit.

python tests/cluster/requeues.py --requeues 12 --out FOLDER [--seed 0]
"""

import argparse
import importlib.util
import json
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from xdancer.embedded.build import EmbeddedConfig, build_embedded

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests/support"
EMBEDDED = EmbeddedConfig(train_clips=4, val_clips=2, test_clips=1, seconds=4.0, video_clips=2, evaluation_video_clips=1)
WAYS = {
    "requeue": ("scontrol", "requeue"),  # an administrator, or preemption without grace
    "limit": ("scancel", "--signal=USR1", "--batch"),  # what SLURM sends before the time limit
    "grace": ("scancel", "--signal=TERM"),  # what it sends to the ranks when a grace time begins
}


def load(path: Path) -> ModuleType:
    """A module of the tests by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


two_nodes = load(Path(__file__).parent / "two_nodes.py")
kills = load(SUPPORT / "kills.py")


@dataclass(frozen=True)
class Cluster:
    """A running SLURM and the folder that jobs are submitted from."""

    environment: dict[str, str]
    folder: Path

    def submit(self, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        """`xdancer submit` on CPUs, one task a node; the jobs' numbers."""
        resources = ["--gpus", "0", "--cpus-per-task", "1", "--time", "10"]
        command = [sys.executable, "-m", "xdancer", "submit", arguments[0], *resources, *arguments[1:], "--", *options]
        return [line.split()[0] for line in two_nodes.run(self.environment, *command, folder=self.folder).splitlines()]

    def command(self, *words: str) -> None:
        two_nodes.run(self.environment, *words)

    def wait(self, job: str, *states: str, seconds: float = 900) -> dict[str, str]:
        return two_nodes.wait_for(self.environment, job, *states, seconds=seconds)

    def starts(self, run: str) -> list[dict[str, Any]]:
        path = self.folder / run / "run.json"
        return json.loads(path.read_text())["starts"] if path.is_file() else []

    def saved(self, run: str) -> int:
        """Steps at the newest checkpoint."""
        return max((int(path.stem[-8:]) for path in (self.folder / run / "checkpoints").glob("step=*.ckpt")), default=0)

    def differences(self, run: str, other: str) -> list[str]:
        """Where two finished runs differ: weights, optimizer, schedules, codebooks, random states, table of figures."""
        return kills.differences(kills.state(self.folder, run), kills.state(self.folder, other))


def prepare(environment: dict[str, str], folder: Path, *, steps: int, seconds: float = 0.5) -> Cluster:
    """The data set and the config `tokenizer.yaml`, whose steps take at least that long, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data/demo/train/manifest.json").is_file():
        build_embedded(folder / "data/demo", EMBEDDED, workers=1, progress=False)
    config = kills.configs()["vqvae"]
    config["data"]["init_args"] |= {split: f"data/demo/{split}" for split in ("train", "val", "test")}
    config["trainer"] |= {"max_steps": steps, "val_check_interval": 5}
    config["trainer"]["callbacks+"].append({"class_path": "slow_steps.SlowSteps", "init_args": {"seconds": seconds}})
    (folder / "tokenizer.yaml").write_text(yaml.safe_dump(config))
    paths = [str(ROOT), str(SUPPORT), environment.get("PYTHONPATH", "")]
    return Cluster({**environment, "PYTHONPATH": os.pathsep.join(paths)}, folder)


def train(slurm: Cluster, name: str, ways: list[str], *, numbers: random.Random | None = None) -> dict[str, str]:
    """A job on both nodes that is stopped in these ways, one after the other, and ends; what SLURM says of it.

    Args:
        slurm: the cluster.
        name: folder of the run folder.
        ways: keys of `WAYS`.
        numbers: draw the moments, until the job ends by itself; else each start saves a checkpoint before it is stopped.
    """
    (job,) = slurm.submit("tokenizer.yaml", "--nodes", "2", "--runs", name)
    for number, way in enumerate(ways):
        slurm.wait(job, "RUNNING")
        saved, end = slurm.saved(f"{name}/run"), time.monotonic() + 900
        if numbers is None or way == "limit":  # a whole time limit without a checkpoint ends the job
            while slurm.saved(f"{name}/run") == saved:
                assert time.monotonic() < end, f"start {number} of {name} saves nothing"
                time.sleep(0.1)
        if numbers is not None:
            time.sleep(numbers.uniform(0, 2 if way == "limit" else 30))
            if two_nodes.facts(slurm.environment, job)["JobState"] == "COMPLETED":
                break
        slurm.command(*WAYS[way], job)
        slurm.wait(job, "PENDING", "REQUEUED")
    return slurm.wait(job, "COMPLETED")


def study(out: Path, requeues: int, seed: int) -> dict[str, Any]:
    """One job disturbed that often; how, and whether it ends as the undisturbed one."""
    numbers = random.Random(seed)
    ways = [numbers.choice(list(WAYS)) for _ in range(requeues)]
    place = Path(tempfile.mkdtemp(prefix="slurm"))
    try:
        with two_nodes.cluster(place) as environment:
            slurm = prepare(environment, out, steps=20 * requeues)  # a start trains 15 or so
            train(slurm, "whole", [])
            restarts = int(train(slurm, "disturbed", ways, numbers=numbers)["Restarts"])
            starts = [start["start_step"] for start in slurm.starts("disturbed/run")]
            return {
                "requeues": restarts, **{way: ways[:restarts].count(way) for way in WAYS}, "recorded starts at step": starts,
                "differences": slurm.differences("whole/run", "disturbed/run"),
            }  # fmt: skip
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requeues", type=int, default=12)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.path.insert(0, str(SUPPORT))
    print(json.dumps(study(given.out.resolve(), given.requeues, given.seed)))
