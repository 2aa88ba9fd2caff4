"""Checkpoints that are whole or not there."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from xdancer.files import whole


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames: a full disk or a killed job leaves the earlier checkpoint and no half one.

    Lightning's own gathers the file in memory, writes it to the system's temporary folder and copies it from there.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None) -> None:
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target.parent)
            with whole(target) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__  # torch raises an error of its own on top of the system's
            if not isinstance(cause, OSError):
                raise
            raise OSError(cause.errno, cause.strerror, str(target)) from error

    def link(self, source: Path, target: Path) -> None:
        """Give a written checkpoint a second name, in one stroke; a copy where the file system has no hard links."""
        _sweep(target.parent)
        with whole(target) as temporary:
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)


def _sweep(folder: Path) -> None:
    """Remove what a job left that was killed while it wrote; a run's folder has one writer."""
    for left in folder.glob(".*.ckpt.*.part"):
        left.unlink(missing_ok=True)
