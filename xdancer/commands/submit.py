"""`xdancer submit CONFIG`: train on a SLURM cluster."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from xdancer.errors import XDancerError

if TYPE_CHECKING:
    from xdancer.cluster.script import Job

CPU = ("--trainer.accelerator", "cpu", "--trainer.precision", "32-true")
JOB = r"\d+(_\d+)?(:\d+(_\d+)?)*"
"""One number or several, `_` before the task of an array."""
TIME = r"(\d+-)?\d+(:\d+){0,2}|infinite|unlimited"
"""As sbatch takes it."""


def submit(
    stage: Path,
    *,
    configs: list[Path] = [],  # noqa: B006 - read only; jsonargparse wants a list
    options: list[str] = [],  # noqa: B006 - likewise
    nodes: int = 1,
    gpus: int = 8,
    tasks: int = 1,
    time: str = "24:00:00",
    stage_after: str | None = None,
    chain: bool = False,
    seeds: int | None = None,
    ablations: list[Path] = [],  # noqa: B006 - likewise
    runs: Path | None = None,
    cpus_per_task: int = 12,
    memory: str | None = None,
    partition: str | None = None,
    account: str | None = None,
    qos: str | None = None,
    constraint: str | None = None,
    warning: int = 120,
    dry_run: bool = False,
) -> list[str]:
    """Hand a training to SLURM: one task per GPU, back into the queue before the time limit and after preemption, continued to the bit.

    What stands behind `--` goes to train.py, as in `xdancer submit configs/gpt.yaml --nodes 3 -- --trainer.max_steps 1000`. The script is
    slurm/train.sbatch with these values; logs of every rank lie in RUN_DIR/logs. Prints the number of each job.

    Args:
        stage: its config, such as configs/gpt.yaml.
        configs: over it, --config A --config B.
        options: of train.py, what stands behind `--`.
        nodes: machines.
        gpus: of each node, with one task each; 0 trains on CPUs.
        tasks: processes of each node where there are no GPUs.
        time: limit of one start, as sbatch takes it; a longer run is queued again and again.
        stage_after: number of a job that must have ended well before.
        chain: this stage and those behind it (vqvae, gpt, video_image, video_temporal beside the config), each after the one before has ended,
            with its checkpoint; a failing stage ends the chain.
        seeds: an array of that many trainings with the seeds 0, 1, …, in RUN_DIR/seed0 and so on.
        ablations: an array with one training for each of these configs, over the others.
        runs: folder of all run folders, in place of the configs' own.
        cpus_per_task: CPU cores of each process.
        memory: of each node, such as 200G; the partition's default where None.
        partition: as sbatch takes it.
        account: as sbatch takes it.
        qos: as sbatch takes it.
        constraint: as sbatch takes it.
        warning: seconds before the time limit at which the run is told to save and stop.
        dry_run: print scripts and commands, submit nothing.

    Raises:
        XDancerError: an unknown config, impossible numbers, no sbatch here, or a job that it refuses.
    """
    from xdancer.application import config_path
    from xdancer.cluster.jobs import hand_over, plan_jobs
    from xdancer.cluster.script import render
    from xdancer.cluster.upstream import require_ended

    if stage_after is not None and not re.fullmatch(JOB, stage_after):
        raise XDancerError(f"--stage-after {stage_after!r}: the number of a job, as sbatch prints it, such as 4711.")
    if not re.fullmatch(TIME, time, re.IGNORECASE):
        raise XDancerError(f"--time {time!r}: minutes, or as in 12:00:00 (hours) and 2-12 (days and hours).")
    for name, value, least in (
        ("nodes", nodes, 1),
        ("gpus", gpus, 0),
        ("tasks", tasks, 1),
        ("cpus-per-task", cpus_per_task, 1),
        ("warning", warning, 1),
    ):
        if value < least:
            raise XDancerError(f"--{name} {value}: at least {least}.")
    if gpus and tasks != 1:
        raise XDancerError(f"--tasks {tasks} --gpus {gpus}: each GPU has a task of its own. Leave --tasks out, or train on CPUs with --gpus 0.")
    processes = nodes * (gpus or tasks)
    jobs = plan_jobs(stage, configs, options, chain=chain, runs=runs, seeds=seeds, ablations=ablations, processes=processes)
    resources = {
        "nodes": str(nodes), "ntasks-per-node": str(gpus or tasks), "gpus-per-node": str(gpus) if gpus else None,
        "cpus-per-task": str(cpus_per_task), "time": time, "signal": f"B:USR1@{warning}", "mem": memory, "partition": partition,
        "account": account, "qos": qos, "constraint": constraint,
    }  # fmt: skip
    place = ("--config", str(config_path("trainer/slurm.yaml")), *(() if gpus else CPU))
    if not dry_run and stage_after is None:  # else the check waits for the start of the job
        for folder in jobs[0].variants[0].upstream:
            require_ended(folder)
    numbers, before = list[str](), stage_after
    for job in jobs:
        script = render(job, resources | _of_job(job), place)
        flags = [] if before is None else [f"--dependency=afterok:{before}", "--kill-on-invalid-dep=yes"]
        if dry_run:
            before = f"${{job_{job.name}}}"
            print(f"# job_{job.name}=$({' '.join(['sbatch', '--parsable', *flags])} <<'END'\n{script}END\n# )\n")
            continue
        for folder in {_place(job), *(variant.run_dir for variant in job.variants)}:
            _make(folder / "logs")  # sbatch makes none, and a job without its log fails
        before = hand_over(script, flags)
        numbers.append(before)
        print(
            f"{before} {job.name}: {', '.join(str(variant.run_dir) for variant in job.variants[:4])}{' …' * (len(job.variants) > 4)}",
            flush=True,
        )
    return numbers


def _of_job(job: "Job") -> dict[str, str]:
    log = "%j" if len(job.variants) == 1 else "%A_%a"
    array = {"array": f"0-{len(job.variants) - 1}"} if len(job.variants) > 1 else {}
    return {"job-name": job.name, "output": f"{_place(job)}/logs/{log}.log", **array}


def _place(job: "Job") -> Path:
    """Where the job's own log lies: with its run, for an array beside its runs."""
    first = job.variants[0].run_dir
    return first if len(job.variants) == 1 else first.parent


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XDancerError(f"{folder}: cannot be made ({error.strerror}). Choose another --runs.") from error
