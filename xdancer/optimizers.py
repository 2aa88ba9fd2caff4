"""Optimisers beyond PyTorch's, by class path in a config."""

from collections.abc import Iterable
from typing import Any

from lightning_utilities.core.imports import RequirementCache
from torch.optim import Optimizer

from xdancer.errors import XDancerError

REQUIREMENT = RequirementCache("bitsandbytes>=0.49", module="bitsandbytes")


class AdamW8bit(Optimizer):
    """AdamW whose two states take 2 bytes a parameter instead of 8 (bitsandbytes; Dettmers et al. 2022, arXiv 2110.02861).

    States of tensors below 4096 numbers stay in 32 bits. Making one gives bitsandbytes' own optimiser.

    Raises:
        XDancerError: bitsandbytes is not installed.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if not REQUIREMENT:
            raise XDancerError(
                f'Adam in 8 bit: {REQUIREMENT.message} Or pip install "xdancer[eightbit]", or torch.optim.AdamW as the optimizer.'
            )
        import bitsandbytes

        return bitsandbytes.optim.AdamW8bit(*args, **kwargs)

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01
    ) -> None:
        """The options that a config may set, with AdamW's defaults. Never runs: `__new__` gives another class."""
