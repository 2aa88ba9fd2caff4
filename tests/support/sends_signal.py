"""A callback for tests of interruption."""

import os
import signal
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class SendsSignal(Callback):
    """Sends its own process a signal in the middle of the step after which `step` steps are done."""

    def __init__(self, step: int, name: str) -> None:
        self.step, self.signal = step, signal.Signals[name]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step + 1 == self.step:
            os.kill(os.getpid(), self.signal)
