"""Low-rank adapters (LoRA, arXiv 2106.09685) in a checkpoint's weights: W + scale·B·A is what they stand for."""

import re
from collections.abc import Mapping

from torch import Tensor

from xdancer.errors import CheckpointError

_ADAPTED = re.compile(r"(?P<layer>.+)\.(?P<part>base_layer|lora_A|lora_B)\.(?:\w+\.)?(?P<kind>weight|bias)")
"""Names that peft gives: `LAYER.base_layer.weight`, `LAYER.lora_A.ADAPTER.weight`."""


def merge_adapters(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Weights without adapters that compute the same.

    Args:
        weights: by name, as a network with peft's adapters names them.
        scale: alpha / rank.

    Raises:
        CheckpointError: half of an adapter is missing.
    """
    merged, parts = dict[str, Tensor](), dict[str, dict[str, Tensor]]()
    for name, value in weights.items():
        found = _ADAPTED.fullmatch(name)
        if found is None:
            merged[name] = value
        elif found["kind"] == "bias":
            merged[f"{found['layer']}.bias"] = value
        else:
            parts.setdefault(found["layer"], {})[found["part"]] = value
    for layer, found in parts.items():
        if set(found) != {"base_layer", "lora_A", "lora_B"}:
            raise CheckpointError(f"The adapter of {layer} is incomplete: only {', '.join(sorted(found))} are there.")
        base = found["base_layer"]
        merged[f"{layer}.weight"] = base.float() + scale * found["lora_B"].float() @ found["lora_A"].float()  # 16 bits would round it away
    return merged
