"""From phase (a) to phase (b): take over its weights, and nothing silently."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from xdancer.checkpoint import build, read_stage, require_tokenizer, stage_source, trained_on
from xdancer.errors import CheckpointError, StageMismatchError
from xdancer.video_diffusion.config import SCHEDULE_KEYS, VideoDiffusionConfig
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.video_diffusion.unet import MOTION_MODULES
from xdancer.vqvae.model import VQVAE

NEW_IN_PHASE_B = (MOTION_MODULES, "motion_decoder.", "pose_guider.", "motion_input.", "heatmap_head.")
"""Parts of names that may be missing in the checkpoint of phase (a); all other weights must be there."""


def load_initial(model: VideoDiffusion, path: Path, *, tokenizer: VQVAE, tokenizer_path: Path, temporal: bool = True) -> list[str]:
    """Copy the weights of another phase's checkpoint, or of a model folder, into `model`; returns the names that stay as they are.

    `temporal`: its motion modules too; False leaves those that `model` has.

    Raises:
        CheckpointError: no such checkpoint, or weights of other sizes.
        StageMismatchError: another noise schedule or another tokenizer.
    """
    path = stage_source(path, "video_diffusion")
    header, weights = read_stage(path, "video_diffusion")
    require_same_schedule(header["config"], model, path)
    require_tokenizer(trained_on(path), tokenizer, path=tokenizer_path, needed_by=str(path))
    weights = {name: value for name, value in weights.items() if temporal or MOTION_MODULES not in name}
    own = model.state_dict()
    wrong = [
        f"{name} {tuple(weights[name].shape)} → {tuple(own[name].shape)}"
        for name in weights
        if name in own and weights[name].shape != own[name].shape
    ]
    missing = [name for name in own if name not in weights]
    lost = [name for name in weights if name not in own] + [name for name in missing if not any(part in name for part in NEW_IN_PHASE_B)]
    if wrong or lost:
        example = ", ".join((wrong + lost)[:3])
        raise CheckpointError(
            f"{path} does not fit this config: {len(wrong)} weights of other sizes, {len(lost)} without a partner ({example})."
        )
    model.load_state_dict(weights, strict=False)  # what is missing was checked above
    return missing


def require_same_schedule(config: dict[str, Any], model: VideoDiffusion, path: Path) -> None:
    """Refuse weights that were trained on another noise schedule.

    Raises:
        StageMismatchError: names the keys that differ.
    """
    asked = model.config.schedule
    different = [f"{key} {config.get(key)} → {asked[key]}" for key in SCHEDULE_KEYS if config.get(key) != asked[key]]
    if different:
        raise StageMismatchError(
            f"{path} was trained on another noise schedule ({', '.join(different)}); mixed schedules flicker. "
            "Use the schedule of the checkpoint, or train phase (a) again."
        )


def freeze_spatial(model: VideoDiffusion) -> None:
    """Leave only the temporal modules and the motion decoder (or pose guider) to train (phase b)."""
    for name, parameter in model.named_parameters():
        if not any(part in name for part in NEW_IN_PHASE_B):
            parameter.requires_grad_(False)


def shrink_frozen(model: VideoDiffusion, dtype: torch.dtype) -> None:
    """Hold weights that do not train in fewer bits; under autocast their products are rounded anyway, their norms are not."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


def require_codes_width(config: VideoDiffusionConfig, tokenizer: VQVAE, path: Path) -> None:
    """Refuse a tokenizer whose codes the motion decoder cannot read.

    Raises:
        StageMismatchError: names both widths.
    """
    found = tokenizer.config.parts * tokenizer.config.part_slots * tokenizer.config.code_width
    if config.motion_decoder and found != config.codes_width:
        raise StageMismatchError(
            f"{path} has codes of {found} numbers per frame, this config's codes_width is {config.codes_width}: make them equal."
        )


def tokenizer_inside(checkpoint: Mapping[str, Any]) -> VQVAE:
    """The tokenizer of a stage 3 checkpoint that Lightning has read."""
    weights = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("tokenizer.")}
    weights = {name.removeprefix("tokenizer."): value for name, value in weights.items()}
    return build(VQVAE, checkpoint["hyper_parameters"]["tokenizer_config"], weights, source=Path("the checkpoint"))
