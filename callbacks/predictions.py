"""What `train.py predict` computes, as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from xdancer.files import whole


class SavePredictions(BasePredictionWriter):
    """Writes `<run_dir>/predictions/rank<rank>_<batch>.npy`: tokens of stages 1 and 2, pictures of stage 3."""

    def __init__(self) -> None:
        super().__init__(write_interval="batch")

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: Tensor, batch_indices: Sequence[int] | None, batch: Any, batch_idx: int,
        dataloader_idx: int,
    ) -> None:  # fmt: skip
        folder = Path(trainer.default_root_dir) / "predictions"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"rank{trainer.global_rank}_{batch_idx:06d}.npy"
        with whole(path) as part, part.open("wb") as file:
            np.save(file, prediction.detach().cpu().numpy(), allow_pickle=False)
