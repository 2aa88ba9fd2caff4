"""The model folder: one sub-folder per stage (config.json + model.safetensors) and `model_index.json` with what belongs together.

A folder without `video_diffusion` holds a motion model: it dances, and renders nothing.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

import xdancer
from xdancer.checkpoint import fingerprint, load_model, round_to_half, save_model, stage_source, trained_on
from xdancer.errors import CheckpointError, StageMismatchError
from xdancer.files import replace_folder
from xdancer.integrity import INDEX, hashes_of
from xdancer.motion_gpt.model import MotionGPT
from xdancer.strict import read_json_file
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.vqvae.model import VQVAE

FORMAT = 1
STAGES: dict[str, type[nn.Module]] = {"vqvae": VQVAE, "motion_gpt": MotionGPT, "video_diffusion": VideoDiffusion}
MOTION_STAGES = ("vqvae", "motion_gpt")
"""Stages that every model folder has."""


def write_folder(folder: Path, models: Mapping[str, nn.Module], *, notes: Mapping[str, Any] | None = None, half: bool = False) -> None:
    """Write the stages' models as one folder, in one stroke; a model folder that is already there is replaced.

    With `half` the models are rounded to 16-bit floats first, in place, and the files are half as large.

    Raises:
        CheckpointError: the name is taken by something that is no model folder, or it cannot be written.
    """
    folder = folder.absolute()
    if folder.exists() and not (folder / INDEX).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists and is no model folder. Choose another name.")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        temporary.mkdir(parents=True)
        for name, model in models.items():
            if half:
                round_to_half(model)
            save_model(model, temporary / name, half=half)
        stages = {name: {"fingerprint": fingerprint(model)} for name, model in models.items()}
        index = {
            "format": FORMAT, "xdancer": xdancer.__version__, "stages": stages,
            "tokenizer_fingerprint": fingerprint(models["vqvae"]), **(notes or {}), "sha256": hashes_of(temporary),
        }  # fmt: skip
        (temporary / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        replace_folder(temporary, folder)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error.strerror or error}). Free space or choose another folder.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_one_tokenizer(tokenizer: VQVAE, path: Path, others: Mapping[str, Path]) -> None:
    """Refuse stages (name → checkpoint or folder) that were trained on another tokenizer than the one of `path`.

    Raises:
        StageMismatchError: names both fingerprints.
    """
    found = fingerprint(tokenizer)
    for stage, other in others.items():
        expected = trained_on(stage_source(other, stage))
        if expected != found:
            raise StageMismatchError(
                f"{other} was trained on tokenizer {expected[:12]}, but {path} is {found[:12]}. "
                f"Pass the tokenizer that it was trained on, or train stage {'2' if stage == 'motion_gpt' else '3'} again."
            )


def read_folder(folder: Path, stages: Iterable[str] = tuple(STAGES)) -> tuple[dict[str, nn.Module], dict[str, Any]]:
    """Some stages' models in eval mode, and the index.

    Raises:
        CheckpointError: no model folder, damaged, of another format, or without one of the stages; StageMismatchError: stages that were not
            exported together.
    """
    index = read_index(folder)
    models: dict[str, nn.Module] = {}
    for name in stages:
        if name not in index["stages"]:
            raise CheckpointError(f"{folder} holds a motion model without a renderer. Show its dance with --preview, or name another folder.")
        recorded = index["stages"][name]["fingerprint"]
        models[name] = load_model(folder / name, STAGES[name])
        if (found := fingerprint(models[name])) != recorded:
            raise StageMismatchError(
                f"{folder / name} is {found[:12]}, {folder / INDEX} names {recorded[:12]}. Export the model again: xdancer export."
            )
    return models, index


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a model folder.

    Raises:
        CheckpointError: no model folder, damaged, or of another format.
    """
    path = folder / INDEX
    if not path.is_file():
        raise CheckpointError(f"{folder} is no model folder (no {INDEX}). Make one with xdancer export or xdancer demo.")
    try:
        index = read_json_file(path)
        if index["format"] != FORMAT:
            raise CheckpointError(f"{path}: format {index['format']}, this xdancer reads {FORMAT}. Export the model again: xdancer export.")
        present = [*MOTION_STAGES, *(name for name in STAGES if name in index["stages"] and name not in MOTION_STAGES)]
        missing = [name for name in present if not isinstance(index["stages"][name]["fingerprint"], str)]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({type(error).__name__}: {error}). Export the model again: xdancer export.") from error
    if missing:
        raise CheckpointError(f"{path} is damaged (no fingerprint of {', '.join(missing)}). Export the model again: xdancer export.")
    return index


def model_hash(folder: Path) -> str:
    """Sixteen digits that name the stages of a model folder together; errors as in `read_index`."""
    return name_of({name: stage["fingerprint"] for name, stage in read_index(folder)["stages"].items()})


def name_of(fingerprints: Mapping[str, str]) -> str:
    """Sixteen digits that name stages together, by their fingerprints."""
    return hashlib.sha256(json.dumps(sorted(fingerprints.items())).encode()).hexdigest()[:16]


def has_renderer(folder: Path) -> bool:
    """Whether a model folder holds stage 3; errors as in `read_index`."""
    return "video_diffusion" in read_index(folder)["stages"]
