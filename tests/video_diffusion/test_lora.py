"""Adapters start as nothing, train alone, resume, and merge to a renderer without them."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from callbacks.random_state import RandomState
from xdancer.adapters import merge_adapters
from xdancer.checkpoint import fingerprint, load_model, save_model
from xdancer.errors import CheckpointError, XDancerError
from xdancer.types import VideoBatch
from xdancer.video_diffusion.lora import LoRAConfig, add_adapters
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.module import VideoDiffusionModule

pytest.importorskip("peft", reason="the extra lora")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",  # the toy data needs none
    "ignore:.*is smaller than the logging interval:UserWarning",  # two steps
    "ignore:.*eval mode at the start",  # the tokenizer is frozen
    "ignore:.*LeafSpec.*:FutureWarning",  # lightning 2.6 on torch 2.13
)
LORA = LoRAConfig(rank=2, alpha=6.0)


class Batches(LightningDataModule):
    def __init__(self, batch: VideoBatch) -> None:
        super().__init__()
        self.batch = batch

    def train_dataloader(self) -> DataLoader[VideoBatch]:
        return DataLoader([self.batch] * 2, batch_size=None, generator=torch.Generator())  # else it draws from the run's

    val_dataloader = train_dataloader


def fit(module: VideoDiffusionModule, batch: VideoBatch, folder: Path, *, steps: int = 2, ckpt_path: Path | None = None) -> Path:
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        limit_val_batches=0, default_root_dir=folder, callbacks=[RandomState()],
    )  # fmt: skip
    trainer.fit(module, datamodule=Batches(batch), ckpt_path=ckpt_path, weights_only=True)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")
    return folder / f"{steps}.ckpt"


@pytest.fixture
def config(tiny: VideoDiffusionConfig) -> VideoDiffusionConfig:
    return replace(tiny, temporal=True)


@pytest.fixture
def base(config: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A trained phase (b)."""
    module = VideoDiffusionModule(config, tokenizer=tokenizer_folder, temporal_weights="new")
    return fit(module, make_batch(config, frames=16), tmp_path)


def dancer(config: VideoDiffusionConfig, tokenizer: Path, base: Path, lora: LoRAConfig = LORA) -> VideoDiffusionModule:
    return VideoDiffusionModule(config, tokenizer=tokenizer, initial=base, temporal_weights="initial", lora=lora)


@torch.no_grad()
def rendered(module: VideoDiffusionModule, batch: VideoBatch) -> torch.Tensor:
    torch.manual_seed(3)
    return module.eval()(batch)


def test_a_dancer_is_learned_by_adapters_alone_and_merges(
    config: VideoDiffusionConfig, base: Path, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path
) -> None:
    batch, whole = make_batch(config, frames=16), load_model(base, VideoDiffusion)
    module = dancer(config, tokenizer_folder, base)
    before = rendered(module, batch)
    trained = [name for name, value in module.model.named_parameters() if value.requires_grad]
    assert all("lora_" in name for name in trained)
    assert any("motion_modules" in name for name in trained)
    assert any(name.startswith("reference_net") for name in trained)
    path = fit(module.train(), batch, tmp_path / "lora")
    moved = {name for name, value in module.model.named_parameters() if value.requires_grad and value.grad is not None}
    assert moved == set(trained)  # DDP would wait for the others
    after, merged = rendered(module, batch), load_model(path, VideoDiffusion)
    assert not torch.equal(after, before)
    frozen = VideoDiffusionModule(config, tokenizer=tokenizer_folder)
    for model, expected in ((whole, before), (merged, after)):
        frozen.model = model
        torch.testing.assert_close(rendered(frozen, batch), expected, rtol=1e-3, atol=1e-4)
    same = {name for name, value in merged.state_dict().items() if torch.equal(value, whole.state_dict()[name])}
    assert all(name.rpartition(".")[0].endswith(LORA.targets) for name in set(merged.state_dict()) - same)


@pytest.mark.slow
def test_it_resumes_to_the_bit_and_only_as_it_was(
    config: VideoDiffusionConfig, base: Path, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path
) -> None:
    batch, results = make_batch(config, frames=16), []
    for parts in (False, True):
        torch.manual_seed(1)
        module = dancer(config, tokenizer_folder, base)
        path = fit(module, batch, tmp_path / f"lora{parts}", steps=2 if parts else 4)
        if parts:
            module = dancer(config, tokenizer_folder, Path("gone.ckpt"))
            module.restore_tokenizer(path)
            fit(module, batch, tmp_path / "lora", steps=4, ckpt_path=path)
        results.append(fingerprint(module.model))
    assert results[0] == results[1]
    with pytest.raises(CheckpointError, match=r"lora .*'rank': 2.*'rank': 3"):
        fit(dancer(config, tokenizer_folder, base, LoRAConfig(rank=3)), batch, tmp_path, steps=4, ckpt_path=path)


def test_it_starts_from_a_model_folder_too(config: VideoDiffusionConfig, base: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    save_model(load_model(base, VideoDiffusion), tmp_path / "model/video_diffusion")
    (tmp_path / "model/model_index.json").write_text('{"tokenizer_fingerprint": "other"}')
    with pytest.raises(Exception, match=r"was trained on tokenizer other"):
        dancer(config, tokenizer_folder, tmp_path / "model")
    index = f'{{"tokenizer_fingerprint": "{torch.load(base, weights_only=True)["hyper_parameters"]["tokenizer_fingerprint"]}"}}'
    (tmp_path / "model/model_index.json").write_text(index)
    module, whole = dancer(config, tokenizer_folder, tmp_path / "model"), load_model(base, VideoDiffusion)
    merged = merge_adapters(module.model.state_dict(), LORA.scale)
    assert all(torch.equal(value, merged[name]) for name, value in whole.state_dict().items())


def test_mistakes_are_said(config: VideoDiffusionConfig, tokenizer_folder: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(XDancerError, match=r"targets \['to_nothing'\]"):
        add_adapters(VideoDiffusion(config), LoRAConfig(targets=("to_nothing",)))
    with pytest.raises(ValueError, match="rank ≥ 1"):
        LoRAConfig(rank=0)
    weights = {"a.base_layer.weight": torch.zeros(2, 2), "a.lora_A.dancer.weight": torch.zeros(1, 2)}
    with pytest.raises(CheckpointError, match="adapter of a is incomplete"):
        merge_adapters(weights, 1.0)
    still = VideoDiffusionModule(replace(config, temporal=False), tokenizer=tokenizer_folder)
    torch.save({"state_dict": still.state_dict(), "hyper_parameters": dict(still.hparams), "global_step": 0}, tmp_path / "image.ckpt")
    with pytest.raises(CheckpointError, match="has no motion modules"):
        dancer(config, tokenizer_folder, tmp_path / "image.ckpt")
    assert asdict(LORA) == {"rank": 2, "alpha": 6.0, "targets": ("to_q", "to_k", "to_v", "to_out.0"), "reference": True}
