"""Three training steps of each phase of stage 3 give the stored numbers.

Made with torch 2.13 on x86-64 by running `steps()` of this file; the tolerance covers other BLAS builds. New numbers are a reviewed commit that
says what changed the training.
"""

from pathlib import Path

import pytest
import torch

from xdancer.checkpoint import save_model
from xdancer.types import PoseBatch, VideoBatch
from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.video_diffusion.module import VideoDiffusionModule
from xdancer.vqvae.model import VQVAE, VQVAEConfig

GOLDEN: dict[str, dict[str, list[float]]] = {
    "image": {"loss": [0.62203, 1.06539, 0.98107], "gradient": [0.74116, 1.05441, 0.85854]},
    "temporal": {"loss": [1.09028, 0.57503, 1.04976], "gradient": [0.21672, 0.08153, 0.12431]},
}
TOKENIZER = VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)


def config(*, temporal: bool) -> VideoDiffusionConfig:
    """The paper's stage at toy size: v-prediction, min-SNR, zero terminal SNR, noise offset, dropped portraits."""
    return VideoDiffusionConfig(
        height=32, width=32, patch_size=8, latent_channels=8, block_out_channels=(8, 16), attention_levels=(True, True), layers_per_block=1,
        attention_heads=2, cross_attention_dim=8, norm_groups=4, temporal=temporal, temporal_heads=2, temporal_positions=16, codes_width=30,
        motion_map=(2, 2), motion_channels=(8, 16), motion_width=16, motion_layers=1, motion_heads=2, condition_drop=0.5,
    )  # fmt: skip


def batch(frames: int) -> VideoBatch:
    """Waves for pictures, and a body of sines."""
    pictures = torch.linspace(-9, 9, 2 * (1 + frames) * 3 * 32 * 32).sin().reshape(2, 1 + frames, 3, 32, 32)
    points = torch.linspace(0, 20, 2 * 16 * 60 * 2).sin().reshape(2, 16, 60, 2) / 2
    index = torch.arange(frames).expand(2, -1) if frames > 2 else torch.tensor([[3, 9], [0, 15]])
    pose = PoseBatch(points, torch.ones(2, 16, 60))
    return VideoBatch(pictures[:, 0], pose.frames(slice(0, 1)), pictures[:, 1:], pose, index)


def steps(folder: Path, *, temporal: bool) -> dict[str, list[float]]:
    """Loss and gradient norm of three steps: two frames of all weights, or a window of 16 with the spatial weights frozen."""
    torch.manual_seed(0)
    save_model(VQVAE(TOKENIZER), folder)
    module = VideoDiffusionModule(config(temporal=temporal), tokenizer=folder, temporal_weights="new", train_spatial=not temporal)
    data, trained = batch(16 if temporal else 2), module.trained_parameters()
    module.model.image_space.fit(data.frames.flatten(0, 1))
    module.log = lambda *_, **__: None
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    found: dict[str, list[float]] = {"loss": [], "gradient": []}
    for step in range(3):
        optimizer.zero_grad()
        loss = module.train().training_step(data, step)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        found["loss"].append(round(float(loss.detach()), 5))
        found["gradient"].append(round(float(norm), 5))
    return found


@pytest.mark.parametrize("phase", ["image", "temporal"])
def test_three_steps(phase: str, tmp_path: Path) -> None:
    found = steps(tmp_path / "vqvae", temporal=phase == "temporal")
    for name, expected in GOLDEN[phase].items():
        assert found[name] == pytest.approx(expected, rel=2e-3), found
