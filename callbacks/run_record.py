"""What made a run: `<run_dir>/run.json` with command, code version, package versions, data digest and upstream stages."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from xdancer.files import write_text

PACKAGES = ("xdancer", "torch", "lightning", "jsonargparse", "diffusers", "transformers", "librosa", "av", "numpy")


class RunRecord(Callback):
    """Keeps one entry per start of the run, the newest last, so that a resumed run shows all its commands.

    `ended`: the run is done. `stopped` and why: a signal or an error ended this start. Neither: it was killed, or trains still.
    """

    def __init__(self) -> None:
        self._open = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open = True
        self._write(trainer, [] if trainer.ckpt_path is None else _read_starts(_path(trainer)), _start(trainer, pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (finish := getattr(trainer.strategy.checkpoint_io, "finish", None)) is not None:
            finish()  # ended is a run whose last checkpoint stands
        self._close(trainer, pl_module, {"ended": _now()})

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._open:
            why = "signal" if isinstance(exception, SystemExit) else f"{type(exception).__name__}: {exception}"[:500]
            with contextlib.suppress(OSError):  # a full disk is what the exception says itself
                self._close(trainer, pl_module, {"stopped": _now(), "stopped_by": why})

    def _close(self, trainer: Trainer, pl_module: LightningModule, end: dict[str, Any]) -> None:
        self._open = False
        *earlier, newest = _read_starts(_path(trainer)) or [_start(trainer, pl_module)]
        self._write(trainer, earlier, {**newest, **end, "end_step": trainer.global_step})

    @rank_zero_only
    def _write(self, trainer: Trainer, earlier: list[dict[str, Any]], newest: dict[str, Any]) -> None:
        path = _path(trainer)
        path.parent.mkdir(parents=True, exist_ok=True)
        starts = [*earlier, newest]
        write_text(path, json.dumps({"starts": starts}, indent=2) + "\n")


def _path(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir) / "run.json"


def _start(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    hyper_parameters = dict(pl_module.hparams)
    return {
        "started": _now(),
        "command": [sys.executable, *sys.argv],
        "folder": os.getcwd(),
        "start_step": trainer.global_step,
        "resumed_from": None if trainer.ckpt_path is None else str(trainer.ckpt_path),
        "stage": hyper_parameters.get("stage"),
        "parameters": sum(parameter.numel() for parameter in pl_module.parameters()),
        "world_size": trainer.world_size,
        "precision": str(trainer.precision),
        "device": str(trainer.strategy.root_device),
        "git": git_version(),
        "versions": {"python": platform.python_version(), "platform": platform.platform(), **package_versions()},
        "data": data_digests(getattr(trainer, "datamodule", None)),
        "upstream": {name: value for name, value in hyper_parameters.items() if name.endswith("fingerprint")},
    }


def data_digests(datamodule: Any) -> dict[str, str | None]:
    """Folder of each split → sha256 of its manifest (which holds the sha256 of every shard); None without one."""
    found: dict[str, str | None] = {}
    for folder in getattr(datamodule, "folders", {}).values():
        manifest = Path(folder) / "manifest.json"
        found[str(folder)] = hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else None
    return found


def git_version() -> str | None:
    """Commit of the checkout that this file lies in, with `+changes` where it is edited; None outside git."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def package_versions() -> dict[str, str]:
    """Installed versions of what a result depends on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _read_starts(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(path.read_text())["starts"])
    except (OSError, ValueError, KeyError):
        return []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
