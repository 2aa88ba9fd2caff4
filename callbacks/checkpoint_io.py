"""Checkpoints that are whole or not there, written at once or by a thread."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor
from torch.utils._pytree import tree_leaves

from xdancer.files import whole


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames: a full disk or a killed job leaves the earlier checkpoint and no half one.

    Lightning's own gathers the file in memory, writes it to the system's temporary folder and copies it from there.

    Args:
        background: copy the checkpoint into the CPU's memory and let one thread write it, link and remove, in that order, while training goes
            on. A save waits for the one before, so that there is one copy at most. What goes wrong in the thread is raised by the next save
            or where the run ends, and nothing is linked or removed for a file that could not be written. Of checkpoints that FSDP writes as
            folders nothing passes here.
    """

    def __init__(self, background: bool = False) -> None:
        super().__init__()
        self.background = background
        self._thread: ThreadPoolExecutor | None = None
        self._newest: Future[None] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None) -> None:
        self.finish()
        self._in_order(_write, copied(checkpoint) if self.background else checkpoint, Path(path))

    def link(self, source: Path, target: Path) -> None:
        """Give a written checkpoint a second name, in one stroke; a copy where the file system has no hard links."""
        self._in_order(_link, source, target)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        self._in_order(super().remove_checkpoint, path)

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self.finish()
        return super().load_checkpoint(*args, **kwargs)

    def finish(self) -> None:
        """Wait until everything stands.

        Raises:
            OSError: it could not be written.
        """
        newest, self._newest = self._newest, None
        if newest is not None:
            newest.result()

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            if self._thread is not None:
                self._thread.shutdown()
                self._thread = None

    def _in_order(self, work: Callable[..., None], *arguments: Any) -> None:
        if not self.background:
            work(*arguments)
            return
        before = self._newest

        def behind() -> None:
            if before is not None:
                before.result()
            work(*arguments)

        if self._thread is None:  # not in the constructor: a strategy may send this object to other processes
            self._thread = ThreadPoolExecutor(1, "xdancer-checkpoint")
        self._newest = self._thread.submit(behind)


def copied(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint as it is now, in the CPU's memory; on the CPU, tensors that share memory share it in the copy, too.

    Tensors that share none are copied here: deepcopy takes four times as long over them.
    """
    tensors = [leaf for leaf in tree_leaves(checkpoint) if isinstance(leaf, Tensor)]
    users = Counter(tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.device.type == "cpu")
    copies = {}
    for tensor in tensors:
        if tensor.device.type != "cpu":
            copies[id(tensor)] = tensor.cpu()
        elif users[tensor.untyped_storage().data_ptr()] == 1:
            copies[id(tensor)] = tensor.clone()
    return deepcopy(checkpoint, copies)


def _write(checkpoint: dict[str, Any], target: Path) -> None:
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


def _link(source: Path, target: Path) -> None:
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
