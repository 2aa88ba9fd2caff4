"""Hand-over of checkpoints: what loads, what is refused, and how the message says it."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from xdancer.checkpoint import (
    config_from_dict,
    embedded_tokenizer,
    fingerprint,
    load_model,
    require_same_config,
    require_tokenizer,
    save_model,
)
from xdancer.errors import CheckpointError, StageMismatchError
from xdancer.vqvae.model import VQVAE, VQVAEConfig

CONFIG = VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)


def prefixed(model: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": value for name, value in model.state_dict().items()}


def write(path: Path, model: VQVAE, **header: object) -> Path:
    torch.save({"state_dict": prefixed(model, "model"), "hyper_parameters": {"stage": "vqvae", "config": asdict(CONFIG), **header}}, path)
    return path


def test_a_checkpoint_and_a_folder_give_the_same_model(tmp_path: Path) -> None:
    model = VQVAE(CONFIG)
    from_file = load_model(write(tmp_path / "last.ckpt", model), VQVAE)
    save_model(model, tmp_path / "folder")
    from_folder = load_model(tmp_path / "folder", VQVAE)
    assert fingerprint(model) == fingerprint(from_file) == fingerprint(from_folder)
    assert from_file.config == CONFIG == from_folder.config
    assert not from_file.training
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((tmp_path / "folder/config.json").read_text())["fingerprint"] == fingerprint(model)


def test_the_fingerprint_knows_names_values_and_nothing_else() -> None:
    model = VQVAE(CONFIG)
    before = fingerprint(model)
    assert fingerprint(model.double()) == before  # float32 bytes
    with torch.no_grad():
        model.codebook.vectors[0, 0, 0] += 1
    assert fingerprint(model) != before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no such checkpoint", "configs/vqvae.yaml"]),
        (b"not a checkpoint", ["not a readable checkpoint"]),
        (b"", ["not a readable checkpoint"]),
    ],
)
def test_missing_and_damaged_files_are_named(tmp_path: Path, content: bytes | None, words: list[str]) -> None:
    path = tmp_path / "last.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_model(path, VQVAE)
    assert all(word in str(caught.value) for word in [str(path), *words])


def test_a_missing_demo_checkpoint_names_the_demo_config(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"fit --config configs/demo/vqvae\.yaml"):
        load_model(tmp_path / "demo/vqvae/last.ckpt", VQVAE)


def test_other_stages_configs_and_weights_are_refused(tmp_path: Path) -> None:
    model = VQVAE(CONFIG)
    with pytest.raises(CheckpointError, match="stage motion_gpt, not vqvae"):
        load_model(write(tmp_path / "a.ckpt", model, stage="motion_gpt"), VQVAE)
    with pytest.raises(CheckpointError, match="wings"):
        load_model(write(tmp_path / "b.ckpt", model, config={**asdict(CONFIG), "wings": 2}), VQVAE)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_model(write(tmp_path / "c.ckpt", model, config={**asdict(CONFIG), "codes": 17}), VQVAE)
    torch.save({"state_dict": {}, "hyper_parameters": {}}, tmp_path / "d.ckpt")
    with pytest.raises(CheckpointError, match="does not say which xdancer stage"):
        load_model(tmp_path / "d.ckpt", VQVAE)
    with pytest.raises(CheckpointError, match=r"lacks config\.json"):
        load_model(tmp_path, VQVAE)


class Sly:
    """Unpickled, it would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('ran')",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": Sly()}, tmp_path / "sly.ckpt")
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_model(tmp_path / "sly.ckpt", VQVAE)


def test_the_tokenizer_inside_a_downstream_checkpoint(tmp_path: Path) -> None:
    tokenizer, other = VQVAE(CONFIG), VQVAE(CONFIG)
    name = fingerprint(tokenizer)
    header = {"stage": "motion_gpt", "config": {}, "tokenizer_config": asdict(CONFIG), "tokenizer_fingerprint": name}
    torch.save({"state_dict": prefixed(tokenizer, "tokenizer"), "hyper_parameters": header}, tmp_path / "gpt.ckpt")
    found, recorded = embedded_tokenizer(tmp_path / "gpt.ckpt")
    assert recorded == name == fingerprint(found)
    require_tokenizer(recorded, tokenizer, path=tmp_path, needed_by="gpt.ckpt")
    with pytest.raises(StageMismatchError) as caught:
        require_tokenizer(recorded, other, path=tmp_path, needed_by="gpt.ckpt")
    assert name[:12] in str(caught.value)
    assert fingerprint(other)[:12] in str(caught.value)
    torch.save({"state_dict": prefixed(other, "tokenizer"), "hyper_parameters": header}, tmp_path / "altered.ckpt")
    with pytest.raises(StageMismatchError, match="was altered"):
        embedded_tokenizer(tmp_path / "altered.ckpt")
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        embedded_tokenizer(write(tmp_path / "vqvae.ckpt", tokenizer))


def test_a_resumed_run_with_other_sizes_names_them() -> None:
    checkpoint = {"hyper_parameters": {"stage": "vqvae", "config": {**asdict(CONFIG), "slots": 6}}}
    with pytest.raises(CheckpointError, match="slots 6 → 1"):
        require_same_config(checkpoint, stage="vqvae", config=CONFIG)
    with pytest.raises(CheckpointError, match="stage vqvae, this run trains motion_gpt"):
        require_same_config(checkpoint, stage="motion_gpt", config=CONFIG)
    require_same_config({"hyper_parameters": {"stage": "vqvae", "config": asdict(CONFIG)}}, stage="vqvae", config=CONFIG)
    older = {name: value for name, value in asdict(CONFIG).items() if name != "single_part"}
    require_same_config({"hyper_parameters": {"stage": "vqvae", "config": older}}, stage="vqvae", config=CONFIG)
    with pytest.raises(CheckpointError, match="single_part False → True"):
        require_same_config({"hyper_parameters": {"stage": "vqvae", "config": older}}, stage="vqvae", config=replace(CONFIG, single_part=True))


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    inner: Inner | None = None
    path: Path | None = None
    names: tuple[str, ...] = ()


def test_nested_configs_come_back_from_plain_data() -> None:
    plain = json.loads(json.dumps({"inner": {"sizes": [3]}, "path": "a/b", "names": ["x"]}))
    assert config_from_dict(Outer, plain, source=Path("x")) == Outer(Inner((3,)), Path("a/b"), ("x",))
