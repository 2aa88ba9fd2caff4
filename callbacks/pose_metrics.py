"""Error of the tokenizer on whole held-out clips, in per cent of body height and in pixels."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from xdancer.metrics.pose import percent_errors_of_set, pixel_errors_of_set
from xdancer.types import ClipSample, PoseBatch


class PoseMetrics(Callback):
    """Logs `val/full_percent`, `val/head_percent`, `val/hands_percent`, … (visible keypoints of encoded and decoded clips, % of the clip's body
    height) and `val/full_px`, `val/head_px`, `val/hands_px`, … (pixels of an 896 × 512 frame): the groups of `keypoint_errors`.

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
        percent, pixels = percent_errors_of_set(pairs), pixel_errors_of_set(pairs)
        log = {f"val/{name}_percent": value for name, value in percent.items()} | {f"val/{name}_px": value for name, value in pixels.items()}
        pl_module.log_dict(log, sync_dist=True)
