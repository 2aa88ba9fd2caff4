"""Hand-over between stages: load a stage's model from a checkpoint or folder, name it by fingerprint, refuse what does not fit.

Two forms hold a stage: a Lightning checkpoint (`last.ckpt`: weights under `model.`, hyper-parameters `{"stage": …, "config": {…}}`, an
embedded tokenizer under `tokenizer.`), and a folder with `config.json` and `model.safetensors`. Nothing is unpickled
(`weights_only=True`), every load is strict.
"""

import hashlib
import importlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from xdancer.adapters import merge_adapters
from xdancer.errors import CheckpointError, StageMismatchError
from xdancer.files import write_bytes
from xdancer.integrity import INDEX, LARGEST_CONFIG, check_hashes, check_stored
from xdancer.strict import read_json_file
from xdancer.weights import shipped_model

if TYPE_CHECKING:
    from xdancer.vqvae.model import VQVAE

STAGES: dict[str, tuple[str, str, str]] = {
    "vqvae": ("xdancer.vqvae.model", "VQVAE", "VQVAEConfig"),
    "motion_gpt": ("xdancer.motion_gpt.model", "MotionGPT", "MotionGPTConfig"),
    "video_diffusion": ("xdancer.video_diffusion.model", "VideoDiffusion", "VideoDiffusionConfig"),
}
"""Stage → module of its model, class of the model (built from its config alone), class of the config."""

RECIPES = {"vqvae": "vqvae.yaml", "motion_gpt": "gpt.yaml", "video_diffusion": "video_image.yaml"}
"""Stage → the config that trains it, for messages."""

STAGE_FILES = ("config.json", "model.safetensors")
SHIPPED = "shipped"
"""In place of a path: the model that lies in the package."""

Model = TypeVar("Model", bound=nn.Module)


def fingerprint(module: nn.Module) -> str:
    """Sha256 over the names and float32 bytes of all weights and buffers, in order of name."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def stage_of(model_class: type[nn.Module]) -> str:
    """The stage's name of a model class."""
    for stage, (_, name, _) in STAGES.items():
        if model_class.__name__ == name:
            return stage
    raise ValueError(f"{model_class.__name__} is no stage's model; the stages' models are {[name for _, name, _ in STAGES.values()]}.")


def load_model(path: Path, model_class: type[Model]) -> Model:
    """A stage's model in eval mode on the CPU, from a checkpoint file, a saved folder, a model folder, or `shipped`.

    Of a Lightning checkpoint the weights in `state_dict` are read: the averaged ones where training kept an average.

    Raises:
        CheckpointError: missing, damaged, of another stage, or weights that do not fit the stored config.
    """
    header, weights = read_stage(path, stage_of(model_class))
    return build(model_class, header["config"], weights, source=path)


def read_stage(path: Path, stage: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header (`config` and more) and weights of a stage's model, from what `load_model` takes; errors likewise."""
    path = stage_source(Path(path), stage)
    if path.is_dir():
        return _read_folder(path, stage)
    header, weights = read_checkpoint(path, stage)
    return header, {name.removeprefix("model."): value for name, value in weights.items() if name.startswith("model.")}


def embedded_tokenizer(path: Path) -> tuple["VQVAE", str]:
    """The tokenizer inside a stage 2 or 3 checkpoint, or beside stage 2 in a model folder, and its recorded fingerprint.

    Raises:
        CheckpointError: no tokenizer inside, or one that is not what the fingerprint says.
    """
    from xdancer.vqvae.model import VQVAE

    path = stage_source(Path(path), "motion_gpt")
    if path.is_dir():
        recorded, tokenizer = trained_on(path), load_model(path.parent / "vqvae", VQVAE)
    else:
        header, weights = read_checkpoint(path)
        weights = {name.removeprefix("tokenizer."): value for name, value in weights.items() if name.startswith("tokenizer.")}
        recorded = header.get("tokenizer_fingerprint")
        if not weights or recorded is None or "tokenizer_config" not in header:
            raise CheckpointError(f"{path} holds no tokenizer (stage {header['stage']}). Give a checkpoint of stage 2 or 3.")
        tokenizer = build(VQVAE, header["tokenizer_config"], weights, source=path)
    if (found := fingerprint(tokenizer)) != recorded:
        raise StageMismatchError(
            f"{path}: the tokenizer inside is {found[:12]}, the checkpoint names {recorded[:12]}. The file was altered; train again."
        )
    return tokenizer, recorded


def stage_source(path: Path, stage: str) -> Path:
    """Where a stage lies: `shipped` names the model in the package, a model folder holds one folder per stage, else the path itself."""
    if str(path) == SHIPPED:
        return shipped_model() / stage
    return path / stage if (path / stage / "config.json").is_file() else path


def trained_on(path: Path) -> str:
    """Fingerprint of the tokenizer that a stage 2 or 3 checkpoint, or its folder in a model folder, was trained on.

    Raises:
        CheckpointError: the file or folder does not say.
    """
    if not path.is_dir():
        found = read_checkpoint(path)[0].get("tokenizer_fingerprint")
    else:
        try:
            found = read_json_file(path.parent / INDEX)["tokenizer_fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            found = None
    if not isinstance(found, str):
        raise CheckpointError(f"{path} does not say which tokenizer it was trained on. Give a stage 2 checkpoint or a model folder.")
    return found


def require_tokenizer(expected: str, tokenizer: nn.Module, *, path: Path, needed_by: str) -> None:
    """Refuse a tokenizer other than the one a downstream stage was trained on.

    Raises:
        StageMismatchError: names both fingerprints.
    """
    if (found := fingerprint(tokenizer)) != expected:
        raise StageMismatchError(
            f"{needed_by} was trained on tokenizer {expected[:12]}, but {path} is {found[:12]}. "
            "Pass the tokenizer it was trained on, or train it again."
        )


def require_same_config(checkpoint: Mapping[str, Any], *, stage: str, config: Any) -> None:
    """Refuse to resume a Lightning checkpoint of another stage or of other sizes than the ones asked for.

    A key that is younger than the checkpoint stood at its default then.

    Raises:
        CheckpointError: names the keys that differ, with both values.
    """
    header = checkpoint.get("hyper_parameters", {})
    if header.get("stage") != stage:
        raise CheckpointError(
            f"The checkpoint is of stage {header.get('stage')}, this run trains {stage}. Use another --ckpt_path or --config."
        )
    younger = {field.name: field.default for field in fields(config) if field.default is not MISSING}
    stored, asked = _plain(younger | header["config"]), _plain(asdict(config))
    different = [f"{key} {stored.get(key)} → {asked.get(key)}" for key in sorted(stored | asked) if stored.get(key) != asked.get(key)]
    if different:
        raise CheckpointError(
            f"The checkpoint was trained with another config ({', '.join(different)}). "
            "Resume with the config it was trained with, or start anew without --ckpt_path."
        )


def save_model(model: nn.Module, folder: Path, *, half: bool = False) -> None:
    """Write `config.json` and `model.safetensors`, each whole or not at all; `half` stores 16-bit floats, which `round_to_half` made exact."""
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header = {"stage": stage_of(type(model)), "config": asdict(typing.cast(Any, model.config)), "fingerprint": fingerprint(model)}
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if half:
        weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    write_bytes(folder / "model.safetensors", save(weights))
    write_bytes(folder / "config.json", json.dumps(header, indent=2).encode())


@torch.no_grad()
def round_to_half(model: nn.Module) -> None:
    """Round all weights to what 16 bits hold; the model keeps its number format.

    Raises:
        CheckpointError: a number is too large for 16 bits.
    """
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(value.half())
            if not bool(value.isfinite().all()):
                raise CheckpointError(f"{name} holds numbers beyond 65504, which 16 bits cannot hold. Export without --half.")


def read_checkpoint(path: Path, stage: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Hyper-parameters and weights of a Lightning checkpoint of ours; adapters are merged into what they adapt.

    Raises:
        CheckpointError: missing, damaged, not ours, or of another stage than `stage`.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint. {_recipe(path, stage)}")
    try:
        check_stored(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        header, weights = dict(content["hyper_parameters"]), dict(content["state_dict"])
        if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()):
            raise ValueError("weights that are no tensors")
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        reason = " ".join(str(error).split())[:100] if isinstance(error, ValueError) else ""
        raise CheckpointError(f"{path} is not a readable checkpoint ({reason or type(error).__name__}). {_recipe(path, stage)}") from error
    _check_header(header, stage, path)
    if header.get("lora"):
        weights = merge_adapters(weights, header["lora"]["alpha"] / header["lora"]["rank"])
    return header, weights


def build(model_class: type[Model], config: Mapping[str, Any], weights: Mapping[str, Tensor], *, source: Path) -> Model:
    """A model of a stored config with stored weights, in eval mode.

    Raises:
        CheckpointError: the config is of another version, or the weights do not fit it.
    """
    module, _, config_name = STAGES[stage_of(model_class)]
    config_class = getattr(importlib.import_module(module), config_name)
    try:
        model = model_class(config_from_dict(config_class, config, source=source))
    except CheckpointError:
        raise
    except Exception as error:  # the values come from a file: whatever a model says of them is the file's fault
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise CheckpointError(f"{source}: no {model_class.__name__} can be built from the stored config ({reason}).") from error
    try:
        model.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{source}: weights do not fit the stored config: {' '.join(str(error).split())[:400]}") from error
    return model.eval()


def config_from_dict(config_class: type[Any], values: Mapping[str, Any], *, source: Path) -> Any:
    """A frozen config from the plain dict in a checkpoint (nested configs and tuples restored).

    Raises:
        CheckpointError: names the keys that this version does not know.
    """
    hints = typing.get_type_hints(config_class)
    unknown = sorted(set(values) - {field.name for field in fields(config_class)})
    if unknown:
        raise CheckpointError(f"{source}: its config has {', '.join(unknown)}, which this version's {config_class.__name__} does not know.")
    return config_class(**{name: _restore(hints[name], value, source) for name, value in values.items()})


def _plain(value: Any) -> Any:
    """Config values as they look after a trip through a file."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value) if isinstance(value, Path) else value


def _restore(hint: Any, value: Any, source: Path) -> Any:
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for option in options:
        if is_dataclass(option) and isinstance(value, Mapping):
            return config_from_dict(typing.cast(type, option), value, source=source)
        if (typing.get_origin(option) or option) is tuple and isinstance(value, list | tuple):
            return tuple(_restore(typing.get_args(option)[0] if typing.get_args(option) else Any, item, source) for item in value)
        if option is Path and isinstance(value, str):
            return Path(value)
    return value


def _read_folder(folder: Path, stage: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors.torch import load_file

    try:
        check_hashes(folder.parent, [f"{folder.name}/{name}" for name in STAGE_FILES])
        header = read_json_file(folder / "config.json", largest=LARGEST_CONFIG)
        weights = load_file(folder / "model.safetensors")
        if not isinstance(header, dict):
            raise ValueError("config.json holds no table")
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} lacks config.json or model.safetensors. `xdancer export` writes such folders.") from error
    except Exception as error:  # safetensors and json have kinds of their own
        raise CheckpointError(f"{folder} is damaged ({type(error).__name__}). Export it again.") from error
    _check_header(header, stage, folder)
    return header, weights


def _check_header(header: Mapping[str, Any], stage: str | None, path: Path) -> None:
    if str(header.get("stage")) not in STAGES or not isinstance(header.get("config"), Mapping):
        raise CheckpointError(f"{path} does not say which xdancer stage it is. Use a checkpoint that `python train.py fit` wrote.")
    if stage is not None and header["stage"] != stage:
        raise CheckpointError(f"{path} is a checkpoint of stage {header['stage']}, not {stage}. {_recipe(path, stage)}")


def _recipe(path: Path, stage: str | None) -> str:
    if stage is None:
        return "Train it with `python train.py fit --config configs/…`."
    demo = "demo/" if "demo" in path.parts else ""
    return f"`python train.py fit --config configs/{demo}{RECIPES[stage]}` makes one."
