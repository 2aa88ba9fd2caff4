"""A callback for tests that interrupt a run."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class SlowSteps(Callback):
    """Makes every step take that many seconds longer."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        time.sleep(self.seconds)
