"""Where and in which number format a command computes: `--device auto|cpu|cuda|mps`, `--precision fp32|bf16`."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from xdancer.errors import XDancerError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["fp32", "bf16"]


def select_device(name: DeviceName = "auto") -> torch.device:
    """The device of that name, `auto` the fastest present.

    Raises:
        XDancerError: the device is not there.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if present["cuda"] else "mps" if present["mps"] else "cpu"
    if name not in present:
        raise XDancerError(f"--device {name}: unknown device. Choose auto, cpu, cuda or mps.")
    if not present[name]:
        raise XDancerError(f"--device {name}: not available on this machine. Use --device auto or --device cpu.")
    return torch.device(name)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Context in which models run: bf16 autocast or plain fp32."""
    if precision not in ("fp32", "bf16"):
        raise XDancerError(f"--precision {precision}: unknown precision. Choose fp32 or bf16.")
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
