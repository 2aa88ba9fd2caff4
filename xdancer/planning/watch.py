"""How much memory is alive while operations run, and how many multiplications and additions they are; on fake tensors, too."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

aten: Any = torch.ops.aten


class StepWatch(TorchDispatchMode):
    """Counts the bytes of all storages that operations make while it is entered, until they are freed, and the operations.

    torch's own FlopCounterMode is not used beside it: it keeps tensors alive that the step has freed.

    Attributes:
        now: bytes alive.
        peak: the most that were alive at a time.
        flops: multiplications and additions of matrix products, convolutions and attention.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.flops = 0
        self._known: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()

    def count(self, tensor: Tensor) -> None:
        """Take a tensor's storage into account, once; operations inside the watch do this by themselves."""
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known[storage] = None
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.flops += _flops(func, args, kwargs or {}, result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.count(leaf)
        return result


def _flops(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    """The table of torch, and fused attention on a CPU, which it lacks."""
    kind = func._overloadpacket
    if kind is aten._scaled_dot_product_flash_attention_for_cpu:
        return sdpa_flop_count(*(value.shape for value in args[:3]))
    if kind is aten._scaled_dot_product_flash_attention_for_cpu_backward:
        return sdpa_backward_flop_count(*(value.shape for value in args[:4]))
    return flop_registry[kind](*args, **kwargs, out_val=result) if kind in flop_registry else 0
