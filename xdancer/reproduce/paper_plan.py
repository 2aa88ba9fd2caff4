"""A table of the paper as phases: data, the networks that its rows train, their measurements.

Each is named by what decides its result, so that equal ones of all tables and calls are done once.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from xdancer.application import config_path, root
from xdancer.data.manifest import read_manifest
from xdancer.demo.phase import Phase
from xdancer.embedded.plan import GENERATOR_VERSION
from xdancer.reproduce.paper_tables import (
    MOTION_CLIPS,
    MOTION_FRAMES,
    SUBSET,
    TRAININGS,
    VIDEO_CLIPS,
    VIDEO_FRAMES,
    Block,
    PaperRow,
    PaperTable,
    Training,
)
from xdancer.reproduce.plan import shortened, words

EMBEDDED = {
    "clips": 480, "val_clips": 8, "test_clips": 40, "video_clips": 160, "evaluation_video_clips": 28, "size": 64, "features": '["librosa"]',
}  # fmt: skip
"""The embedded data set of all four tables (`xdancer embedded`)."""
REFERENCE_CLIPS = 96
"""True training dances that all dances are measured against."""
MEASURE_VERSION = 2
"""Raised whenever a measurement of the same run would give other figures."""
SPLITS = ("train", "val", "test")
TOKEN_CLIPS, TOKEN_FRAMES = 24, 240
"""Held-out clips and their length of the tokenizers' figures."""


@dataclass(frozen=True)
class PaperLayout:
    """Where the tables keep their things, and what they are trained on."""

    root: Path
    data: Path
    """Folder of train, val and test."""
    identity: str
    """Of the data: runs on other data have other names."""
    own: bool = False
    """Whether the data are the user's own and not built by a phase."""
    size: tuple[int, int] = (64, 64)
    """Height and width of the videos."""

    def run(self, name: str) -> Path:
        """Folder of one training."""
        return self.root / "runs" / name

    def figures(self, name: str) -> Path:
        """Figures of one measurement."""
        return self.root / "figures" / f"{name}.json"

    @property
    def subset(self) -> Path:
        return self.root / f"subset-{digest(self.identity, SUBSET)}"

    @property
    def reference(self) -> Path:
        return self.root / f"reference-{digest(self.identity, REFERENCE_CLIPS, MOTION_FRAMES, MEASURE_VERSION)}.npz"


def embedded_layout(out: Path) -> PaperLayout:
    """On the embedded data set, built into `out`."""
    return PaperLayout(out / "paper", out / "data_paper", json.dumps({"embedded": EMBEDDED, "version": GENERATOR_VERSION}))


def own_layout(out: Path, data: Path, size: tuple[int, int]) -> PaperLayout:
    """On one's own shards with videos of that size.

    Raises:
        ShardError: a split is missing.
    """
    identity = json.dumps({split: read_manifest(data / split).sha256 for split in SPLITS}, sort_keys=True)
    return PaperLayout(out / "paper", data, identity, own=True, size=size)


def digest(*parts: object) -> str:
    """Eight hexadecimal digits of what decides a result."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:8]


def default_steps(training: Training) -> int:
    """Optimiser steps that the config names."""
    return _max_steps(_text(training.config))


@cache
def _text(config: str) -> str:
    return config_path(config).read_text(encoding="utf-8")


@cache
def _max_steps(text: str) -> int:
    return int(yaml.safe_load(text)["trainer"]["max_steps"])


def overrides(training: Training, layout: PaperLayout, steps: int | None = None) -> dict[str, object]:
    """What the table changes in a training's config, with the size of the pictures where it has any, and what so many steps ask for."""
    if not training.config.endswith("video.yaml"):
        return dict(training.flags)
    height, width = layout.size
    size = {"height": height, "width": width, "motion_map": json.dumps([height // 16, width // 16])}
    changes = {f"model.init_args.config.{name}": value for name, value in size.items()}
    return changes | (shortened(training.config, steps) if steps else {}) | dict(training.flags)


def training_name(name: str, layout: PaperLayout, seed: int, steps: int | None) -> str:
    """Folder and phase of a training: its name, its seed, and a digest of all that decides its weights."""
    training = TRAININGS[name]
    upstream = None if training.tokenizer is None else training_name(training.tokenizer, layout, seed, steps)
    text = _text(training.config)
    parts = (
        layout.identity,
        text,
        overrides(training, layout, steps),
        SUBSET if training.subset else 1,
        seed,
        steps or default_steps(training),
        upstream,
    )
    return f"{name.replace(' ', '_')}-{seed}-{digest(*parts)}"


def measurement_name(row: PaperRow, layout: PaperLayout, seed: int, steps: int | None) -> str:
    """Figures and phase of a measurement, by what is measured; rows of different tables that are the same share it."""
    source = row.null or "_".join(row.trained)
    parts = (
        layout.identity,
        row.measured,
        MEASURE_VERSION,
        _sizes(row),
        seed,
        [training_name(name, layout, seed, steps) for name in row.trained],
    )
    return f"{row.measured}-{source.replace(' ', '_')}-{seed}-{digest(*parts)}"


def make_paper_phases(
    table: PaperTable,
    layout: PaperLayout,
    *,
    seeds: int,
    steps: int | None,
    accelerator: str = "cpu",
    rows: Mapping[str, PaperRow] | None = None,
) -> list[Phase]:
    """All phases of a table; those of earlier seeds first, so that a stopped one holds whole seeds. `rows`: only these."""
    phases: dict[str, Phase] = {}

    def add(phase: Phase) -> str:
        phases.setdefault(phase.name, phase)
        return phase.name

    data = () if layout.own else (add(_data(layout)),)
    wanted = [row for row in (built_rows(table) if rows is None else rows).values() if row.measured != "not built yet"]
    reference = (add(_reference(layout, data)),) if any(row.measured == "motion" for row in wanted) else ()
    for seed in range(seeds):
        for row in wanted:
            trained = tuple(_train(name, layout, seed, steps, accelerator, data, add) for name in row.trained)
            add(_measurement(row, layout, seed, steps, needs=(*data, *(reference if row.measured == "motion" else ()), *trained)))
    return list(phases.values())


def built_rows(table: PaperTable) -> dict[str, PaperRow]:
    """The rows that our code has, by name; two blocks have no row of one name."""
    return {name: row for block in table.blocks for name, row in block.rows.items() if row.measured != "not built yet"}


def trainings_of(block: Block) -> list[str]:
    """Trainings of a block's rows and the tokenizers that they need, each once."""
    names = [name for row in block.rows.values() for name in row.trained]
    return list(dict.fromkeys(other for name in names for other in (TRAININGS[name].tokenizer, name) if other is not None))


def _data(layout: PaperLayout) -> Phase:
    flags = {"--out": layout.data, **{f"--{name.replace('_', '-')}": value for name, value in EMBEDDED.items()}, "--workers": 2}
    return Phase("data", "data set", ("-m", "xdancer", "embedded", *words(flags)), threads=2, weight=240.0)


def _reference(layout: PaperLayout, needs: tuple[str, ...]) -> Phase:
    flags = {"--data": layout.data / "train", "--out": layout.reference, "--clips": REFERENCE_CLIPS, "--frames": MOTION_FRAMES}
    return Phase(
        layout.reference.stem, "features of the training dances", ("-m", "xdancer.reproduce", "reference", *words(flags)), needs, weight=90.0
    )


def _subset(layout: PaperLayout, needs: tuple[str, ...]) -> Phase:
    flags = {"--data": layout.data / "train", "--out": layout.subset, "--share": SUBSET}
    return Phase(layout.subset.name, "subset of the training clips", ("-m", "xdancer.reproduce", "subset", *words(flags)), needs, weight=5.0)


def _train(name: str, layout: PaperLayout, seed: int, steps: int | None, accelerator: str, needs: tuple[str, ...], add: Any) -> str:
    """Add a training and what it needs; its phase's name."""
    training, run = TRAININGS[name], layout.run(training_name(name, layout, seed, steps))
    flags: dict[str, object] = {
        "--config": config_path(training.config), "--run_dir": run, "--seed_everything": seed, "--data.init_args.seed": seed,
        "--data.init_args.train": layout.data / "train", "--data.init_args.val": layout.data / "val",
        "--data.init_args.test": layout.data / "test",
    }  # fmt: skip
    upstream: tuple[str, ...] = ()
    if training.tokenizer is not None:
        upstream = (_train(training.tokenizer, layout, seed, steps, accelerator, needs, add),)
        flags["--model.init_args.tokenizer"] = layout.run(upstream[0]) / "last.ckpt"
    if training.subset:
        flags["--data.init_args.train"] = layout.subset
        upstream = (*upstream, add(_subset(layout, needs)))
    count = steps or default_steps(training)
    flags |= {f"--{key}": count for key in ("trainer.max_steps", "trainer.val_check_interval", "checkpoint.every_n_train_steps")}
    flags |= {f"--{key}": value for key, value in overrides(training, layout, steps).items()}
    flags |= {"--trainer.accelerator": accelerator} if accelerator != "cpu" else {}
    arguments = (str(root() / "train.py"), "fit", *words(flags))
    return add(Phase(run.name, f"train: {name} {seed}", arguments, (*needs, *upstream), steps=count, run_dir=run, weight=150.0))


def _sizes(row: PaperRow) -> tuple[int, int]:
    """Clips and frames of a measurement."""
    sizes = {"motion": (MOTION_CLIPS, MOTION_FRAMES), "tokenizer": (TOKEN_CLIPS, TOKEN_FRAMES)}
    return sizes.get(row.measured, (VIDEO_CLIPS, VIDEO_FRAMES))


def _measurement(row: PaperRow, layout: PaperLayout, seed: int, steps: int | None, *, needs: tuple[str, ...]) -> Phase:
    name = measurement_name(row, layout, seed, steps)
    runs = [layout.run(training_name(trained, layout, seed, steps)) for trained in row.trained]
    clips, frames = _sizes(row)
    flags: dict[str, object] = {
        "--data": layout.data / "test", "--figures": layout.figures(name), "--clips": clips, "--frames": frames, "--seed": seed,
        **({"--null": row.null} if row.null else dict(zip(("--motion", "--renderer") if len(runs) > 1 else ("--run",), runs, strict=True))),
        **({"--reference": layout.reference} if row.measured == "motion" else {}),
    }  # fmt: skip
    title = f"measure: {row.null or ' + '.join(row.trained)} {seed}"
    return Phase(name, title, ("-m", "xdancer.reproduce", row.measured, *words(flags)), needs, weight=60.0)
