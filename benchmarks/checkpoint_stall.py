"""What checkpoints cost a run: the real trainer on configs/demo/gpt.yaml, saving every 200 steps at once, in the background, and not at all.

    python benchmarks/checkpoint_stall.py [--steps 400] [--every 200] [--runs 1] [--saves 20]

Embedded dances of 6 s and a tokenizer of three steps; one thread; no validation. Every run is a process of its own, the sides take turns. The
last step, behind which every run saves, does not count, nor do the first five. Rows: the median step against a run that does not save, by wall
clock and by CPU time of the process (its writing thread counted); all steps together with their saves; what training waits for one save in
the run; and by turns on the finished run's checkpoint, writing at once (write, fsync, rename, link) against `background: true` and against
Lightning's AsyncCheckpointIO around the same writer, which leaves out the link. `share`: of the time between two saves.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _measure import own_process, print_row
from lightning.pytorch import Callback, LightningModule, Trainer

SIDES = {"never": None, "at once": False, "background": True}
"""Whether a thread writes; None: nothing is saved."""
FIRST = 5
"""Steps of a run that do not count."""


class StepClock(Callback):
    """Wall and CPU seconds from the start of a step to the start of the next."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.marks.append((time.perf_counter(), time.process_time()))


def prepare(folder: Path) -> None:
    """The data and a tokenizer that has hardly been trained."""
    from xdancer.cli import main as train
    from xdancer.embedded.build import EmbeddedConfig, build_embedded

    embedded = EmbeddedConfig(
        train_clips=12, val_clips=2, test_clips=2, seconds=6.0, video_clips=0, evaluation_video_clips=0, features=("librosa",)
    )
    build_embedded(folder / "data", embedded, workers=1, progress=False)
    train([*command("vqvae", folder, "tokenizer"), "--trainer.max_steps", "3"])


def command(stage: str, folder: Path, run_dir: str) -> list[str]:
    """The demo's training of a stage on the folder's data, without validation."""
    data = [word for split in ("train", "val", "test") for word in (f"--data.init_args.{split}", str(folder / "data" / split))]
    quiet = ["--trainer.limit_val_batches", "0", "--trainer.num_sanity_val_steps", "0", "--trainer.enable_model_summary", "false"]
    named = ["--run_dir", str(folder / run_dir), *data, "--data.init_args.embedded", "null", *quiet]
    return ["fit", "--config", f"configs/demo/{stage}.yaml", *named]


def work(side: str, folder: Path, steps: int, every: int) -> None:
    """One run; prints the seconds of its steps and of its saves."""
    from xdancer.cli import main as train
    from xdancer.cli.checkpoints import StepCheckpoint

    saves, save = list[float](), StepCheckpoint._save

    def timed(self: StepCheckpoint, trainer: Trainer) -> None:
        begin = time.perf_counter()
        save(self, trainer)
        saves.append(time.perf_counter() - begin)

    StepCheckpoint._save = timed
    background = SIDES[side]
    options = ["--model.init_args.tokenizer", str(folder / "tokenizer/last.ckpt"), "--trainer.max_steps", str(steps + 1)]
    options += ["--checkpoint.every_n_train_steps", str(10 * steps if background is None else every)]
    clock = {"class_path": "checkpoint_stall.StepClock"}
    writer = {"class_path": "callbacks.checkpoint_io.WholeCheckpointIO", "init_args": {"background": bool(background)}}
    options += ["--trainer.callbacks+", json.dumps(clock), "--trainer.plugins", json.dumps(writer)]
    done = train([*command("gpt", folder, f"run {side}"), *options])
    marks = next(callback for callback in done.trainer.callbacks if type(callback).__name__ == "StepClock").marks
    spans = [
        tuple(after - before for before, after in zip(*pair, strict=True)) for pair in zip(marks[FIRST:], marks[FIRST + 1 :], strict=False)
    ]
    print(json.dumps({"wall": [wall for wall, _ in spans], "cpu": [cpu for _, cpu in spans], "saves": saves[: steps // every]}))


def stalls(checkpoint: Path, folder: Path, saves: int) -> dict[str, float]:
    """Median seconds that a save takes from training, the ways of writing in turn."""
    from lightning.pytorch.plugins.io import AsyncCheckpointIO

    from callbacks.checkpoint_io import WholeCheckpointIO

    state, target, last = torch.load(checkpoint, weights_only=True), folder / "a.ckpt", folder / "last.ckpt"
    ways: dict[str, Any] = {
        "at once": WholeCheckpointIO(), "background": WholeCheckpointIO(background=True), "lightning": AsyncCheckpointIO(WholeCheckpointIO()),
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(saves + 1):
        for name, way in ways.items():
            begin = time.perf_counter()
            way.save_checkpoint(state, target)
            if name != "lightning":
                way.link(target, last)
            seconds[name].append(time.perf_counter() - begin)
            way.teardown()  # waits for the thread
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def show(found: dict[str, dict[str, list[float]]], parts: dict[str, float], *, every: int, size: int, saves: int) -> None:
    """All rows."""
    never, count = found["never"], len(found["never"]["wall"])
    step = statistics.median(never["wall"])
    for side in ("at once", "background"):
        mine, stall = found[side], statistics.median(found[side]["saves"])
        for clock in ("wall", "cpu"):
            ours, theirs = statistics.median(mine[clock]), statistics.median(never[clock])
            row = {"ours": ours, "reference": theirs, "ratio": theirs / ours, "target": 1 / 1.03, "steps": count}
            print_row(f"median step, saving every {every} {side} against never, {clock} s", **row)
        ours, theirs = sum(mine["wall"]), sum(never["wall"])
        print_row(f"all steps, {side} against never, wall s", ours=ours, reference=theirs, ratio=theirs / ours, target=1 / 1.03, steps=count)
        budget = 0.03 * every * step
        row = {"ours": stall, "reference": budget, "ratio": budget / stall, "target": 1, "saves": len(mine["saves"])}
        share = {"share": stall / (every * step), "megabytes": size / 1e6}
        print_row(f"training waits for one save {side}, s; reference: 3 % of {every} median steps", **row, **share)
    for side in ("background", "lightning"):
        row = {"ours": parts[side], "reference": parts["at once"], "ratio": parts["at once"] / parts[side], "target": 2}
        print_row(f"training waits for one save, {side} against at once, s", **row, saves=saves, megabytes=size / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="of a run, and one more")
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--saves", type=int, default=20, help="of each way on the finished run's checkpoint")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # callbacks
    if arguments.side:
        work(arguments.side, arguments.folder, arguments.steps, arguments.every)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        found: dict[str, dict[str, list[float]]] = {side: {"wall": [], "cpu": [], "saves": []} for side in SIDES}
        for _ in range(arguments.runs):
            for side in SIDES:
                options = {"side": side, "folder": folder, "steps": arguments.steps, "every": arguments.every}
                for key, values in own_process(__file__, options).items():
                    found[side][key] += values
        last = folder / "run at once/last.ckpt"
        parts = stalls(last, folder, arguments.saves)
        show(found, parts, every=arguments.every, size=last.stat().st_size, saves=arguments.saves)


if __name__ == "__main__":
    main()
