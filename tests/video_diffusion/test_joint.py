"""Tokenizer and motion decoder together: the image loss moves the encoder, and what comes out is a tokenizer of its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

from xdancer.checkpoint import embedded_tokenizer, fingerprint, load_model
from xdancer.types import VideoBatch
from xdancer.video_diffusion.joint import JointModule
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.vqvae.model import VQVAE

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",  # the toy data needs none
    "ignore:.*is smaller than the logging interval:UserWarning",  # a few steps
    "ignore:.*LeafSpec.*:FutureWarning",  # lightning 2.6 on torch 2.13
)


class Batches(LightningDataModule):
    def __init__(self, batch: VideoBatch) -> None:
        super().__init__()
        self.batches = [batch] * 2

    def train_dataloader(self) -> DataLoader[VideoBatch]:
        return DataLoader(self.batches, batch_size=None)

    val_dataloader = train_dataloader


def fit(module: JointModule, batch: VideoBatch, folder: Path, steps: int, ckpt_path: Path | None = None) -> Path:
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        limit_val_batches=0, default_root_dir=folder, callbacks=[EMAWeightAveraging(decay=0.5, use_buffers=False)],
    )  # fmt: skip
    trainer.fit(module, datamodule=Batches(batch), ckpt_path=ckpt_path, weights_only=True)
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_image_moves_the_encoder_and_a_new_tokenizer_is_written(
    weight: float, tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path
) -> None:
    config, batch, old = replace(tiny, temporal=True), make_batch(tiny, frames=16), load_model(tokenizer_folder, VQVAE)
    module = JointModule(
        tokenizer_weight=weight, config=config, tokenizer=tokenizer_folder, temporal_weights="new", train_spatial=False,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0),
    )  # fmt: skip
    path = fit(module, batch, tmp_path / "run", 4)
    new = load_model(tmp_path / "run/tokenizer", VQVAE)
    before, after = (dict(model.encoder.named_parameters()) for model in (old, new))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert fingerprint(new) != fingerprint(old)
    inside, recorded = embedded_tokenizer(path)
    assert recorded == fingerprint(inside) == fingerprint(new)
    assert isinstance(load_model(path, VideoDiffusion), VideoDiffusion)
    decoder_moved = any(not torch.equal(one, two) for one, two in zip(old.heads.parameters(), new.heads.parameters(), strict=True))
    assert decoder_moved == (weight > 0)  # the image does not see the poses of this renderer, only its codes


def test_the_gradient_is_the_image_s(
    tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, monkeypatch
) -> None:
    config = replace(tiny, temporal=True)
    module, batch = JointModule(tokenizer_weight=0.0, config=config, tokenizer=tokenizer_folder), make_batch(config, frames=16)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)  # no trainer
    with torch.no_grad():
        for name, value in module.model.motion_decoder.named_parameters():  # its outputs start at zero, and so would the gradient
            value.add_(0.05 * torch.randn_like(value)) if "weight" in name else None
    module.train().training_step(batch, 0).backward()
    norms = [float(value.grad.norm()) for value in module.tokenizer.encoder.parameters() if value.grad is not None]
    assert norms
    assert min(norms) > 0
    module.eval()
    codes, _ = module.read_motion(batch.pose)
    assert not codes.requires_grad


@pytest.mark.slow
def test_a_run_continues_where_it_stopped(
    tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path
) -> None:
    config, batch = replace(tiny, temporal=True), make_batch(tiny, frames=16)
    module = JointModule(config=config, tokenizer=tokenizer_folder, temporal_weights="new")
    path, learned = fit(module, batch, tmp_path / "run", 2), {}
    for source in (tokenizer_folder, Path("gone.ckpt")):
        again = JointModule(config=config, tokenizer=source, temporal_weights="new")
        again.restore_tokenizer(path)
        torch.manual_seed(1)
        fit(again, batch, tmp_path / f"again{len(learned)}", 4, ckpt_path=path)
        learned[str(source)] = fingerprint(again.tokenizer)
    assert len(set(learned.values())) == 1
    assert set(learned.values()) != {fingerprint(load_model(tokenizer_folder, VQVAE))}
