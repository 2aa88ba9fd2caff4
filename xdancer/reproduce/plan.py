"""A table as phases: data, one tokenizer, then for every seed and row a training and its measurement, seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml

from xdancer.application import config_path, root
from xdancer.demo.phase import Phase
from xdancer.reproduce.tables import MODEL, Table

TOKENIZER_STEPS = 1500


@dataclass(frozen=True)
class Layout:
    """Where a study keeps its things."""

    root: Path
    data: Path

    @property
    def tokenizer(self) -> Path:
        return self.root / "vqvae"

    def run(self, row: str, seed: int) -> Path:
        """Folder of one training."""
        return self.root / "runs" / f"{row.replace(' ', '_')}-{seed}"

    def figures(self, row: str, seed: int) -> Path:
        """Figures of one training."""
        return self.run(row, seed) / "figures.json"


def make_phases(table: Table, layout: Layout, *, seeds: int, steps: int | None, accelerator: str = "cpu") -> list[Phase]:
    """All phases; those of earlier seeds first, so that a stopped study holds whole seeds."""
    phases = [_data(table, layout), *([] if table.slots is None else [_tokenizer(table.slots, layout)])]
    for seed in range(seeds):
        for row in table.rows:
            phases += [_training(table, layout, row, seed, steps), _measurement(table, layout, row, seed)]
    if accelerator == "cpu":  # the configs' own
        return phases
    return [_placed(phase, accelerator) if phase.run_dir is not None else phase for phase in phases]


def _placed(training: Phase, accelerator: str) -> Phase:
    return replace(training, arguments=(*training.arguments, "--trainer.accelerator", accelerator))


def _data(table: Table, layout: Layout) -> Phase:
    videos = {"--video-clips": 160, "--evaluation-video-clips": 28, "--size": 64, "--features": '["librosa"]'}
    songs = {"--video-clips": 0, "--evaluation-video-clips": 0, "--features": '["librosa","beat_phase"]'}
    with_pictures = table.measured == "videos"
    counts = {"--clips": 160 if with_pictures else 480, "--val-clips": 8, "--test-clips": 28 if with_pictures else 40}
    flags = {
        "--out": layout.data, **counts, **(videos if with_pictures else songs), "--workers": 2,
        **({"--free_dances": table.free_dances} if table.free_dances else {}),
    }  # fmt: skip
    return Phase("data", "data set", ("-m", "xdancer", "embedded", *words(flags)), threads=2, weight=160.0)


def _tokenizer(slots: int, layout: Layout) -> Phase:
    run = layout.tokenizer
    flags = {
        "--config": root() / "configs" / "demo" / "vqvae.yaml", "--run_dir": run, "--model.init_args.config.slots": slots,
        "--trainer.max_steps": TOKENIZER_STEPS, **_splits(layout),
    }  # fmt: skip
    arguments = (str(root() / "train.py"), "fit", *words(flags))
    return Phase("vqvae", "tokenizer", arguments, needs=("data",), steps=TOKENIZER_STEPS, run_dir=run, weight=100.0)


def _training(table: Table, layout: Layout, row: str, seed: int, steps: int | None) -> Phase:
    run, name = layout.run(row, seed), f"{row} {seed}"
    flags: dict[str, object] = {
        "--config": root() / "configs" / table.config, "--run_dir": run, "--seed_everything": seed, "--data.init_args.seed": seed,
        **_splits(layout), "--data.init_args.val": layout.data / "test",
    }  # fmt: skip
    if table.slots is not None:
        flags["--model.init_args.tokenizer"] = layout.tokenizer / "last.ckpt"
    if steps is not None:
        flags |= {f"--{key}": steps for key in ("trainer.max_steps", "trainer.val_check_interval", "checkpoint.every_n_train_steps")}
        flags |= {f"--{key}": value for key, value in shortened(table.config, steps).items()}
    flags |= {f"--{key}": value for key, value in {**table.shared, **table.rows[row]}.items()}
    arguments = (str(root() / "train.py"), "fit", *words(flags))
    return Phase(
        f"train {name}",
        f"train: {name}",
        arguments,
        needs=("data" if table.slots is None else "vqvae",),
        steps=steps,
        run_dir=run,
        weight=110.0,
    )


@cache
def shortened(config: str, steps: int) -> dict[str, object]:
    """What so many steps change in a config: those that teach the motion decoder alone keep their share, or no picture is learned."""
    content = yaml.safe_load(config_path(config).read_text(encoding="utf-8"))
    alone = content["model"]["init_args"].get("config", {}).get("heatmap_steps", 0)
    return {f"{MODEL}heatmap_steps": round(alone * steps / content["trainer"]["max_steps"])} if alone else {}


def _measurement(table: Table, layout: Layout, row: str, seed: int) -> Phase:
    flags = {
        "--data": layout.data / "test", "--run": layout.run(row, seed), "--figures": layout.figures(row, seed), "--clips": table.clips,
        "--frames": table.frames, "--seed": seed,
    }  # fmt: skip
    arguments = ("-m", "xdancer.reproduce", table.measured, *words(flags))
    return Phase(f"measure {row} {seed}", f"measure: {row} {seed}", arguments, needs=(f"train {row} {seed}",), weight=30.0)


def _splits(layout: Layout) -> dict[str, object]:
    return {f"--data.init_args.{split}": layout.data / split for split in ("train", "val", "test")}


def words(flags: dict[str, object]) -> Sequence[str]:
    """Flags as words of a command line."""
    return [word for name, value in flags.items() for word in (name, str(value))]
