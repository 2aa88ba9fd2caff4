"""Means of named figures over samples and ranks."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric


class Means(Metric):
    """Mean of each named figure over the samples that have it; a value that is not finite (no beats, an empty region) is not counted.

    `compute()` gives the mean by name, NaN where no sample had the figure.

    Args:
        names: of the figures.
    """

    full_state_update = False
    totals: Tensor
    seen: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.add_state("totals", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Mapping[str, float]) -> None:
        """Add the figures of one sample, all or some of them."""
        for place, name in enumerate(self.names):
            value = values.get(name, float("nan"))
            if np.isfinite(value):
                self.totals[place] += value
                self.seen[place] += 1

    def compute(self) -> dict[str, float]:
        means = torch.where(self.seen > 0, self.totals / self.seen.clamp_min(1), torch.nan)
        return dict(zip(self.names, means.tolist(), strict=True))
