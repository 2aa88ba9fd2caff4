"""Error of the tokenizer on whole held-out clips, in per cent of body height and in pixels."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from callbacks.generation import GenerationCallback, sums_device
from xdancer.metrics.means import Means
from xdancer.metrics.pose import percent_errors_of_set, pixel_errors_of_set
from xdancer.types import ClipSample, PoseBatch


class PoseMetrics(GenerationCallback):
    """Logs `val/full_percent`, `val/head_percent`, `val/hands_percent`, … (visible keypoints of encoded and decoded clips, % of the clip's body
    height) and `val/full_px`, `val/head_px`, `val/hands_px`, … (pixels of an 896 × 512 frame): the groups of `keypoint_errors`.

    Args:
        clips: how many clips of the validation split; every rank takes all of them, so keep the number small.
        every_n_validations: 1 = in each.
        every_n_steps: instead, so many optimiser steps apart at least.
        budget_seconds: for decoding, on each rank.
    """

    def __init__(
        self, clips: int = 16, *, every_n_validations: int = 1, every_n_steps: int | None = None, budget_seconds: float | None = None
    ) -> None:
        super().__init__(every_n_validations=every_n_validations, every_n_steps=every_n_steps, budget_seconds=budget_seconds)
        self.clips = clips
        self._samples: list[ClipSample] | None = None

    def measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._samples is None:
            self._samples = list(trainer.datamodule.evaluation_clips(self.clips, split="val"))  # pyright: ignore[reportAttributeAccessIssue]
        model: Any = pl_module.model
        pairs = []
        with torch.no_grad():
            for clip in self._samples:
                if not self.within_budget(len(pairs), len(self._samples), "clips"):
                    break
                target = PoseBatch.from_array(clip.pose).to(pl_module.device)
                pairs.append((model.decode(model.encode(target)).to_array(), clip.pose))
        percent, pixels = percent_errors_of_set(pairs), pixel_errors_of_set(pairs)
        figures = {f"val/{name}_percent": value for name, value in percent.items()}
        figures |= {f"val/{name}_px": value for name, value in pixels.items()}
        self._means = Means(list(figures)).to(sums_device(pl_module))  # over the ranks: with a budget each has its own clips
        self._means.update(figures)

    def collect(self) -> Mapping[str, float]:
        return self._means.compute()
