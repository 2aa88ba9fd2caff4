"""Fixtures of the whole suite."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:  # a process per core: more threads than that only wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The optional folder of real videos, songs and weights beside the project."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the optional folder ../shared with real videos and songs")
    return folder


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """`support/tiny_shards.py`: functions that write small splits."""
    path = Path(__file__).parent / "support" / "tiny_shards.py"
    spec = importlib.util.spec_from_file_location("tiny_shards", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def one_seed() -> None:
    """Every test starts from the same random state."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of three small untrained stages that fit together (32×32 pictures)."""
    from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig
    from xdancer.pipelines.dance import DancePipeline
    from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
    from xdancer.vqvae.model import VQVAE, VQVAEConfig

    torch.manual_seed(0)
    tokenizer = VQVAE(VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1))
    gpt = MotionGPT(
        MotionGPTConfig(
            layers=1, heads=1, width=8, frames=32, context_frames=2, overlap_frames=8, slots=1, codes=16, music_features={"librosa": 35},
            music_lookahead_frames=2, previous_frames=1, global_music=False,
        )
    )  # fmt: skip
    renderer = VideoDiffusion(
        VideoDiffusionConfig(
            height=32, width=32, patch_size=4, latent_channels=8, block_out_channels=(8, 8), attention_levels=(True, True), layers_per_block=1,
            attention_heads=1, cross_attention_dim=8, norm_groups=4, codes_width=30, motion_map=(2, 2), motion_channels=(8, 8), motion_width=8,
            motion_layers=1, motion_heads=1, steps=1, guidance=1.0, prediction="sample", portrait_input=True,
        )
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny") / "model"
    DancePipeline(tokenizer, gpt, renderer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoints(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same three stages as training checkpoints, by stage."""
    import json

    from safetensors.torch import load_file

    headers = {stage: json.loads((tiny_models / stage / "config.json").read_text()) for stage in ("vqvae", "motion_gpt", "video_diffusion")}
    tokenizer = {f"tokenizer.{name}": value for name, value in load_file(tiny_models / "vqvae/model.safetensors").items()}
    paths = {}
    for stage, header in headers.items():
        weights = {f"model.{name}": value for name, value in load_file(tiny_models / stage / "model.safetensors").items()}
        notes = {"stage": stage, "config": header["config"]}
        if stage != "vqvae":
            weights |= tokenizer
            notes |= {"tokenizer_config": headers["vqvae"]["config"], "tokenizer_fingerprint": headers["vqvae"]["fingerprint"]}
        paths[stage] = tmp_path_factory.mktemp(stage) / "last.ckpt"
        torch.save({"state_dict": weights, "hyper_parameters": notes, "global_step": 1}, paths[stage])
    return paths


@pytest.fixture(scope="session")
def vgg_trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG16 of random weights, as torchvision names and stores it."""
    state: dict[str, torch.Tensor] = {"classifier.0.weight": torch.zeros(2, 2)}
    inner, place = 3, 0
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        if not width:
            place += 1  # pooling
            continue
        state[f"features.{place}.weight"] = torch.randn(width, inner, 3, 3) * (2 / (9 * inner)) ** 0.5
        state[f"features.{place}.bias"] = torch.zeros(width)
        inner, place = width, place + 2
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path
