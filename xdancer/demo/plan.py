"""The demo as phases: which command each runs, what it needs, how many threads it is given.

Two cores: the data set and stage 1 take both; then stages 2 and 3 train side by side with one thread each, which uses the cores better than one
training with two. With the model in the package nothing is trained: a few held-out clips, the dance, the figures.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from xdancer.application import root
from xdancer.commands.inputs import recommended_sampling
from xdancer.demo.budget import Budget
from xdancer.demo.folders import Folders
from xdancer.demo.phase import Phase
from xdancer.device import DeviceName, Precision, select_device

SAVES = 5
"""Checkpoints of a training run: an interrupted one loses at most a fifth."""
VALIDATIONS = 2
SAMPLING = {"temperature": 1.0, "top_p": 0.985, "smoothing": 1.0}
"""Of the motion. From the tail of the distribution the small model draws poses that no body has, and frames that are decoded one by
one tremble (docs/experiments.md)."""

SHIPPED_NEEDS = {"unseen": (), "generate": ("unseen",), "data": (), "motion_evaluation": ("data",), "video_evaluation": ("data",)}
"""What there is to do with the model in the package, in order of preference: the dance waits for no data set."""


def make_phases(folders: Folders, budget: Budget, *, seed: int, device: DeviceName, precision: Precision) -> list[Phase]:
    """All phases; earlier ones are preferred when several are ready. Those of the package's model find everything trained."""
    place = ("--device", select_device(device).type, "--precision", precision)
    training = [] if folders.shipped else _stages(folders, budget, seed, place)
    phases = [_data(folders, budget, seed), *training, *_closing(folders, budget, seed, place)]
    if folders.shipped:
        known = {phase.name: phase for phase in phases}
        phases = [replace(known[name], needs=needs) for name, needs in SHIPPED_NEEDS.items()]
    return [replace(phase, weight=budget.seconds(phase.name)) for phase in phases]


def _stages(folders: Folders, budget: Budget, seed: int, place: tuple[str, ...]) -> list[Phase]:
    return [
        _training("vqvae", "stage 1: tokenizer", folders, budget, seed, place, needs=("data",), threads=2),
        _training("video_image", "stage 3a: renderer", folders, budget, seed, place, needs=("vqvae",)),
        _training("gpt", "stage 2: motion GPT", folders, budget, seed, place, needs=("vqvae",)),
        _training("video_temporal", "stage 3b: temporal modules", folders, budget, seed, place, needs=("video_image",)),
    ]


def _data(folders: Folders, budget: Budget, seed: int) -> Phase:
    workers = 1 if folders.shipped else 2  # the other core renders the dance meanwhile
    counts = {
        "clips": budget.train_clips, "val-clips": budget.val_clips, "test-clips": budget.test_clips, "video-clips": budget.train_videos,
        "evaluation-video-clips": budget.test_videos, "size": budget.size, "features": json.dumps(budget.features), "seed": seed,
        "workers": workers,
    }  # fmt: skip
    return Phase("data", "data set", ("-m", "xdancer", "embedded", "--out", str(folders.data), *_flags(counts)), threads=workers)


def _training(
    name: str, title: str, folders: Folders, budget: Budget, seed: int, place: tuple[str, ...], *, needs: tuple[str, ...], threads: int = 1,
) -> Phase:  # fmt: skip
    """A run of train.py on the demo's config, in the demo's folders, over the budget's steps."""
    steps = budget.steps[name]
    overrides: dict[str, object] = {
        "config": root() / "configs" / "demo" / f"{name}.yaml",
        "run_dir": folders.run(name),
        "seed_everything": seed,
        "data.init_args.train": folders.train,
        "data.init_args.val": folders.val,
        "data.init_args.test": folders.test,
        "trainer.max_steps": steps,
        "trainer.val_check_interval": max(1, steps // VALIDATIONS),
        "checkpoint.every_n_train_steps": max(1, steps // SAVES),
        "trainer.accelerator": "gpu" if place[1] == "cuda" else place[1],
        "trainer.precision": "bf16-mixed" if place[3] == "bf16" else "32-true",
    }
    if name != "vqvae":
        overrides["model.init_args.tokenizer"] = folders.checkpoint("vqvae")
    if name == "video_temporal":
        overrides["model.init_args.initial"] = folders.checkpoint("video_image")
    arguments = (str(root() / "train.py"), "fit", *_flags(overrides))
    return Phase(name, title, arguments, needs=needs, threads=threads, steps=steps, run_dir=folders.run(name))


def _closing(folders: Folders, budget: Budget, seed: int, place: tuple[str, ...]) -> list[Phase]:
    """What follows the training: evaluation, export, the dance."""
    sampling = recommended_sampling(folders.model) if folders.shipped else SAMPLING
    module = ("-m", "xdancer.demo")
    given = {"portrait": folders.portrait, "pose": folders.portrait_pose, "song": folders.song, "figures": folders.unseen_figures}
    unseen = given | ({"seconds": budget.dance_seconds, "seed": seed} if folders.shipped else {"data": folders.test})
    step = "packaged" if folders.shipped else "unseen"
    motion = {
        "data": folders.test, "gpt": folders.checkpoint("gpt"), "evaluation": folders.evaluation, "figures": folders.motion_figures,
        "clips": budget.test_clips, "seed": seed, **sampling,
    }  # fmt: skip
    export = {
        "vqvae": folders.checkpoint("vqvae"),
        "gpt": folders.checkpoint("gpt"),
        "video": folders.checkpoint("video_temporal"),
        "out": folders.model,
    }
    dance = {
        "image": folders.portrait, "pose": folders.portrait_pose, "music": folders.song, "model": folders.model, "out": folders.dance,
        "side-by-side": folders.side_by_side, "save-pose": folders.dance_pose, "seconds": budget.dance_seconds, "seed": seed, **sampling,
    }  # fmt: skip
    video = {
        "data": folders.test, "train": "null" if folders.shipped else folders.train, "model": folders.model, "evaluation": folders.evaluation,
        "figures": folders.video_figures, "clips": budget.measured_videos, "frames": budget.video_frames, "seed": seed,
    }  # fmt: skip
    return [
        Phase("unseen", "unseen portrait and song", (*module, step, *_flags(unseen)), needs=("vqvae",)),
        Phase("motion_evaluation", "held-out dances", (*module, "motion", *_flags(motion), *place), needs=("gpt",)),
        Phase("export", "model folder", ("-m", "xdancer", "export", *_flags(export)), needs=("gpt", "video_temporal")),
        Phase("generate", "the dance", ("-m", "xdancer", "generate", *_flags(dance), *place), needs=("export", "unseen")),
        Phase("video_evaluation", "held-out videos", (*module, "video", *_flags(video), *place), needs=("export",)),
    ]


def _flags(values: Mapping[str, object]) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]
