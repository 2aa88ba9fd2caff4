"""Motion modules that people have (AnimateDiff, Guo et al. 2023): diffusers' MotionAdapter folder, or the original checkpoint's own names.

report = load_motion_weights(model, Path("v3_sd15_mm.ckpt"), allow_new=["mid_block"])
print(report)
"""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

import torch
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from torch import Tensor

from xdancer.errors import CheckpointError
from xdancer.tensors import read_tensors
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.video_diffusion.pretrained import LoadReport
from xdancer.video_diffusion.unet import MOTION_MODULES

NEW, INITIAL = "new", "initial"
"""In place of a path: the motion modules start from random weights, and as if they were not there (their output projections are zero); or
they are part of the checkpoint that everything starts from."""
GROUPS = ("down_blocks", "mid_block", "up_blocks")
"""Where motion modules sit. AnimateDiff's first and third version have none in the middle."""
_ORIGINAL_NAMES = (
    (".temporal_transformer.", "."), (".attention_blocks.0.", ".attn1."), (".attention_blocks.1.", ".attn2."), (".norms.0.", ".norm1."),
    (".norms.1.", ".norm2."), (".ff_norm.", ".norm3."),
)  # fmt: skip
_POSITIONS = (".pos_encoder.pe", ".pos_embed.pe")


def load_motion_weights(model: VideoDiffusion, path: str | Path, *, allow_new: Collection[str] = ()) -> LoadReport:
    """Copy motion modules into the renderer's UNet.

    Args:
        model: with temporal modules.
        path: diffusers' MotionAdapter folder, or a .ckpt, .pth or .safetensors file.
        allow_new: names of `GROUPS` that may be missing there and start new.

    Raises:
        CheckpointError: no such file, no motion modules in it or in the config, a group that is missing, other sizes or other positions.
    """
    if not model.config.temporal:
        raise CheckpointError(f"{path}: this config has no temporal modules. Load motion modules with `temporal: true` (phase b).")
    if unknown := [group for group in allow_new if group not in GROUPS]:
        raise CheckpointError(f"allow_new {unknown[0]}: no group of motion modules. Choose among {', '.join(GROUPS)}.")
    theirs, positions = _read(Path(path))
    weights = {name: value for name, value in model.unet.state_dict().items() if MOTION_MODULES in name and not name.endswith(_POSITIONS)}
    _require_same_shapes(theirs, weights, path)
    _require_sine_waves(positions, path)
    new = _new_groups(theirs, weights, path, allow_new)
    with torch.no_grad():
        for name in weights.keys() & theirs.keys():
            weights[name].copy_(theirs[name])
    return LoadReport(str(path), len(weights.keys() & theirs.keys()), new, unused=tuple(sorted(theirs.keys() - weights.keys())))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Motion modules by diffusers' names: weights, and tables of positions."""
    found: dict[str, Tensor] = {}
    for name, value in read_tensors(path, folder_of="MotionAdapter").items():
        if MOTION_MODULES in name:
            for theirs, ours in _ORIGINAL_NAMES:
                name = name.replace(theirs, ours)
            found[name] = value
    if not found:
        raise CheckpointError(f"{path} holds no motion modules. Give AnimateDiff's checkpoint, or the folder of a diffusers MotionAdapter.")
    positions = {name for name in found if name.endswith(_POSITIONS)}
    return {name: value for name, value in found.items() if name not in positions}, {name: found[name] for name in positions}


def _require_same_shapes(theirs: Mapping[str, Tensor], own: Mapping[str, Tensor], path: str | Path) -> None:
    wrong = [name for name in sorted(theirs.keys() & own.keys()) if theirs[name].shape != own[name].shape]
    if wrong:
        shown = ", ".join(f"{name} {tuple(theirs[name].shape)} there, {tuple(own[name].shape)} here" for name in wrong[:3])
        raise CheckpointError(f"{path}: {len(wrong)} motion weights have other shapes than the config's: {shown}.")


def _require_sine_waves(positions: Mapping[str, Tensor], path: str | Path) -> None:
    """Tables of 24 and of 32 positions hold the same waves as ours; a table that holds something else would be lost without a word."""
    for name, value in positions.items():
        rows = value.squeeze(0).float()
        waves = cast(Tensor, SinusoidalPositionalEmbedding(rows.shape[1], max_seq_length=len(rows)).pe).squeeze(0)
        if not torch.allclose(rows, waves, atol=2e-3):
            raise CheckpointError(f"{path}: {name} is no table of sine waves; these motion modules number their frames in another way.")


def _new_groups(theirs: Mapping[str, Tensor], own: Mapping[str, Tensor], path: str | Path, allowed: Collection[str]) -> dict[str, int]:
    """Group → weights of it that the file lacks."""
    missing = Counter(name.partition(".")[0] for name in own.keys() - theirs.keys())
    whole = Counter(name.partition(".")[0] for name in own)
    for group, count in missing.items():
        if group not in allowed or count < whole[group]:
            cure = f"allow_new {group} lets it start new" if count == whole[group] else "the file is incomplete"
            raise CheckpointError(f"{path} lacks {count} of {whole[group]} motion weights of {group}: {cure}.")
    return dict(missing)
