"""Random numbers: other ones on every rank, their states in the checkpoint, so that a resumed run draws what the whole run would have drawn."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

State = dict[str, Any]


class RandomState(Callback):
    """Gives each rank numbers of its own, and saves the states of torch (CPU and the rank's accelerator), numpy and Python.

    All ranks start from one seed, which builds equal models; with equal states they would also draw equal dropout, noise and timesteps, as
    if the global batch were one rank's. Rank 0 keeps the stream of a run with one process; the others leave it when training starts.

    States are tensors and ints: `weights_only=True` still loads. They are restored before the first resumed batch: behind everything that
    draws numbers while a run starts (the sanity check, data loaders). With more ranks than saved states the new ranks start afresh.
    """

    def __init__(self) -> None:
        self._pending: State | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        mine = random_state(pl_module.device)
        states: list[State | None] = [None] * trainer.world_size
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(states, mine)
        else:
            states = [mine]
        checkpoint["random_states"] = states

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get("random_states", [])
        self._pending = states[trainer.global_rank] if trainer.global_rank < len(states) else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._pending is None and trainer.global_rank > 0:
            leave_common_stream(trainer.global_rank, step=trainer.global_step)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._pending is not None:
            restore_random_state(self._pending, pl_module.device)
            self._pending = None


def leave_common_stream(rank: int, *, step: int) -> None:
    """Seed all generators anew from the run's seed, the rank and the step (a rank that joins later must not repeat the first steps)."""
    numpy, python, *words = np.random.SeedSequence([torch.initial_seed(), rank, step]).generate_state(4).tolist()
    np.random.seed(numpy)  # noqa: NPY002 - the global generator is what libraries draw from
    random.seed(python)
    torch.manual_seed(words[0] << 32 | words[1])  # of all devices


def random_state(device: torch.device) -> State:
    """The states of all generators that training uses, as tensors, ints and floats."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - the global generator is what libraries draw from
    version, internal, gauss_next = random.getstate()
    state: State = {
        "torch": torch.get_rng_state(),
        "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [int(version), torch.tensor(internal), gauss_next],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: State, device: torch.device) -> None:
    """Set what `random_state` read."""
    torch.set_rng_state(state["torch"].cpu())
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002 - see above
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss_next))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
