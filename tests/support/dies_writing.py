"""A way of writing checkpoints that a kill meets in the middle, for tests of resuming."""

import os
import signal
import time
from typing import Any, BinaryIO

import torch

from callbacks.checkpoint_io import WholeCheckpointIO


class DiesWriting(WholeCheckpointIO):
    """Writes in the background; its process is killed when the given checkpoint is half written."""

    def __init__(self, number: int) -> None:
        super().__init__(background=True)
        self.left = number

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None) -> None:
        self.left -= 1
        if self.left == 0:
            self.finish()
            torch.save = _die
        super().save_checkpoint(checkpoint, path)


def _die(_checkpoint: dict[str, Any], file: BinaryIO) -> None:
    file.write(b"half")
    file.flush()
    time.sleep(0.1)  # training goes on
    os.kill(os.getpid(), signal.SIGKILL)
