"""Moore-AnimateAnyone's four files: random small ones in that layout make the renderer that they were taken from, or are refused by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from xdancer.errors import CheckpointError
from xdancer.types import VideoBatch
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.moore import FILES, load_moore, moore_config


@pytest.fixture
def layout(tiny: VideoDiffusionConfig) -> VideoDiffusionConfig:
    """Moore's renderer at toy size."""
    paper = moore_config(autoencoder="vae", image_encoder="clip", height=64, width=64)
    keys = ("temporal", "motion_decoder", "pose_guider", "beta_schedule", "dropped_reference")
    return replace(tiny, **{key: getattr(paper, key) for key in keys})


def write_files(model: VideoDiffusion, folder: Path) -> Path:
    """As their training script saves: no output convolution in the reference net, motion modules apart (their names: test_motion_weights)."""
    unet, reference = model.unet.state_dict(), model.reference_net.unet.state_dict()
    contents = [
        {name: value for name, value in unet.items() if ".motion_modules." not in name},
        {name: value for name, value in reference.items() if not name.startswith(("conv_norm_out", "conv_out"))},
        model.pose_guider.state_dict(),
        {name: value for name, value in unet.items() if ".motion_modules." in name},
    ]
    folder.mkdir()
    for name, content in zip(FILES, contents, strict=True):
        torch.save(content, folder / name)
    return folder


def shaken(config: VideoDiffusionConfig) -> VideoDiffusion:
    model = VideoDiffusion(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def test_the_renderer_is_the_one_that_was_saved(layout: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tmp_path: Path) -> None:
    source, model = shaken(layout), VideoDiffusion(layout).eval()
    model.appearance.load_state_dict(source.appearance.state_dict())  # CLIP's embedding there, which has no weights of its own
    reports = load_moore(model, write_files(source, tmp_path / "moore"))
    assert [list(report.new) for report in reports] == [["motion modules"], ["conv_norm_out", "conv_out"], [], []]
    assert not any(report.unused for report in reports)
    batch = make_batch(layout, frames=16)
    noisy = torch.randn(2, 16, layout.latent_channels, *layout.latent_size)
    outputs = []
    for renderer in (source, model):
        portrait = renderer.encode_portrait(batch.reference, batch.reference_pose)
        for branch in (portrait, renderer.drop(portrait)):
            motion = renderer.encode_motion(branch, torch.zeros(2, 16, 30), batch.pose)
            outputs.append(renderer(noisy, torch.tensor([5, 500]), branch, motion))
    assert torch.equal(outputs[0], outputs[2])
    assert torch.equal(outputs[1], outputs[3])
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-3)


def test_missing_and_foreign_files_are_named(layout: VideoDiffusionConfig, tiny: VideoDiffusionConfig, tmp_path: Path) -> None:
    folder = write_files(VideoDiffusion(layout), tmp_path / "moore")
    with pytest.raises(CheckpointError, match=r"this config has no pose guider"):
        load_moore(VideoDiffusion(tiny), folder)
    with pytest.raises(CheckpointError, match=r"denoising_unet.pth: \d+ weights do not fit"):
        load_moore(VideoDiffusion(replace(layout, block_out_channels=(8, 24), motion_channels=(8, 24))), folder)
    (folder / FILES[2]).write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"pose_guider.pth does not load as plain tensors"):
        load_moore(VideoDiffusion(layout), folder)
    (folder / FILES[3]).unlink()
    with pytest.raises(CheckpointError, match=r"lacks motion_module.pth. Moore-AnimateAnyone's weights are denoising_unet.pth, "):
        load_moore(VideoDiffusion(layout), folder)


def test_the_papers_size_has_their_names() -> None:
    """The file names of the release hold SD1.5's sizes; the guider's are checked in test_pose_guider."""
    with torch.device("meta"):
        model = VideoDiffusion(moore_config(autoencoder="vae", image_encoder="clip", height=768, width=512))
    assert model.config.schedule["beta_schedule"] == "linear"
    assert sum(parameter.numel() for name, parameter in model.unet.named_parameters() if ".motion_modules." not in name) == 859_520_964
    assert model.unet.state_dict()["mid_block.motion_modules.0.transformer_blocks.0.pos_embed.pe"].shape == (1, 32, 1280)
