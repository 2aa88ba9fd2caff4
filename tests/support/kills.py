"""Kill a training run at random moments, resume it, and compare what it leaves with the run that nobody disturbed, bit by bit.

    python tests/support/kills.py --kills 50 --out FOLDER [--seed 0] [--stages vqvae gpt video] [--ranks 1 2] [--background]

Runs are children of this process, which has imported everything before: they start in a fraction of a second. Two ranks are two children
that meet over gloo.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from xdancer.cli import main
from xdancer.cli.interruption import STOPPED
from xdancer.embedded.build import EmbeddedConfig, build_embedded

EMBEDDED = EmbeddedConfig(
    train_clips=6, val_clips=2, test_clips=1, seconds=4.0, video_clips=4, evaluation_video_clips=1, size=32, features=("librosa",)
)  # fmt: skip
STEPS = 10
SMALL_TOKENIZER = {"slots": 1, "codes": 16, "encoder_width": 8, "encoder_depth": 1, "decoder_width": 16, "decoder_depth": 1}
EMA = {"class_path": "callbacks.ema.DeviceEMAWeightAveraging", "init_args": {"decay": 0.5, "use_buffers": False}}
ADAMW = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}
SCHEDULE = {"warmup_steps": 3, "decay": "cosine"}
BACKGROUND = ["--trainer.plugins", "{class_path: callbacks.checkpoint_io.WholeCheckpointIO, init_args: {background: true}}"]
FOLDERS = {split: f"data/{split}" for split in ("train", "val", "test")}


def configs() -> dict[str, dict[str, Any]]:
    """The three stages at toy size, with all that a checkpoint holds: averages, schedules, codebooks, dropout, augmentation, callbacks."""
    trainer = {
        "accelerator": "cpu", "devices": 1, "max_steps": STEPS, "val_check_interval": 3, "check_val_every_n_epoch": None,
        "log_every_n_steps": 1, "enable_model_summary": False, "num_sanity_val_steps": 0, "limit_val_batches": 1, "enable_progress_bar": False,
    }  # fmt: skip

    def stage(module: str, config: Mapping[str, Any], data: Mapping[str, Any], callbacks: list[Any], **model: Any) -> dict[str, Any]:
        return {
            "seed_everything": 0, "run_dir": "run", "trainer": {**trainer, "callbacks+": callbacks}, "checkpoint": {"every_n_train_steps": 2},
            "model": {
                "class_path": f"xdancer.{module}",
                "init_args": {"config": dict(config), "optimizer": ADAMW, "lr_schedule": SCHEDULE, **model},
            },
            "data": {"class_path": data["class_path"], "init_args": {**FOLDERS, "num_workers": 2, **data["init_args"]}},
        }  # fmt: skip

    motion = "datamodules.motion.MotionDataModule"
    gpt = {
        "layers": 1, "heads": 2, "width": 16, "frames": 8, "context_frames": 2, "overlap_frames": 2, "slots": 1,
        "music_features": {"librosa": 35}, "dropout": 0.2, "token_noise": 0.1, "codes": 16,
    }  # fmt: skip
    video = {
        "height": 32, "width": 32, "patch_size": 8, "latent_channels": 8, "block_out_channels": [8, 16], "attention_levels": [True, True],
        "layers_per_block": 1, "attention_heads": 2, "cross_attention_dim": 8, "norm_groups": 4, "motion_map": [2, 2],
        "motion_channels": [8, 16], "motion_width": 16, "motion_layers": 1, "motion_heads": 2, "condition_drop": 0.5, "codes_width": 30,
    }  # fmt: skip
    usage = {"class_path": "callbacks.codebook_usage.CodebookUsage"}
    found = {
        "vqvae": stage(
            "vqvae.module.VQVAEModule", {**SMALL_TOKENIZER, "revival_share": 0.5},
            {"class_path": motion, "init_args": {"stage": "vqvae", "batch_size": 16}}, [usage],
        ),
        "gpt": stage(
            "motion_gpt.module.MotionGPTModule", gpt,
            {
                "class_path": motion,
                "init_args": {
                    "stage": "gpt", "batch_size": 2, "segment_frames": 8, "history_frames": 12, "context_frames": 2, "features": ["librosa"],
                },
            },
            [EMA, {"class_path": "callbacks.samples.Samples", "init_args": {"clips": 1, "seconds": 0.5, "every_n_validations": 2}}],
            tokenizer="vqvae.ckpt",
        ),
        "video": stage(
            "video_diffusion.module.VideoDiffusionModule", video,
            {"class_path": "datamodules.video.VideoDataModule", "init_args": {"batch_size": 1, "frames": 2, "consecutive": False}},
            [EMA], tokenizer="vqvae.ckpt",
        ),
    }  # fmt: skip
    found["gpt"]["trainer"]["accumulate_grad_batches"] = 2
    return found


def prepare(folder: Path) -> None:
    """The data, one config per stage, and the tokenizer of stages 2 and 3, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data/train/manifest.json").is_file():
        build_embedded(folder / "data", EMBEDDED, workers=1, progress=False)
    for name, config in configs().items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    if not (folder / "vqvae.ckpt").is_file():
        assert run(folder, "vqvae", "tokenizer") == [0]
        os.replace(folder / "tokenizer/last.ckpt", folder / "vqvae.ckpt")


def start(folder: Path, stage: str, run_dir: str, *, world: int = 1, options: Iterable[str] = ()) -> list[int]:
    """Start a run, new or resumed, as `world` children; their process numbers."""
    port = _free_port()
    return [_fork(folder, stage, run_dir, rank=rank, world=world, port=port, options=options) for rank in range(world)]


def finish(children: Iterable[int]) -> list[int]:
    """Wait for children; their exit codes, negative for a signal. As launchers do, one that a signal ended takes the others with it."""
    codes: dict[int, int | None] = dict.fromkeys(children)
    while None in codes.values():
        for child in [child for child, code in codes.items() if code is None]:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                codes[child] = os.waitstatus_to_exitcode(status)
                for other in [other for other, code in codes.items() if code is None and (codes[child] or 0) < 0]:
                    os.kill(other, signal.SIGKILL)
        time.sleep(0.05)
    return [code for code in codes.values() if code is not None]


def run(folder: Path, stage: str, run_dir: str, *, world: int = 1, options: Iterable[str] = ()) -> list[int]:
    """A run from start to end; the exit codes of its ranks."""
    return finish(start(folder, stage, run_dir, world=world, options=options))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _fork(folder: Path, stage: str, run_dir: str, *, rank: int, world: int, port: int, options: Iterable[str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    if child := os.fork():
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        with open(f"{run_dir}.{rank}.log", "ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        torch.set_num_threads(1)
        arguments = ["fit", "--config", f"{stage}.yaml", "--run_dir", run_dir, "--ckpt_path", "last", *options]
        if world > 1:
            os.environ |= {
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world), "NODE_RANK": "0", "LOCAL_RANK": str(rank)
            }  # fmt: skip
            arguments += ["--trainer.devices", str(world), "--trainer.strategy", "ddp"]
        main(arguments)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def state(folder: Path, run_dir: str) -> dict[str, Any]:
    """All that a finished run leaves: its last checkpoint and its table of figures. Paths are those of the run's own folder."""
    path = folder / run_dir
    content = torch.load(path / "last.ckpt", weights_only=True)
    for name in [name for name in content["callbacks"] if name.startswith("StepCheckpoint")]:
        del content["callbacks"][name]  # which checkpoints there are: a signal adds one
    return {"checkpoint": _relative(content, str(path.resolve())), "metrics": (path / "metrics.csv").read_text()}


def _relative(value: Any, folder: str) -> Any:
    if isinstance(value, Mapping):
        return {_relative(key, folder): _relative(item, folder) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_relative(item, folder) for item in value]
    return value.replace(folder, "RUN") if isinstance(value, str) else value


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two states differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = list(dict.fromkeys([*one, *other]))
        return [line for key in keys for line in differences(one.get(key, "missing"), other.get(key, "missing"), f"{path}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [line for number, pair in enumerate(zip(one, other, strict=True)) for line in differences(*pair, f"{path}/{number}")]
    if torch.is_tensor(one) and torch.is_tensor(other):
        same = one.dtype == other.dtype and one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())
        return [] if same else [f"{path}: tensors differ"]
    return [] if one == other and type(one) is type(other) else [f"{path}: {str(one)[:120]} | {str(other)[:120]}"]


def survive(
    folder: Path, stage: str, run_dir: str, *, world: int, seconds: float, numbers: random.Random, kills: int, options: list[str]
) -> dict[str, int]:  # fmt: skip
    """Start a run and kill it up to `kills` times at a random moment of its `seconds`, then let it end; how often each signal hit.

    Every start has another number of reading threads.
    """
    hits = {"SIGKILL": 0, "SIGTERM": 0, "SIGUSR1": 0}
    while sum(hits.values()) < kills:
        name = numbers.choice(list(hits))
        children = start(folder, stage, run_dir, world=world, options=[*options, "--data.init_args.num_workers", str(numbers.randint(0, 3))])
        time.sleep(numbers.uniform(0.1, 1.0) * seconds)
        target = numbers.sample(children, numbers.randint(1, world))  # one rank or both
        with contextlib.suppress(ProcessLookupError):
            for child in target if name != "SIGKILL" else children:
                os.kill(child, getattr(signal, name))
        codes = finish(children)
        if set(codes) == {0}:
            break  # it was faster
        early = -getattr(signal, name)  # before the run listens
        assert codes[0] == STOPPED or early in codes, codes
        hits[name] += 1
    while (codes := run(folder, stage, run_dir, world=world, options=options)) != [0] * world:
        raise AssertionError(f"{stage}: the resumed run ended with {codes}; see {folder / run_dir}.0.log")
    return hits


def study(out: Path, kills: int, seed: int, cases: list[tuple[str, int]], options: list[str]) -> list[dict[str, Any]]:
    """Stages on one or two ranks until `kills` kills are done; a row each. `options` are of the killed runs alone."""
    prepare(out)
    numbers, rows = random.Random(seed), []
    for stage, world in cases:
        begun = time.monotonic()
        assert run(out, stage, f"whole_{stage}_{world}", world=world) == [0] * world
        seconds, expected = time.monotonic() - begun, state(out, f"whole_{stage}_{world}")
        row: dict[str, Any] = {"stage": stage, "ranks": world, "kills": 0, "runs": 0, "equal": 0, "SIGKILL": 0, "SIGTERM": 0, "SIGUSR1": 0}
        while row["kills"] < -(-kills // len(cases)):
            name = f"killed_{stage}_{world}_{row['runs']}"
            hits = survive(out, stage, name, world=world, seconds=seconds, numbers=numbers, kills=3, options=options)
            found = differences(expected, state(out, name))
            row = {**row, **{key: row[key] + value for key, value in hits.items()}, "runs": row["runs"] + 1}
            row |= {"kills": row["kills"] + sum(hits.values()), "equal": row["equal"] + (not found)}
            if found:
                print(json.dumps({"run": name, "differences": found[:10]}), flush=True)
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", nargs="+", default=list(configs()))
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--background", action="store_true", help="killed runs write their checkpoints in a thread")
    given = parser.parse_args()
    cases = [(stage, world) for stage in given.stages for world in given.ranks]
    found = study(given.out.resolve(), given.kills, given.seed, cases, BACKGROUND if given.background else [])
    sys.exit(0 if all(row["equal"] == row["runs"] for row in found) else 1)
