"""Small renderers and batches for the stage's tests."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from xdancer.checkpoint import save_model
from xdancer.types import PoseBatch, VideoBatch
from xdancer.video_diffusion.model import VideoDiffusionConfig
from xdancer.vqvae.model import VQVAE, VQVAEConfig

TINY = VideoDiffusionConfig(
    height=64, width=32, patch_size=8, latent_channels=12, block_out_channels=(8, 16), attention_levels=(True, True), layers_per_block=1,
    attention_heads=2, cross_attention_dim=8, norm_groups=4, temporal_heads=2, temporal_positions=16, codes_width=30, motion_map=(4, 2),
    motion_channels=(8, 16), motion_width=16, motion_layers=1, motion_heads=2, steps=2, guidance=1.0,
)  # fmt: skip
HELPED = replace(
    TINY, prediction="sample", min_snr_gamma=0.0, noise_offset=0.0, condition_drop=0.0, portrait_input=True, limb_warp=True, gate=True,
    portrait_colours=True, motion_input=4, heatmap_weight=0.1, terminal_share=0.5, l1_weight=0.1,
)  # fmt: skip


@pytest.fixture
def tiny() -> VideoDiffusionConfig:
    """The paper's stage at toy size, patches instead of an autoencoder."""
    return TINY


@pytest.fixture
def helped() -> VideoDiffusionConfig:
    """The same with every help on."""
    return HELPED


def _standing(batch: int, frames: int, *, shift: float = 0.0) -> PoseBatch:
    """An upright person, moved to the right by `shift`."""
    body = torch.tensor([
        [0.0, -0.62], [0.0, -0.45], [-0.12, -0.45], [-0.2, -0.2], [-0.2, 0.0], [0.12, -0.45], [0.2, -0.2], [0.2, 0.0],
        [-0.08, 0.05], [-0.08, 0.4], [-0.08, 0.75], [0.08, 0.05], [0.08, 0.4], [0.08, 0.75], [-0.03, -0.66], [0.03, -0.66], [-0.06, -0.64],
        [0.06, -0.64],
    ])  # fmt: skip
    hands = [body[wrist] + torch.linspace(0, 0.1, 21)[:, None] * torch.tensor([0.1, 1.0]) for wrist in (7, 4)]
    points = torch.cat([body, *hands]) + torch.tensor([shift, 0.0])
    return PoseBatch(points.expand(batch, frames, 60, 2).contiguous(), torch.ones(batch, frames, 60))


def _make_batch(config: VideoDiffusionConfig, *, batch: int = 2, frames: int = 2, pose_frames: int = 16) -> VideoBatch:
    """Random pictures of a person who steps to the right."""
    pose = _standing(batch, pose_frames)
    drift = torch.linspace(0, 0.2, pose_frames)[None, :, None, None] * torch.tensor([1.0, 0.0])
    index = torch.arange(frames).expand(batch, -1) if frames > 2 else torch.randint(0, pose_frames, (batch, frames))
    return VideoBatch(
        reference=torch.rand(batch, 3, config.height, config.width) * 2 - 1,
        reference_pose=_standing(batch, 1),
        frames=torch.rand(batch, frames, 3, config.height, config.width) * 2 - 1,
        pose=PoseBatch(pose.keypoints + drift, pose.confidence),
        frame_index=index,
    )


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Path:
    """A random VQ-VAE with codes of 30 numbers per frame."""
    config = VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)
    save_model(VQVAE(config), tmp_path / "vqvae")
    return tmp_path / "vqvae"


@pytest.fixture
def standing() -> Callable[..., PoseBatch]:
    """`standing(batch, frames, shift=…)`: an upright person."""
    return _standing


@pytest.fixture
def make_batch() -> Callable[..., VideoBatch]:
    """`make_batch(config, batch=…, frames=…, pose_frames=…)`: random pictures with poses."""
    return _make_batch
