"""Weights that people have: SD1.5 folders of diffusers (unet, vae), AnimateDiff motion adapters, CLIP vision folders. Strict and loud."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xdancer.errors import CheckpointError
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.video_diffusion.unet import MOTION_MODULES


@dataclass(frozen=True)
class LoadReport:
    """What a folder brought."""

    source: str
    loaded: int
    """Tensors copied."""
    new: tuple[str, ...]
    """Weights of ours that keep their random start."""
    widened: tuple[str, ...]
    """First convolutions with more input channels than the source's: the further ones start at zero."""

    def __str__(self) -> str:
        fresh = f", {len(self.new)} stay new (first: {self.new[0]})" if self.new else ""
        wide = f", widened with zeros: {', '.join(self.widened)}" if self.widened else ""
        return f"{self.source}: {self.loaded} tensors loaded{fresh}{wide}"


def _from_folder(loader: Any, folder: str | Path, kind: str) -> Any:
    """`loader.from_pretrained` on a local folder, refusing missing and unexpected weights."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} is no {kind} folder (config.json is missing). Give the folder that `save_pretrained` wrote.")
    try:
        model, info = loader.from_pretrained(str(folder), output_loading_info=True, local_files_only=True)
    except Exception as error:  # the libraries raise many kinds
        raise CheckpointError(f"{folder} does not load as {kind}: {' '.join(str(error).split())[:300]}") from error
    problems = [
        f"{len(info[key])} {key.replace('_keys', '')}" for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info.get(key)
    ]
    if problems:
        raise CheckpointError(f"{folder} does not fit its own config as {kind}: {', '.join(problems)} weights.")
    return model.eval().requires_grad_(False)


def load_autoencoder(folder: str | Path) -> Any:
    """A frozen AutoencoderKL.

    Raises:
        CheckpointError: no such folder, or weights that do not fit it.
    """
    from diffusers import AutoencoderKL

    return _from_folder(AutoencoderKL, folder, "AutoencoderKL")


def load_image_encoder(folder: str | Path, *, width: int) -> Any:
    """A frozen CLIP vision model with projection to `width`.

    Raises:
        CheckpointError: no such folder, weights that do not fit it, or another width.
    """
    from transformers import CLIPVisionModelWithProjection

    encoder = _from_folder(CLIPVisionModelWithProjection, folder, "CLIPVisionModelWithProjection")
    if encoder.config.projection_dim != width:
        raise CheckpointError(f"{folder} projects to {encoder.config.projection_dim}, the renderer's cross_attention_dim is {width}.")
    return encoder


def load_unet(model: VideoDiffusion, folder: str | Path) -> list[LoadReport]:
    """Copy a diffusers UNet2DConditionModel folder into the renderer's UNet and its ReferenceNet.

    Raises:
        CheckpointError: no such folder, or sizes that do not fit the config.
    """
    from diffusers import UNet2DConditionModel

    weights = _from_folder(UNet2DConditionModel, folder, "UNet2DConditionModel").state_dict()
    own = {"UNet": model.unet, "ReferenceNet": model.reference_net.unet}
    return [_copy(unet, weights, source=f"{folder} → {name}", may_be_new=MOTION_MODULES) for name, unet in own.items()]


def load_motion_adapter(model: VideoDiffusion, folder: str | Path) -> LoadReport:
    """Copy a diffusers MotionAdapter folder (AnimateDiff) into the temporal modules.

    Raises:
        CheckpointError: no such folder, no temporal modules in the config, or sizes that do not fit.
    """
    from diffusers import MotionAdapter

    if not model.config.temporal:
        raise CheckpointError(f"{folder}: this config has no temporal modules. Load a motion adapter with `temporal: true` (phase b).")
    weights = _from_folder(MotionAdapter, folder, "MotionAdapter").state_dict()
    report = _copy(model.unet, weights, source=str(folder), may_be_new="")
    missing = [name for name in report.new if MOTION_MODULES in name]
    if missing:
        raise CheckpointError(f"{folder} lacks {len(missing)} temporal weights (first: {missing[0]}).")
    return report


def _copy(target: nn.Module, weights: dict[str, Tensor], *, source: str, may_be_new: str) -> LoadReport:
    own = target.state_dict()
    unexpected = [name for name in weights if name not in own]
    new = [name for name in own if name not in weights]
    lacking = [name for name in new if may_be_new not in name]
    widened = []
    for name in weights.keys() & own.keys():
        if name in ("conv_in.weight", "conv_out.weight", "conv_out.bias") and weights[name].shape != own[name].shape:
            widened.append(name)
        elif weights[name].shape != own[name].shape:
            unexpected.append(f"{name} {tuple(weights[name].shape)} ≠ {tuple(own[name].shape)}")
    if unexpected or lacking:
        raise CheckpointError(
            f"{source}: {len(unexpected)} weights do not fit the config, {len(lacking)} are missing ({', '.join((unexpected + lacking)[:3])})."
        )
    with torch.no_grad():
        for name in weights.keys() & own.keys():
            value = weights[name].to(own[name])
            if name in widened:
                part = tuple(slice(0, min(a, b)) for a, b in zip(value.shape, own[name].shape, strict=True))
                kept = value[part]
                value = torch.zeros_like(own[name]) if name == "conv_in.weight" else own[name].clone()
                value[part] = kept
            own[name].copy_(value)
    return LoadReport(source, len(weights), tuple(new), tuple(sorted(widened)))


def load_pretrained(model: VideoDiffusion, folder: str | Path) -> list[LoadReport]:
    """An SD1.5 folder: its `unet`, and `motion_adapter` if it is there. (`vae` and the image encoder stay by path, in the config.)

    Raises:
        CheckpointError: what the folder lacks or what does not fit.
    """
    folder = Path(folder)
    if not (folder / "unet").is_dir():
        raise CheckpointError(f"{folder} has no sub-folder `unet`. Give a Stable Diffusion 1.5 folder in diffusers' layout.")
    reports = load_unet(model, folder / "unet")
    if model.config.temporal and (folder / "motion_adapter").is_dir():
        reports.append(load_motion_adapter(model, folder / "motion_adapter"))
    return reports
