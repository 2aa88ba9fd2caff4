"""Stage 2 on tokenised shards: the segments that it reads are those that it makes of the poses, to the bit and in the same order."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer

from datamodules.motion import MotionDataModule
from xdancer.__main__ import main
from xdancer.checkpoint import save_model
from xdancer.data.derive import ClipSource, add_feature
from xdancer.embedded.build import EmbeddedConfig, build_embedded
from xdancer.errors import ShardError, StageMismatchError
from xdancer.motion_gpt.model import MotionGPTConfig, Segment
from xdancer.motion_gpt.module import MotionGPTModule
from xdancer.types import DanceBatch, PoseBatch
from xdancer.vqvae.model import VQVAE, VQVAEConfig

TOKENIZER = VQVAEConfig(slots=2, codes=64)  # encoders of full size: what could differ are their sums
CONFIG = MotionGPTConfig(
    layers=1, heads=1, width=8, frames=16, context_frames=4, overlap_frames=4, slots=2, codes=64, music_features={"librosa": 35},
    music_lookahead_frames=2, previous_frames=2, token_noise=0.2,
)  # fmt: skip

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*eval mode at the start.*"),  # the tokenizer is frozen
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),  # lightning 2.6 on torch 2.13
]


def save_tokenizer(folder: Path, seed: int) -> Path:
    """A tokenizer whose codes lie among its latents, so that many of them are used."""
    torch.manual_seed(seed)
    tokenizer = VQVAE(TOKENIZER)
    tokenizer(PoseBatch(torch.randn(64, 4, 60, 2) * 0.3, torch.rand(64, 4, 60)))
    save_model(tokenizer, folder)
    return folder


def noise(clip: ClipSource) -> np.ndarray:
    return np.random.default_rng(clip.number).normal(size=(clip.frames, 35))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embedded clips, a tokenizer, and its tokens."""
    folder = tmp_path_factory.mktemp("tokens")
    sizes = {"train_clips": 6, "val_clips": 2, "test_clips": 1, "seconds": 4.0, "video_clips": 0, "evaluation_video_clips": 0}
    build_embedded(folder / "data", EmbeddedConfig(features=(), **sizes), workers=1, progress=False)
    for split in ("train", "val", "test"):
        add_feature(folder / "data" / split, "librosa", {"width": 35, "version": "test"}, noise)
    save_tokenizer(folder / "vqvae", 0)
    assert main(["tokenize", str(folder / "data"), "--vqvae", str(folder / "vqvae"), "--device", "cpu"]) == 0
    return folder


def data(root: Path, **arguments) -> MotionDataModule:
    sizes = {"segment_frames": 16, "history_frames": 20, "context_frames": 4, "lookahead_frames": 2, "features": ("librosa",), "batch_size": 5}
    folders = {split: str(root / "data" / split) for split in ("train", "val", "test")}
    return MotionDataModule(stage="gpt", **{**folders, **sizes, **arguments})


def read(module: MotionGPTModule, batches: list[PoseBatch | DanceBatch]) -> list[Segment]:
    assert all(isinstance(batch, DanceBatch) for batch in batches)
    return [module.read(batch) for batch in batches if isinstance(batch, DanceBatch)]


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader"])
def test_segments_from_tokens_equal_those_from_poses(root: Path, loader: str) -> None:
    module = MotionGPTModule(CONFIG, root / "vqvae")
    poses, tokens = data(root), data(root, tokens=".tokens")
    batches = [list(getattr(source, loader)()) for source in (poses, tokens)]
    assert all(batch.pose is None and batch.tokens is not None for batch in batches[1])
    first, second = read(module, batches[0]), read(module, batches[1])
    assert len(first) == len(second) >= 2
    assert len(torch.cat([segment.motion for segment in first]).unique()) > 20
    for one, other in zip(first, second, strict=True):
        for field in fields(Segment):
            a, b = getattr(one, field.name), getattr(other, field.name)
            assert a is None or (a.dtype == b.dtype and torch.equal(a, b)), field.name
    assert any(segment.context.eq(-1).any() for segment in first)
    assert not all(segment.context.eq(-1).all() for segment in first)


def test_a_run_trains_on_tokens_and_ends_like_one_on_poses(root: Path, tmp_path: Path) -> None:
    ends = []
    for arguments in ({}, {"tokens": ".tokens"}):
        torch.manual_seed(0)
        module = MotionGPTModule(CONFIG, root / "vqvae")
        make_trainer(tmp_path, max_steps=3).fit(module, datamodule=data(root, **arguments))
        ends.append(module.model.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def make_trainer(tmp_path: Path, **arguments) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return Trainer(default_root_dir=tmp_path, accelerator="cpu", devices=1, num_sanity_val_steps=0, **quiet, **arguments)


def test_predictions_start_from_poses(root: Path) -> None:
    batch = next(iter(data(root, tokens=".tokens").predict_dataloader()))
    assert isinstance(batch, DanceBatch)
    assert batch.pose is not None


def test_tokens_of_another_tokenizer_are_refused(root: Path, tmp_path: Path) -> None:
    module = MotionGPTModule(CONFIG, save_tokenizer(tmp_path / "other", 1))
    with pytest.raises(
        StageMismatchError, match=r"train.tokens holds tokens of tokenizer \w{12}, the model has tokenizer \w{12}. Run `xdancer tok"
    ):
        make_trainer(tmp_path, max_steps=1).fit(module, datamodule=data(root, tokens=".tokens"))


def test_what_tokens_cannot_do_is_said(root: Path) -> None:
    with pytest.raises(ShardError, match=r"data.mirror cannot be used with data.tokens .tokens: a mirrored pose has other tokens"):
        data(root, tokens=".tokens", mirror=True)
    with pytest.raises(ShardError, match="is read by stage gpt, not by vqvae"):
        MotionDataModule(stage="vqvae", tokens=".tokens")
    with pytest.raises(ShardError, match=r"train.none has no derived.json: it was not made, or not to the end, by `xdancer tokenize`"):
        data(root, tokens=".none").setup("fit")
