"""Random-number states in the checkpoint, per rank: a run resumed in the middle of an epoch draws what the whole run would have drawn."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

State = dict[str, Any]


class RandomState(Callback):
    """Saves the states of torch (CPU and the rank's accelerator), numpy and Python as tensors and ints: `weights_only=True` still loads.

    They are restored before the first resumed batch: behind everything that draws numbers while a run starts (the sanity check, data loaders).
    With another number of ranks the states do not fit and the run goes on from its seed.
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
        self._pending = states[trainer.global_rank] if len(states) == trainer.world_size else None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._pending is not None:
            restore_random_state(self._pending, pl_module.device)
            self._pending = None


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
