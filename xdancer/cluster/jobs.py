"""Which jobs a request makes, in which order, and handing them to sbatch."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from xdancer.application import find_configs
from xdancer.cluster.script import Job, Variant
from xdancer.errors import XDancerError

CHAIN = ("vqvae", "gpt", "video_image", "video_temporal")
"""Stages in the order in which they need one another."""
UPSTREAM = {
    "gpt": {"model.init_args.tokenizer": "vqvae"},
    "video_image": {"model.init_args.tokenizer": "vqvae"},
    "video_temporal": {"model.init_args.tokenizer": "vqvae", "model.init_args.initial": "video_image"},
}
"""Stage → key of its config that names a checkpoint → stage that writes it."""


def plan_jobs(
    config: Path, overlays: Sequence[Path], options: Sequence[str], *, chain: bool, runs: Path | None, seeds: int | None,
    ablations: Sequence[Path],
) -> list[Job]:  # fmt: skip
    """The jobs of a request, each needing the one before.

    Raises:
        XDancerError: a config that is not there or unreadable, a chain that does not begin with a stage, or an array of a chain.
    """
    if chain and (seeds is not None or ablations):
        raise XDancerError(
            "--chain with --seeds or --ablations: a chain hands one run's checkpoint on. Submit the seeds as chains of their own."
        )
    if seeds is not None and seeds < 1:
        raise XDancerError(f"--seeds {seeds}: at least 1.")
    if not chain:
        return [_job(config, overlays, options, runs=runs, seeds=seeds, ablations=ablations)]
    if config.stem not in CHAIN:
        raise XDancerError(f"{config}: --chain begins with a stage's config, named {', '.join(f'{name}.yaml' for name in CHAIN)}.")
    jobs, folders = list[Job](), dict[str, Path]()
    for stage in CHAIN[CHAIN.index(config.stem) :]:
        path = config.with_name(f"{stage}.yaml")
        handed = [
            word
            for key, source in UPSTREAM.get(stage, {}).items()
            if source in folders
            for word in (f"--{key}", f"{folders[source]}/last.ckpt")
        ]
        job = _job(path, overlays, [*handed, *options], runs=runs, seeds=None, ablations=[], upstream=next(reversed(folders.values()), None))
        folders[stage] = job.variants[0].run_dir
        jobs.append(job)
    return jobs


def _job(
    config: Path, overlays: Sequence[Path], options: Sequence[str], *, runs: Path | None, seeds: int | None, ablations: Sequence[Path],
    upstream: Path | None = None,
) -> Job:  # fmt: skip
    files = [_read(path) for path in (config, *overlays)]
    arguments = [word for path, _ in files for word in ("--config", str(path))]
    folder = _run_dir([content for _, content in files], config, runs)
    variants = list(_variants(folder, runs, seeds, ablations))
    return Job(config.stem, tuple(arguments), tuple(options), tuple(variants), upstream)


def _variants(folder: Path, runs: Path | None, seeds: int | None, ablations: Sequence[Path]) -> Iterator[Variant]:
    """Every ablation with every seed."""
    for path, content in [_read(path) for path in ablations] or [(None, {})]:
        place = folder if path is None else _run_dir([content], path, runs)
        overlay = () if path is None else ("--config", str(path))
        for seed in range(seeds) if seeds is not None else [None]:
            yield Variant(place, overlay) if seed is None else Variant(place / f"seed{seed}", (*overlay, "--seed_everything", str(seed)))


def _read(path: Path) -> tuple[Path, dict[str, Any]]:
    """A config's path, absolute, and content."""
    found = Path(find_configs(["--config", str(path)])[1]).absolute()
    try:
        content = yaml.safe_load(found.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise XDancerError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]}). Give a config of train.py.") from error
    if not isinstance(content, dict):
        raise XDancerError(f"{path}: is no config of train.py (a table of keys).")
    return found, content


def _run_dir(contents: Sequence[dict[str, Any]], config: Path, runs: Path | None) -> Path:
    named = [content["run_dir"] for content in contents if "run_dir" in content]
    folder = Path(named[-1]) if named else Path("runs") / config.stem
    return folder.absolute() if runs is None else (runs / folder.name).absolute()


def hand_over(script: str, flags: Sequence[str]) -> str:
    """Give a script to sbatch; the job's number.

    Raises:
        XDancerError: there is no sbatch, or it refuses the job.
    """
    if shutil.which("sbatch") is None:
        raise XDancerError("sbatch is not on the PATH: submit on a login node of the cluster, or look at the script with --dry-run.")
    done = subprocess.run(["sbatch", "--parsable", *flags], input=script, capture_output=True, text=True)
    if done.returncode:
        raise XDancerError(f"sbatch refused the job: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout.strip().partition(";")[0]
