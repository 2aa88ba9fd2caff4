"""Error of the tokenizer in per cent of body height on whole held-out clips."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from xdancer.metrics.pose import percent_errors_of_set
from xdancer.types import ClipSample, PoseBatch


class PoseMetrics(Callback):
    """Logs `val/body_percent`, `val/hands_percent`, … (visible keypoints, % of the clip's body height) of encoded and decoded clips.

    Args:
        clips: how many clips of the validation split; every rank takes all of them, so keep the number small.
    """

    def __init__(self, clips: int = 16) -> None:
        self.clips = clips
        self._samples: list[ClipSample] | None = None

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        if self._samples is None:
            self._samples = list(trainer.datamodule.evaluation_clips(self.clips, split="val"))  # pyright: ignore[reportAttributeAccessIssue]
        model: Any = pl_module.model
        pairs = []
        with torch.no_grad():
            for clip in self._samples:
                target = PoseBatch.from_array(clip.pose).to(pl_module.device)
                pairs.append((model.decode(model.encode(target)).to_array(), clip.pose))
        log = {f"val/{name}_percent": value for name, value in percent_errors_of_set(pairs).items()}
        pl_module.log_dict(log, sync_dist=True)
