"""The learning rate over a run, and after a resume."""

import copy
import functools
import itertools
import threading

import pytest
import torch

from xdancer.schedule import LRSchedule, ScheduledLR, SharedOptimizer, scheduled


def test_warmup_then_cosine() -> None:
    schedule = LRSchedule(warmup_steps=3, decay="cosine", final_ratio=0.1)
    factors = [schedule.factor(step, 11) for step in range(12)]
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert factors[7] == pytest.approx(0.55)
    assert factors[11] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(factors[3:]))


def test_constant_and_endless_runs_never_decay() -> None:
    assert LRSchedule().factor(10**6, 100) == 1
    assert LRSchedule(decay="cosine").factor(10**6, 0) == 1


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match="final_ratio"):
        LRSchedule(final_ratio=2.0)


def test_a_resumed_run_obeys_the_new_options() -> None:
    def run(lr: float, weight_decay: float) -> tuple[torch.optim.AdamW, ScheduledLR]:
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=lr, weight_decay=weight_decay)
        return optimizer, scheduled(optimizer, LRSchedule(decay="cosine"), 10)["lr_scheduler"]["scheduler"]

    optimizer, scheduler = run(0.1, 0.5)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    again, resumed = run(0.2, 0.0)
    again.load_state_dict(optimizer.state_dict())  # PyTorch brings the old rate and decay along
    resumed.load_state_dict(scheduler.state_dict())
    assert again.param_groups[0]["lr"] == pytest.approx(0.1)  # half of the new rate
    assert again.param_groups[0]["weight_decay"] == 0
    again.step()
    resumed.step()
    assert again.param_groups[0]["lr"] == pytest.approx(0.2 * LRSchedule(decay="cosine").factor(6, 10))


def test_a_copied_module_shares_the_optimizer_callable() -> None:
    """It refers to the command line with its trainer, whose locks no copy can take (two processes with averaged weights)."""
    lock = threading.Lock()
    make = functools.partial(lambda parameters, held: torch.optim.SGD(parameters, lr=0.1), held=lock)
    shared = SharedOptimizer(make)
    assert copy.deepcopy({"optimizer": shared})["optimizer"] is shared
    assert isinstance(shared([torch.zeros(1, requires_grad=True)]), torch.optim.SGD)
