"""GPT-2 weights as initialisation (paper), from a folder as transformers writes it: `config.json` + `model.safetensors` or `pytorch_model.bin`.

Every tensor of the folder and every parameter of the model is accounted for; anything unexplained is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xdancer.errors import CheckpointError
from xdancer.motion_gpt.model import PLACE_STD, MotionGPT
from xdancer.strict import read_json_file
from xdancer.tensors import TRANSFORMERS, read_tensors

_MASK_BUFFER = re.compile(r"h\.\d+\.attn\.(masked_)?bias")
_TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # GPT-2 stores these (in, out)


@dataclass(frozen=True)
class LoadReport:
    """What became of every weight."""

    loaded: tuple[str, ...]
    extended: Mapping[str, tuple[int, int]]
    """Parameter → (rows in GPT-2, rows here): the first rows are GPT-2's, the others new."""
    new: tuple[str, ...]
    """Parameters that GPT-2 does not have."""
    skipped: tuple[str, ...]
    """Weights of GPT-2 that have no place here (its vocabulary)."""

    def __str__(self) -> str:
        extended = ", ".join(f"{name} {rows}→{total} rows" for name, (rows, total) in self.extended.items())
        return (
            f"GPT-2: {len(self.loaded)} loaded, extended: {extended or 'none'}, new: {', '.join(self.new)}, skipped: {', '.join(self.skipped)}"
        )


@torch.no_grad()
def load_gpt2_folder(gpt: MotionGPT, folder: Path) -> LoadReport:
    """Copy GPT-2's blocks, final normalisation and positions into `gpt`.

    Raises:
        CheckpointError: no such folder, another size, a damaged file, a missing, misshapen or unknown weight.
    """
    folder = Path(folder)
    _check_size(gpt, folder)
    theirs = _read_weights(folder)
    ours = dict(gpt.named_parameters())
    loaded: list[str] = []
    for name in [name for name in ours if name.startswith("transformer.")]:
        value = _take(theirs, name.removeprefix("transformer."), folder)
        value = value.T if name.endswith(_TRANSPOSED) else value
        if value.shape != ours[name].shape:
            raise CheckpointError(f"{folder}: {name} has shape {tuple(value.shape)}, the model needs {tuple(ours[name].shape)}.")
        ours[name].copy_(value)
        loaded.append(name)
    positions = _take(theirs, "wpe.weight", folder)
    _scale_new(gpt, float(positions.std()) / PLACE_STD)
    extended: dict[str, tuple[int, int]] = {}
    unused = {"wte.weight", "lm_head.weight"} & set(theirs)
    if gpt.positions is None:
        unused.add("wpe.weight")
        theirs["wpe.weight"] = positions
    else:
        rows = min(len(positions), len(gpt.positions.weight))
        gpt.positions.weight[:rows] = positions[:rows]
        extended = {"positions.weight": (rows, len(gpt.positions.weight))} if rows < len(gpt.positions.weight) else {}
        loaded += [] if extended else ["positions.weight"]
    skipped = tuple(sorted(unused))
    unknown = sorted(set(theirs) - set(skipped))
    if unknown:
        raise CheckpointError(f"{folder} holds weights that GPT-2 does not have: {', '.join(unknown[:5])}. Give a plain GPT-2 folder.")
    new = tuple(name for name in ours if name not in loaded and name not in extended)
    return LoadReport(tuple(loaded), extended, new, skipped)


def _scale_new(gpt: MotionGPT, factor: float) -> None:
    """Bring what GPT-2 does not have to the size of its embeddings, which its first blocks are used to."""
    modules = [module for module in (gpt.fuse, gpt.prefix_music, gpt.kinds, gpt.positions) if module is not None]
    for parameter in (parameter for module in modules for parameter in module.parameters()):
        parameter.mul_(factor)


def _take(weights: dict[str, Tensor], name: str, folder: Path) -> Tensor:
    if name not in weights:
        raise CheckpointError(f"{folder} lacks {name}. Give a complete GPT-2 folder as transformers' save_pretrained writes it.")
    return weights.pop(name)


def _check_size(gpt: MotionGPT, folder: Path) -> None:
    try:
        stored: dict[str, Any] = read_json_file(folder / "config.json")
        layers, heads, width = int(stored["n_layer"]), int(stored["n_head"]), int(stored["n_embd"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder}/config.json is not a readable GPT-2 config ({type(error).__name__}). Give a folder as transformers writes it."
        ) from error
    config = gpt.config
    if (layers, heads, width) != (config.layers, config.heads, config.width):
        raise CheckpointError(
            f"{folder} is a GPT-2 of {layers} layers, {heads} heads, width {width}; the config asks for {config.layers}, {config.heads}, "
            f"{config.width}. Use gpt2-medium for 24, 16, 1024 and gpt2 for 12, 12, 768."
        )


def _read_weights(folder: Path) -> dict[str, Tensor]:
    weights = read_tensors(folder, folder_of="GPT-2", files=TRANSFORMERS)
    names = {name: name.removeprefix("transformer.") for name in weights}
    return {short: weights[name] for name, short in names.items() if not _MASK_BUFFER.fullmatch(short)}
