"""Phase (b) starts from phase (a): everything or a clear refusal."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from xdancer.checkpoint import fingerprint, load_model
from xdancer.errors import CheckpointError, StageMismatchError
from xdancer.video_diffusion.handover import freeze_spatial, load_initial
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.vqvae.model import VQVAE


def save(model: VideoDiffusion, tokenizer: VQVAE, path: Path) -> None:
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    header = {"stage": "video_diffusion", "config": asdict(model.config), "tokenizer_fingerprint": fingerprint(tokenizer)}
    torch.save({"hyper_parameters": header, "state_dict": weights}, path)


def test_phase_b_takes_everything_of_phase_a(tiny: VideoDiffusionConfig, tokenizer_folder: Path, tmp_path: Path) -> None:
    tokenizer = load_model(tokenizer_folder, VQVAE)
    image = VideoDiffusion(replace(tiny, motion_decoder=False))
    save(image, tokenizer, tmp_path / "a.ckpt")
    video = VideoDiffusion(replace(tiny, temporal=True))
    new = load_initial(video, tmp_path / "a.ckpt", tokenizer=tokenizer, tokenizer_path=tokenizer_folder)
    assert new
    assert all(".motion_modules." in name or name.startswith("motion_decoder.") for name in new)
    weights = video.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in image.state_dict().items())
    freeze_spatial(video)
    trained = {name.split(".")[0] for name, parameter in video.named_parameters() if parameter.requires_grad}
    assert trained == {"unet", "motion_decoder"}
    assert all(".motion_modules." in name for name, parameter in video.unet.named_parameters() if parameter.requires_grad)


def test_what_does_not_fit_is_refused(tiny: VideoDiffusionConfig, tokenizer_folder: Path, tmp_path: Path) -> None:
    tokenizer = load_model(tokenizer_folder, VQVAE)
    save(VideoDiffusion(tiny), tokenizer, tmp_path / "a.ckpt")

    def load(config: VideoDiffusionConfig, other: VQVAE = tokenizer) -> None:
        load_initial(VideoDiffusion(config), tmp_path / "a.ckpt", tokenizer=other, tokenizer_path=Path("runs/other.ckpt"))

    with pytest.raises(StageMismatchError, match=r"another noise schedule \(prediction v_prediction → sample\)"):
        load(replace(tiny, prediction="sample"))
    with pytest.raises(CheckpointError, match=r"weights of other sizes"):
        load(replace(tiny, block_out_channels=(16, 16)))
    changed = VQVAE(tokenizer.config)
    with pytest.raises(StageMismatchError, match=f"{fingerprint(tokenizer)[:12]}.*{fingerprint(changed)[:12]}"):
        load(tiny, changed)
    with pytest.raises(CheckpointError, match=r"no such checkpoint"):
        load_initial(VideoDiffusion(tiny), tmp_path / "b.ckpt", tokenizer=tokenizer, tokenizer_path=Path("x"))
