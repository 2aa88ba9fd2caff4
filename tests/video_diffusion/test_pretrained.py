"""Diffusers folders load whole or not at all (random small ones, saved by diffusers itself)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from xdancer.errors import CheckpointError
from xdancer.types import PoseBatch
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.pretrained import load_image_encoder, load_pretrained, load_unet
from xdancer.video_diffusion.unet import build_unet2d


def test_sd_folder(tiny: VideoDiffusionConfig, tmp_path: Path) -> None:
    source = build_unet2d(tiny, in_channels=12, out_channels=12)
    source.save_pretrained(tmp_path / "unet")
    model = VideoDiffusion(replace(tiny, temporal=True))
    reports = load_pretrained(model, tmp_path)
    assert list(reports[0].new) == ["motion modules"]
    assert "tensors loaded, new: motion modules (" in str(reports[0])
    assert not reports[1].new
    weights = model.unet.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in source.state_dict().items())
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.reference_net.unet.state_dict().items())


def test_helps_widen_the_first_convolution_with_zeros(helped: VideoDiffusionConfig, tmp_path: Path) -> None:
    source = build_unet2d(helped, in_channels=12, out_channels=12)
    source.save_pretrained(tmp_path)
    model = VideoDiffusion(helped)
    report = load_unet(model, tmp_path)[0]
    assert report.widened == ("conv_in.weight", "conv_out.bias", "conv_out.weight")
    assert torch.equal(model.unet.conv_in.weight[:, :12], source.conv_in.weight)
    assert model.unet.conv_in.weight[:, 12:].abs().max() == 0


def test_a_whole_clip_lends_its_vision_half(tmp_path: Path) -> None:
    """OpenAI's folders hold both halves; another surplus is refused."""
    from safetensors.torch import load_file, save_file
    from transformers import CLIPConfig, CLIPModel

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    whole = CLIPModel(
        CLIPConfig(
            text_config={**sizes, "vocab_size": 16, "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 1},
            vision_config={**sizes, "image_size": 16, "patch_size": 8, "projection_dim": 8}, projection_dim=8,
        )
    )  # fmt: skip
    whole.save_pretrained(tmp_path)
    encoder = load_image_encoder(tmp_path, width=8)
    assert torch.equal(encoder.visual_projection.weight, whole.visual_projection.weight)
    path = tmp_path / "model.safetensors"
    save_file(load_file(path) | {"adapter.weight": torch.zeros(1)}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 unexpected weights"):
        load_image_encoder(tmp_path, width=8)


def test_nothing_of_a_wider_source_is_cut_off(tiny: VideoDiffusionConfig, tmp_path: Path) -> None:
    """An inpainting UNet reads more channels than the renderer has."""
    build_unet2d(tiny, in_channels=21, out_channels=12).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"conv_in.weight \(8, 21, 3, 3\) ≠ \(8, 12, 3, 3\)"):
        load_unet(VideoDiffusion(tiny), tmp_path)


def test_refusals(tiny: VideoDiffusionConfig, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no sub-folder `unet`"):
        load_pretrained(VideoDiffusion(tiny), tmp_path)
    build_unet2d(replace(tiny, block_out_channels=(8, 8)), in_channels=12, out_channels=12).save_pretrained(tmp_path / "unet")
    with pytest.raises(CheckpointError, match=r"weights do not fit the config"):
        load_pretrained(VideoDiffusion(tiny), tmp_path)
    with pytest.raises(CheckpointError, match=r"is no CLIPVisionModelWithProjection folder"):
        load_image_encoder(tmp_path, width=8)


def test_clip_embedding(tiny: VideoDiffusionConfig, standing: Callable[..., PoseBatch], tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=8, **sizes)).save_pretrained(tmp_path)
    model = VideoDiffusion(replace(tiny, image_encoder=str(tmp_path)))
    assert model.appearance(torch.zeros(2, 3, 64, 32), standing(2, 1)).shape == (2, 1, 8)
    assert not [name for name in model.state_dict() if "encoder" in name and "motion" not in name]
    with pytest.raises(CheckpointError, match=r"projects to 8, the renderer's cross_attention_dim is 9"):
        load_image_encoder(tmp_path, width=9)
