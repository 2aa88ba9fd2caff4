"""Weights of other projects as plain tensors by name; nothing else is ever unpickled."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xdancer.errors import CheckpointError
from xdancer.strict import check_archive

DIFFUSERS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
TRANSFORMERS = ("model.safetensors", "pytorch_model.bin")


def read_tensors(path: Path, *, folder_of: str, files: Sequence[str] = DIFFUSERS) -> dict[str, Tensor]:
    """All tensors of a .safetensors file, of a pickle without anything but tensors (.ckpt, .pth, .pt, .bin), or of a library's folder.

    Wrappers that trainers leave around the names (`state_dict`, `module.`) are taken off.

    Args:
        path: file or folder.
        folder_of: what kind of folder is expected, for messages.
        files: names that such a folder may hold its weights under, the preferred one first.

    Raises:
        CheckpointError: missing, damaged, or a pickle that holds more than tensors.
    """
    if path.is_dir():
        named = [path / name for name in files if (path / name).is_file()]
        if not named:
            raise CheckpointError(f"{path} is no {folder_of} folder ({files[0]} is missing).")
        return read_tensors(named[0], folder_of=folder_of)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file. Give a {folder_of} folder, or a .safetensors, .ckpt or .pth file.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            check_archive(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors have kinds of their own
        raise CheckpointError(f"{path} does not load as plain tensors ({type(error).__name__}): damaged, or it holds other objects.") from error
    while isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors by name.")
    return {name.removeprefix("module."): value for name, value in tensors.items()}
