"""Our blocks against transformers' GPT-2 with copied weights, and the strict loader of GPT-2 folders."""

import json
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from xdancer.errors import CheckpointError
from xdancer.motion_gpt.gpt2_weights import load_gpt2_folder
from xdancer.motion_gpt.model import PLACE_STD, MotionGPT, MotionGPTConfig

TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
SIZES = {"layers": 3, "heads": 4, "width": 32}


def make_gpt(**changes) -> MotionGPT:
    config = MotionGPTConfig(
        **{**SIZES, "frames": 4, "context_frames": 1, "overlap_frames": 1, "slots": 2, "music_features": {"librosa": 3}, **changes}
    )
    return MotionGPT(config).eval()


@pytest.fixture(scope="module")
def oracle() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    model = GPT2LMHeadModel(GPT2Config(n_layer=3, n_head=4, n_embd=32, n_positions=30, vocab_size=17, initializer_range=0.3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def folder(oracle: GPT2LMHeadModel, tmp_path: Path) -> Path:
    oracle.save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def test_blocks_equal_transformers_gpt2(oracle: GPT2LMHeadModel, folder: Path) -> None:
    gpt = make_gpt()
    load_gpt2_folder(gpt, folder)
    embedding = torch.randn(2, 30, 32)
    with torch.no_grad():
        theirs = oracle.transformer(inputs_embeds=embedding).last_hidden_state
        ours = gpt.transformer(embedding + gpt.positions.weight[:30])
    assert (ours - theirs).abs().max() <= 1e-5


def test_gradients_equal_transformers_gpt2(oracle: GPT2LMHeadModel, folder: Path) -> None:
    """Of a loss on the features, with respect to every weight of the blocks."""
    gpt = make_gpt()
    load_gpt2_folder(gpt, folder)
    embedding, direction = torch.randn(2, 30, 32), torch.randn(2, 30, 32)
    theirs = {name: p for name, p in oracle.transformer.named_parameters() if not name.startswith("wte")}
    grads = torch.autograd.grad((oracle.transformer(inputs_embeds=embedding).last_hidden_state * direction).sum(), list(theirs.values()))
    ours = dict(gpt.transformer.named_parameters()) | {"wpe.weight": gpt.positions.weight}
    features = gpt.transformer(embedding + gpt.positions.weight[:30])
    own = dict(zip(ours, torch.autograd.grad((features * direction).sum(), list(ours.values())), strict=True))
    for (name, parameter), grad in zip(theirs.items(), grads, strict=True):
        found = own[name][: len(parameter)] if name == "wpe.weight" else own[name].T if name.endswith(TRANSPOSED) else own[name]
        torch.testing.assert_close(found, grad, rtol=1e-4, atol=1e-4, msg=lambda message, name=name: f"{name}: {message}")


def test_report_says_loaded_extended_new_and_skipped(oracle: GPT2LMHeadModel, folder: Path) -> None:
    gpt = make_gpt()  # window 4 + 10 + 40 = 54 > 30
    fresh = {name: value.clone() for name, value in gpt.state_dict().items()}
    report = load_gpt2_folder(gpt, folder)
    assert sum(name.startswith("transformer.h.") for name in report.loaded) == 3 * 12
    assert {"transformer.ln_f.weight", "transformer.ln_f.bias"} <= set(report.loaded)
    assert report.extended == {"positions.weight": (30, 54)}
    assert {"tokens.weight", "fuse.weight", "frame_music.weight", "prefix_music.weight", "no_music"} <= set(report.new)
    assert report.skipped == ("wte.weight",)
    assert torch.equal(gpt.positions.weight[:30], oracle.transformer.wpe.weight)
    scale = oracle.transformer.wpe.weight.std() / PLACE_STD  # what is new has the size of what is loaded
    torch.testing.assert_close(gpt.positions.weight[30:], fresh["positions.weight"][30:] * scale)
    for name in ("kinds.weight", "fuse.weight", "fuse.bias", "prefix_music.weight"):
        torch.testing.assert_close(gpt.state_dict()[name], fresh[name] * scale)
    assert torch.equal(gpt.tokens.weight, fresh["tokens.weight"])
    assert set(report.loaded) | set(report.extended) | set(report.new) == {name for name, _ in gpt.named_parameters()}
    assert "extended" in str(report)


def test_old_bin_files_with_mask_buffers_load(oracle: GPT2LMHeadModel, tmp_path: Path) -> None:
    """The original GPT-2 folders: `pytorch_model.bin`, no prefix, causal-mask buffers."""
    state = {name.removeprefix("transformer."): value for name, value in oracle.state_dict().items() if name != "lm_head.weight"}
    state["h.0.attn.bias"] = torch.ones(1, 1, 30, 30)
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(oracle.config.to_dict(), default=str))
    assert len(load_gpt2_folder(make_gpt(), tmp_path).loaded) == 38


def test_a_missing_or_unknown_weight_is_an_error(oracle: GPT2LMHeadModel, folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    name = next(key for key in state if key.endswith("h.1.mlp.c_fc.weight"))
    save_file({key: value for key, value in state.items() if key != name}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"h\.1\.mlp\.c_fc\.weight"):
        load_gpt2_folder(make_gpt(), folder)
    save_file({**state, "adapter.weight": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"adapter\.weight"):
        load_gpt2_folder(make_gpt(), folder)


@pytest.mark.parametrize(("changes", "words"), [({"layers": 2}, "3 layers"), ({"heads": 8}, "4 heads"), ({"width": 64}, "width 32")])
def test_another_size_is_refused(folder: Path, changes: dict[str, int], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_gpt2_folder(make_gpt(**changes), folder)


def test_no_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_gpt2_folder(make_gpt(), tmp_path / "nothing")


def test_damaged_weights_are_a_clear_error(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="damaged"):
        load_gpt2_folder(make_gpt(), folder)
