"""Which jobs a request makes, in which order, and handing them to sbatch."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from xdancer.application import find_configs
from xdancer.batches import split_batch
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
OURS = {
    "--run_dir": "checkpoints are handed over by run folders, so name the folder of all runs with --runs.",
    "--ckpt_path": "every start of a job continues at the last checkpoint in its run folder. Leave it out, or train without SLURM.",
    "--trainer.devices": "a job has a process for each GPU. Say --gpus or --tasks before the --.",
    "--trainer.num_nodes": "a job has the nodes that SLURM gives it. Say --nodes before the --.",
}
"""Options of train.py that the batch script gives itself."""


def plan_jobs(
    config: Path, overlays: Sequence[Path], options: Sequence[str], *, chain: bool, runs: Path | None, seeds: int | None,
    ablations: Sequence[Path], processes: int | None = None,
) -> list[Job]:  # fmt: skip
    """The jobs of a request, each needing the one before.

    Raises:
        XDancerError: a config that is not there or unreadable, a chain that does not begin with a stage, an array of a chain, an option that
            the batch script gives, or a `global_batch` that so many processes cannot share.
    """
    if chain and (seeds is not None or ablations):
        raise XDancerError(
            "--chain with --seeds or --ablations: a chain hands one run's checkpoint on. Submit the seeds as chains of their own."
        )
    for flag, _ in _given(options):
        if flag in OURS:
            raise XDancerError(f"{flag} behind --: {OURS[flag]}")
    if seeds is not None and seeds < 1:
        raise XDancerError(f"--seeds {seeds}: at least 1.")
    if not chain:
        return [_job(config, overlays, options, runs=runs, seeds=seeds, ablations=ablations, processes=processes)]
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
        before = next(reversed(folders.values()), None)
        job = _job(path, overlays, [*handed, *options], runs=runs, seeds=None, ablations=[], processes=processes, before=before)
        folders[stage] = job.variants[0].run_dir
        jobs.append(job)
    return jobs


def _job(
    config: Path, overlays: Sequence[Path], options: Sequence[str], *, runs: Path | None, seeds: int | None, ablations: Sequence[Path],
    processes: int | None, before: Path | None = None,
) -> Job:  # fmt: skip
    path, content = _read(config)
    over = [_read(overlay) for overlay in overlays]
    words = [word for overlay, _ in over for word in ("--config", str(overlay))]
    contents = [content, *(overlay for _, overlay in over)]
    variants = list(_variants(contents, options, config, runs, seeds, ablations, processes))
    if before is not None:
        variants = [replace(variant, upstream=tuple(dict.fromkeys((before, *variant.upstream)))) for variant in variants]
    if len({variant.run_dir for variant in variants}) < len(variants):
        raise XDancerError("Two of these trainings have the same run_dir and would overwrite each other: give each ablation its own.")
    return Job(config.stem, path, (*words, *options), tuple(variants))


def _check_batch(layers: Sequence[dict[str, Any]], options: Sequence[str], config: Path, processes: int | None) -> None:
    """Refuse a batch that the processes cannot share now, and not when the job starts."""
    values = [layer["global_batch"] for layer in layers if "global_batch" in layer]
    values += [yaml.safe_load(value) for flag, value in _given(options) if flag == "--global_batch"]
    if processes is not None and values and isinstance(values[-1], int) and values[-1] > 0:  # train.py refuses anything else
        try:
            split_batch(values[-1], processes=processes, at_most=values[-1])
        except XDancerError as error:
            raise XDancerError(f"{config}: {error} Processes are --nodes times --gpus, or times --tasks without GPUs.") from error


def _variants(
    contents: Sequence[dict[str, Any]], options: Sequence[str], config: Path, runs: Path | None, seeds: int | None, ablations: Sequence[Path],
    processes: int | None,
) -> Iterator[Variant]:  # fmt: skip
    """Every ablation with every seed."""
    for path, content in [_read(path) for path in ablations] or [(None, {})]:
        layers = [*contents, content]
        _check_batch(layers, options, config, processes)
        place, upstream = _run_dir(layers, config, runs), upstream_runs(layers, options)
        overlay = () if path is None else ("--config", str(path))
        for seed in range(seeds) if seeds is not None else [None]:
            if seed is None:
                yield Variant(place, overlay, upstream)
            else:
                yield Variant(place / f"seed{seed}", (*overlay, *_seed(layers, seed)), upstream)


def _seed(layers: Sequence[dict[str, Any]], seed: int) -> tuple[str, ...]:
    """Of weights and noise, and of the order of the samples, which our data modules draw by a seed of their own."""
    modules = [str(layer.get("data", {}).get("class_path", "")) for layer in layers]
    order = ("--data.init_args.seed", str(seed)) if any(module.startswith("datamodules.") for module in modules) else ()
    return ("--seed_everything", str(seed), *order)


def upstream_runs(layers: Sequence[dict[str, Any]], options: Sequence[str]) -> tuple[Path, ...]:
    """Folders of the runs whose `last.ckpt` a model starts from, by its configs and, over them, options (`--model.init_args.tokenizer X`).

    Another file than a `last.ckpt` was chosen by hand and is taken as it is.
    """
    named: dict[str, str] = {}
    for layer in layers:
        named |= dict(_strings("model", layer.get("model")))
    named |= {flag.removeprefix("--"): value for flag, value in _given(options) if flag.startswith("--model.")}
    return tuple(dict.fromkeys(Path(value).absolute().parent for value in named.values() if Path(value).name == "last.ckpt"))


def _given(options: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Flags and their values, as in `--a b` and `--a=b`."""
    for word, following in zip_longest(options, options[1:], fillvalue=""):
        flag, sign, value = word.partition("=")
        if flag.startswith("--"):
            yield flag, value if sign else following


def _strings(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(f"{key}.{name}", item)
    elif isinstance(value, str):
        yield key, value


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
