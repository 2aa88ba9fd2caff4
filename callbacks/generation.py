"""What callbacks that generate during validation share: when to run, with which weights, and that a failing figure never ends a run."""

import logging
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng

log = logging.getLogger(__name__)


def step_precision(trainer: Trainer) -> AbstractContextManager[None]:
    """The number formats of the run's steps, which Lightning sets for steps alone: frozen weights in 16 bits need them to render."""
    return trainer.precision_plugin.forward_context()


def sums_device(pl_module: LightningModule) -> torch.device:
    """Where sums over the ranks are kept: beside the module, or on the CPU where its device has no doubles."""
    return torch.device("cpu") if pl_module.device.type == "mps" else pl_module.device


class GenerationCallback(Callback):
    """Generates samples in every n-th validation and logs figures of them.

    A subclass gives `measure` (this rank's share, no communication) and `collect` (figures over all ranks, called on every rank). `measure`
    runs behind the last validation batch, so that averaged weights (Lightning's EMA callback swaps them in for the epoch) are still in
    place whatever the order of the callbacks. Random states are put back afterwards: training draws the same numbers with and without it.

    Args:
        every_n_validations: 1 = in each.
        every_n_steps: instead, in the first validation that many optimiser steps after the last one with figures.
        budget_seconds: of one `measure` on each rank; what does not fit in is left out, and the logged n says how much was measured.
    """

    def __init__(self, *, every_n_validations: int = 1, every_n_steps: int | None = None, budget_seconds: float | None = None) -> None:
        for name, value in (("every_n_validations", every_n_validations), ("every_n_steps", every_n_steps)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if budget_seconds is not None and budget_seconds <= 0:
            raise ValueError(f"budget_seconds must be more than 0, got {budget_seconds}.")
        self.every_n_validations, self.every_n_steps, self.budget_seconds = every_n_validations, every_n_steps, budget_seconds
        self._validations = 0
        self._last_step: int | None = None
        self._began = 0.0
        self._state: bool | None = None  # None: not measured yet, else whether it succeeded
        self._told: set[str] = set()

    def measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Generate and measure this rank's share."""
        raise TypeError(f"{type(self).__name__} must say what it measures.")

    def collect(self) -> Mapping[str, float]:
        """Figures over all ranks by log key; those that are not finite are left out of the log and named once."""
        return {}

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx + 1 == trainer.num_val_batches[dataloader_idx] and dataloader_idx + 1 == len(trainer.num_val_batches):
            self._measure_once(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        if self._due(trainer):
            self._measure_once(trainer, pl_module)  # a rank without a batch, or a loader without a length
            if trainer.strategy.reduce_boolean_decision(bool(self._state), all=True):
                self._log(trainer, pl_module)
            self._state = None
            self._last_step = trainer.global_step
        self._validations += 1

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self._validations, "last_step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._validations, self._last_step = state_dict["validations"], state_dict["last_step"]

    def _due(self, trainer: Trainer) -> bool:
        if self.every_n_steps is None:
            return self._validations % self.every_n_validations == 0
        return self._last_step is None or trainer.global_step - self._last_step >= self.every_n_steps

    def within_budget(self, done: int, total: int, what: str) -> bool:
        """Whether there is time for the next sample; if not, that is said once. The first is always measured."""
        if self.budget_seconds is None or not done or time.monotonic() - self._began < self.budget_seconds:
            return True
        self._say(f"{type(self).__name__}: the budget of {self.budget_seconds:g} s is spent after {done} of {total} {what}.")
        return False

    def _measure_once(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._state is None and self._due(trainer) and not trainer.sanity_checking:
            self._began = time.monotonic()
            try:
                with isolate_rng():
                    self.measure(trainer, pl_module)
                self._state = True
            except Exception as error:  # a figure must never cost a training run
                self._tell(error)
                self._state = False

    def _log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        try:
            figures = self.collect()
        except Exception as error:  # see above; the same on every rank, behind all communication
            self._tell(error)
            return
        unknown = [name for name, value in figures.items() if not math.isfinite(value)]
        if unknown and trainer.is_global_zero:
            self._say(f"{type(self).__name__}: not logged, for there was too little to tell them by: {', '.join(unknown)}")
        pl_module.log_dict({name: value for name, value in figures.items() if name not in unknown}, sync_dist=True)

    def _tell(self, error: Exception) -> None:
        self._say(f"{type(self).__name__}: no figures in this validation: {type(error).__name__}: {error}")

    def _say(self, reason: str) -> None:
        """Each reason once."""
        if reason not in self._told:
            self._told.add(reason)
            log.warning(reason)
