"""Learning-rate schedule of all stages, per optimizer step: warm-up, then constant or cosine decay."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class LRSchedule:
    """Factor on the optimizer's learning rate over a run."""

    warmup_steps: int = 0
    """Steps of linear warm-up."""
    decay: Literal["constant", "cosine"] = "constant"
    """What follows the warm-up."""
    final_ratio: float = 0.0
    """Share of the learning rate that is left at the end of a cosine decay."""

    def __post_init__(self) -> None:
        if self.warmup_steps < 0 or not 0 <= self.final_ratio <= 1:
            raise ValueError(f"lr_schedule needs warmup_steps ≥ 0 and 0 ≤ final_ratio ≤ 1, got {self.warmup_steps} and {self.final_ratio}.")

    def factor(self, step: int, total_steps: int) -> float:
        """Factor at a step of a run of `total_steps` (infinite runs: pass 0, they decay never)."""
        warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
        if self.decay == "constant" or total_steps <= self.warmup_steps:
            return warm
        progress = min(1.0, max(0.0, (step - self.warmup_steps) / (total_steps - self.warmup_steps)))
        return warm * (self.final_ratio + (1 - self.final_ratio) * 0.5 * (1 + math.cos(math.pi * progress)))


class SharedOptimizer:
    """The optimizer callable of a module that gets copied: the copy of an average shares it.

    The command line's callable refers to the whole command line with its trainer, which a deep copy would copy, too, and under DDP cannot.
    """

    def __init__(self, make: Callable[[Iterable[Any]], Optimizer]) -> None:
        self.make = make

    def __call__(self, parameters: Iterable[Any]) -> Optimizer:
        return self.make(parameters)

    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedOptimizer":
        return self


class ScheduledLR(LambdaLR):
    """Keeps only the step count in checkpoints: a resumed run obeys the learning rate, weight decay, … of its own command line.

    PyTorch restores an optimizer's options with its state and LambdaLR its base rates, which would silently overrule the new ones.
    """

    def __init__(self, optimizer: Optimizer, schedule: LRSchedule, total_steps: int) -> None:
        self._options = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
        super().__init__(optimizer, lambda step: schedule.factor(step, total_steps))

    def state_dict(self) -> dict[str, Any]:
        return {"last_epoch": self.last_epoch, "_step_count": self._step_count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_epoch, self._step_count = state_dict["last_epoch"], state_dict["_step_count"]
        for group, options, base, factor in zip(self.optimizer.param_groups, self._options, self.base_lrs, self.lr_lambdas, strict=True):
            group.update(options, initial_lr=base, lr=base * factor(self.last_epoch))
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


def scheduled(optimizer: Optimizer, schedule: LRSchedule, total_steps: int | float) -> dict[str, Any]:
    """What a LightningModule's `configure_optimizers` returns; pass `trainer.estimated_stepping_batches` as `total_steps`."""
    steps = 0 if math.isinf(total_steps) else int(total_steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": ScheduledLR(optimizer, schedule, steps), "interval": "step"}}
