"""Random numbers of ranks: rank 0 keeps the run's stream, every other rank has one of its own, and a resumed rank goes on with its own."""

import random
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything

from callbacks.random_state import RandomState, random_state

MODULE = Mock(spec=LightningModule, device=torch.device("cpu"))


def draw() -> tuple[float, ...]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()  # noqa: NPY002 - the global generators are the subject


def start(rank: int, *, step: int = 0, checkpoint: dict[str, Any] | None = None) -> tuple[float, ...]:
    """What a rank draws first after training has started."""
    seed_everything(3, verbose=False)
    callback, of_rank = RandomState(), Mock(spec=Trainer, global_rank=rank, global_step=step)
    if checkpoint is not None:
        callback.on_load_checkpoint(of_rank, MODULE, checkpoint)
    callback.on_train_start(of_rank, MODULE)
    callback.on_train_batch_start(of_rank, MODULE, None, 0)
    return draw()


@pytest.fixture
def checkpoint() -> dict[str, Any]:
    """States of two ranks."""
    states = []
    for seed in (11, 12):
        seed_everything(seed, verbose=False)
        states.append(random_state(MODULE.device))
    return {"random_states": states}


def test_rank_0_keeps_its_stream_and_others_have_their_own() -> None:
    seed_everything(3, verbose=False)
    alone = draw()
    assert start(0) == alone
    drawn = [alone, *(start(rank) for rank in (1, 2, 3))]
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 4
    assert start(1) == start(1)


def test_resumed_ranks_go_on_and_new_ranks_start_afresh(checkpoint: dict[str, Any]) -> None:
    expected = []
    for seed in (11, 12):
        seed_everything(seed, verbose=False)
        expected.append(draw())
    drawn = [start(rank, step=5, checkpoint=checkpoint) for rank in range(4)]
    assert drawn[:2] == expected
    assert len(set(drawn)) == 4
    assert drawn[2] != start(2)  # not what a fresh run draws at its first step
