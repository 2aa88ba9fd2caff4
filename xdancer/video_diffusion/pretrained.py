"""Weights that people have: SD1.5 folders of diffusers (unet, vae), CLIP vision folders. Strict and loud."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xdancer.errors import CheckpointError
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.video_diffusion.unet import MOTION_MODULES

WIDENED = ("conv_in.weight", "conv_out.weight", "conv_out.bias")
"""Weights that the helps (the portrait at the input, the gate) give more channels than SD1.5's."""
TEXT_HALF = ("text_model.", "text_projection.", "logit_scale")
"""Weights of a whole CLIP that its vision model has no use for."""


@dataclass(frozen=True)
class LoadReport:
    """What a file or folder brought."""

    source: str
    loaded: int
    """Tensors copied."""
    new: Mapping[str, int]
    """Group → weights of ours that keep their random start."""
    widened: tuple[str, ...] = ()
    """First convolutions with more input channels than the source's: the further ones start at zero."""
    unused: tuple[str, ...] = ()
    """Weights of theirs that have no place here."""

    def __str__(self) -> str:
        fresh = f", new: {', '.join(f'{group} ({count})' for group, count in self.new.items())}" if self.new else ""
        wide = f", widened with zeros: {', '.join(self.widened)}" if self.widened else ""
        left = f", {len(self.unused)} of theirs unused (first: {self.unused[0]})" if self.unused else ""
        return f"{self.source}: {self.loaded} tensors loaded{fresh}{wide}{left}"


def _from_folder(loader: Any, folder: str | Path, kind: str, *, beside: tuple[str, ...] = ()) -> Any:
    """`loader.from_pretrained` on a local folder, refusing missing and unexpected weights (those that begin as in `beside` may lie there)."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} is no {kind} folder (config.json is missing). Give the folder that `save_pretrained` wrote.")
    try:
        model, info = loader.from_pretrained(str(folder), output_loading_info=True, local_files_only=True)
    except Exception as error:  # the libraries raise many kinds
        raise CheckpointError(f"{folder} does not load as {kind}: {' '.join(str(error).split())[:300]}") from error
    info["unexpected_keys"] = [name for name in info.get("unexpected_keys", ()) if not name.startswith(beside)]
    problems = [
        f"{len(info[key])} {key.replace('_keys', '')}" for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info.get(key)
    ]
    if problems:
        raise CheckpointError(f"{folder} does not fit its own config as {kind}: {', '.join(problems)} weights.")
    return model.eval().requires_grad_(False)


def load_autoencoder(folder: str | Path) -> Any:
    """A frozen AutoencoderKL that works on one picture at a time: sixteen of 896 × 512 at once take tens of gigabytes.

    Raises:
        CheckpointError: no such folder, or weights that do not fit it.
    """
    from diffusers import AutoencoderKL

    autoencoder = _from_folder(AutoencoderKL, folder, "AutoencoderKL")
    autoencoder.enable_slicing()
    return autoencoder


def load_image_encoder(folder: str | Path, *, width: int) -> Any:
    """A frozen CLIP vision model with projection to `width`; of a whole CLIP, as OpenAI's are, the text half is left aside.

    Raises:
        CheckpointError: no such folder, weights that do not fit it, or another width.
    """
    from transformers import CLIPVisionModelWithProjection

    encoder = _from_folder(CLIPVisionModelWithProjection, folder, "CLIPVisionModelWithProjection", beside=TEXT_HALF)
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
    own = model.spatial_unets.items()
    return [copy_weights(unet, weights, source=f"{folder} → {name}", may_be_new=is_motion_module) for name, unet in own]


def is_motion_module(name: str) -> bool:
    """Whether a UNet's weight is a temporal one."""
    return MOTION_MODULES in name


def _fits_wider(theirs: Tensor, ours: Tensor) -> bool:
    """Whether ours has more channels, and nothing of theirs would be cut off."""
    return theirs.dim() == ours.dim() and all(a <= b for a, b in zip(theirs.shape, ours.shape, strict=True))


def copy_weights(target: nn.Module, weights: Mapping[str, Tensor], *, source: str, may_be_new: Callable[[str], bool]) -> LoadReport:
    """Copy weights by name.

    Args:
        target: module that takes them.
        weights: what there is.
        source: for messages.
        may_be_new: whether a name may be missing there.

    Raises:
        CheckpointError: names that the target does not have, that are missing, or shapes that differ.
    """
    own = target.state_dict()
    unexpected = [name for name in weights if name not in own]
    new = [name for name in own if name not in weights]
    lacking = [name for name in new if not may_be_new(name)]
    widened = []
    for name in weights.keys() & own.keys():
        if name in WIDENED and weights[name].shape != own[name].shape and _fits_wider(weights[name], own[name]):
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
                kept, value = value, torch.zeros_like(own[name]) if name == "conv_in.weight" else own[name].clone()
                value[tuple(slice(0, size) for size in kept.shape)] = kept
            own[name].copy_(value)
    groups = Counter("motion modules" if is_motion_module(name) else name.partition(".")[0] for name in new)
    return LoadReport(source, len(weights), dict(groups), tuple(sorted(widened)))


def load_pretrained(model: VideoDiffusion, folder: str | Path) -> list[LoadReport]:
    """An SD1.5 folder's `unet`. (`vae` and the image encoder stay by path, in the config; motion modules: `motion_weights`.)

    Raises:
        CheckpointError: what the folder lacks or what does not fit.
    """
    folder = Path(folder)
    if not (folder / "unet").is_dir():
        raise CheckpointError(f"{folder} has no sub-folder `unet`. Give a Stable Diffusion 1.5 folder in diffusers' layout.")
    return load_unet(model, folder / "unet")
