"""One step of a small module of each stage, plain and with `compile`: greatest differences of outputs and gradients, a line of JSON each.

A process of its own: the shape checks of the tests would be compiled, too.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from xdancer.checkpoint import save_model
from xdancer.motion_gpt.model import MotionGPTConfig
from xdancer.motion_gpt.module import MotionGPTModule
from xdancer.types import DanceBatch, MusicFeatures, PoseBatch
from xdancer.video_diffusion.model import VideoDiffusionConfig
from xdancer.video_diffusion.module import VideoDiffusionModule
from xdancer.vqvae.model import VQVAE, VQVAEConfig
from xdancer.vqvae.module import VQVAEModule

TOKENIZER = VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)
GPT = MotionGPTConfig(
    layers=1, heads=2, width=16, frames=4, context_frames=2, overlap_frames=2, slots=1, codes=16, music_features={"librosa": 3}, dropout=0.0
)
VIDEO = VideoDiffusionConfig(
    height=64, width=32, patch_size=8, latent_channels=12, block_out_channels=(8, 16), attention_levels=(True, True), layers_per_block=1,
    attention_heads=2, cross_attention_dim=8, norm_groups=4, temporal_heads=2, temporal_positions=16, codes_width=30, motion_map=(4, 2),
    motion_channels=(8, 16), motion_width=16, motion_layers=1, motion_heads=2,
)  # fmt: skip


def poses(frames: int) -> PoseBatch:
    return PoseBatch(torch.rand(2, frames, 60, 2) - 0.5, torch.rand(2, frames, 60))


def vqvae(folder: Path, compile: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    module, pose = VQVAEModule(TOKENIZER, compile=compile), poses(3)
    module.eval()  # its codebook would follow the data
    return module.model, lambda: module(pose).pose.keypoints


def gpt(folder: Path, compile: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    module = MotionGPTModule(GPT, folder, compile=compile)
    music = MusicFeatures({"librosa": torch.randn(2, 9, 3)}, torch.zeros(2, 9, dtype=torch.bool))
    segment = module.read(DanceBatch(poses(9), music, torch.tensor([[0, 3], [1, 2]]), torch.tensor([True, False]), segment_frames=4))
    return module.model, lambda: module(segment)


def video(folder: Path, compile: bool, **changes: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    config = replace(VIDEO, **changes)
    module = VideoDiffusionModule(config, folder, temporal_weights="new", compile=compile)
    for parameter in module.model.unet.parameters():
        nn.init.normal_(parameter, std=0.1)  # some begin as zeros and would hide the others
    frames, picture = 4 if config.temporal else 2, torch.rand(2, 3, config.height, config.width) * 2 - 1
    codes, pose, noisy = torch.randn(2, 16, 30), poses(16), torch.randn(2, frames, config.latent_channels, *config.latent_size)
    module.model.image_space.fit(picture)

    def step() -> Tensor:
        portrait = module.model.encode_portrait(picture, PoseBatch(pose.keypoints[:, :1], pose.confidence[:, :1]), keep=torch.ones(2))
        motion = module.model.encode_motion(portrait, codes, pose, frame_index=torch.arange(frames).expand(2, -1))
        return module.model(noisy, torch.tensor([10, 500]), portrait, motion)

    return module.model, step


def phase_b(folder: Path, compile: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    return video(folder, compile, temporal=True, gradient_checkpointing=True, pose_guider=True)


def compare(make: Callable[[Path, bool], tuple[nn.Module, Callable[[], Tensor]]], folder: Path) -> dict[str, float]:
    found = []
    for compile in (False, True):
        torch.manual_seed(0)
        model, step = make(folder, compile)
        compiled = [name for name, part in model.named_modules() if part._compiled_call_impl is not None]
        assert bool(compiled) == compile, compiled
        output = step()
        output.square().mean().backward()
        found.append((output.detach(), {name: value.grad for name, value in model.named_parameters() if value.grad is not None}))
    (plain, plain_gradients), (ours, gradients) = found
    assert list(plain_gradients) == list(gradients)
    most = max(value.abs().max().item() for value in plain_gradients.values())
    apart = max((gradients[name] - value).abs().max().item() for name, value in plain_gradients.items())
    return {"output": ((ours - plain).abs().max() / plain.abs().max()).item(), "gradients": apart / most}


if __name__ == "__main__":
    torch.manual_seed(0)
    save_model(VQVAE(TOKENIZER), Path(sys.argv[1]) / "vqvae")
    for make in (vqvae, gpt, video, phase_b):
        print(json.dumps({"stage": make.__name__, **compare(make, Path(sys.argv[1]) / "vqvae")}), flush=True)
