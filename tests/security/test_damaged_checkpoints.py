"""Checkpoints that are cut off, bit-flipped, of another stage or of other widths: refused in one line, or read with the weights they had."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from xdancer.checkpoint import embedded_tokenizer, fingerprint, load_model
from xdancer.errors import CheckpointError
from xdancer.motion_gpt.model import MotionGPT
from xdancer.vqvae.model import VQVAE


def test_every_length_but_the_whole_is_refused(tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    content, path = tiny_checkpoints["vqvae"].read_bytes(), tmp_path / "last.ckpt"
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            load_model(path, VQVAE)


def test_no_flipped_bit_reaches_the_weights(tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    content, path, rng = tiny_checkpoints["vqvae"].read_bytes(), tmp_path / "last.ckpt", np.random.default_rng(0)
    sound, outcomes = fingerprint(load_model(tiny_checkpoints["vqvae"], VQVAE)), []
    for position in rng.integers(len(content), size=60):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            outcomes.append(fingerprint(load_model(path, VQVAE)) == sound)  # the bit fell between the members
        except CheckpointError:
            outcomes.append(None)
    assert False not in outcomes
    assert outcomes.count(None) > 30


def test_another_stage_and_other_widths_are_named(tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a checkpoint of stage vqvae, not motion_gpt"):
        load_model(tiny_checkpoints["vqvae"], MotionGPT)
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        embedded_tokenizer(tiny_checkpoints["vqvae"])
    content = torch.load(tiny_checkpoints["vqvae"], weights_only=True)
    for key, value, words in (
        ("encoder_width", 16, "weights do not fit the stored config: .*size mismatch"),
        ("encoder_width", "wide", "no VQVAE can be built from the stored config"),
        ("codes", -3, "no VQVAE can be built from the stored config|weights do not fit"),
        ("nonsense", 1, "its config has nonsense, which this version's VQVAEConfig does not know"),
    ):
        changed = {**content, "hyper_parameters": {"stage": "vqvae", "config": {**content["hyper_parameters"]["config"], key: value}}}
        torch.save(changed, tmp_path / "last.ckpt")
        with pytest.raises(CheckpointError, match=words):
            load_model(tmp_path / "last.ckpt", VQVAE)
    del content["state_dict"][next(iter(content["state_dict"]))]
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="Missing key"):
        load_model(tmp_path / "last.ckpt", VQVAE)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "last.ckpt", "w") as archive:
        archive.writestr("notes.json", json.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_model(tmp_path / "last.ckpt", VQVAE)
