"""A callback for tests with several processes."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from xdancer.checkpoint import fingerprint


class RankWeights(Callback):
    """Writes the fingerprint of every rank's model to `<run_dir>/rank<n>.txt` behind the last step."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model: Any = pl_module.model
        Path(trainer.default_root_dir, f"rank{trainer.global_rank}.txt").write_text(fingerprint(model))
