"""A line of progress now and then where there is no terminal for a bar."""

import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info


class PlainProgress(Callback):
    """Prints step, loss and speed every `seconds`; silent on a terminal, where the bar is."""

    def __init__(self, seconds: float = 20.0) -> None:
        self.seconds = seconds
        self._started = self._last = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = self._last = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = time.monotonic()
        done = trainer.global_step >= trainer.max_steps > 0
        if sys.stderr.isatty() or (now - self._last < self.seconds and not done):
            return
        self._last = now
        loss = trainer.callback_metrics.get("train/loss")
        speed = (trainer.global_step - self._first_step) / max(now - self._started, 1e-9)
        of = f"/{trainer.max_steps}" if trainer.max_steps > 0 else ""
        rank_zero_info(f"step {trainer.global_step}{of}" + (f"  loss {float(loss):.4f}" if loss is not None else "") + f"  {speed:.2f} steps/s")
