"""The Lightning system trains both phases, samples, and stores what the next stage needs."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

from callbacks.video_metrics import VideoMetrics
from xdancer.checkpoint import embedded_tokenizer, fingerprint, load_model
from xdancer.errors import CheckpointError, StageMismatchError
from xdancer.types import VideoBatch
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.module import VideoDiffusionModule
from xdancer.video_diffusion.unet import MOTION_MODULES


class Batches(LightningDataModule):
    """The same batch again and again."""

    def __init__(self, batch: VideoBatch, count: int) -> None:
        super().__init__()
        self.batches = [batch] * count

    def train_dataloader(self) -> DataLoader[VideoBatch]:
        return DataLoader(self.batches, batch_size=None)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


def make_trainer(folder: Path, steps: int) -> Trainer:
    return Trainer(accelerator="cpu", max_steps=steps, logger=False, enable_progress_bar=False, enable_model_summary=False,
                   enable_checkpointing=False, default_root_dir=folder, limit_val_batches=1, num_sanity_val_steps=0,
                   callbacks=[EMAWeightAveraging(decay=0.9, use_buffers=False)])  # fmt: skip


def fit(module: VideoDiffusionModule, batch: VideoBatch, folder: Path, steps: int = 3) -> Trainer:
    trainer = make_trainer(folder, steps)
    trainer.fit(module, datamodule=Batches(batch, steps))
    trainer.save_checkpoint(folder / "last.ckpt")
    return trainer


pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",  # the toy data needs none
    "ignore:.*is smaller than the logging interval:UserWarning",  # three steps
    "ignore:.*eval mode at the start",  # the tokenizer is frozen
    "ignore:.*LeafSpec.*:FutureWarning",  # lightning 2.6 on torch 2.13
)


@pytest.mark.parametrize("helps", [False, True])
def test_both_phases(
    helps: bool, tiny: VideoDiffusionConfig, helped: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    config = helped if helps else tiny
    optimizer = partial(torch.optim.AdamW, lr=1e-3)
    image = VideoDiffusionModule(config, tokenizer_folder, optimizer=optimizer)
    trainer = fit(image, make_batch(config), tmp_path)
    assert torch.isfinite(trainer.callback_metrics["val/loss"])
    assert {"val/psnr", "val/psnr_copy"} <= set(trainer.callback_metrics)
    assert bool(image.model.image_space.fitted)
    reloaded = load_model(tmp_path / "last.ckpt", VideoDiffusion)
    assert all(torch.equal(value, reloaded.state_dict()[name]) for name, value in image.model.state_dict().items())
    assert embedded_tokenizer(tmp_path / "last.ckpt")[0].config == image.tokenizer.config

    video = VideoDiffusionModule(
        replace(config, temporal=True), tokenizer_folder, initial=tmp_path / "last.ckpt", temporal_weights="new", train_spatial=False,
        optimizer=optimizer,
    )  # fmt: skip
    before = {name: value.clone() for name, value in video.model.state_dict().items()}
    fit(video, make_batch(config, frames=16), tmp_path / "b")
    changed = {name for name, value in video.model.state_dict().items() if not torch.allclose(value, before[name], atol=1e-6)}
    assert any(".motion_modules." in name for name in changed)
    assert not [name for name in changed if ".motion_modules." not in name and not name.startswith(("motion_", "heatmap_head"))]


def test_the_first_steps_teach_the_motion_decoder_alone(
    helped: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path
) -> None:
    config = replace(helped, heatmap_steps=4)
    module = VideoDiffusionModule(config, tokenizer_folder, optimizer=partial(torch.optim.AdamW, lr=1e-2))
    before = {name: value.clone() for name, value in module.model.state_dict().items()}
    trainer = make_trainer(tmp_path, 4)
    trainer.fit(module, datamodule=Batches(make_batch(config), 4))
    changed = {name for name, value in module.model.state_dict().items() if not torch.allclose(value, before[name], atol=1e-6)}
    assert {"heatmap_head.weight", "motion_decoder.start", "motion_decoder.style.project.weight"} <= changed
    assert not [name for name in changed if not name.startswith(("motion_decoder.", "heatmap_head.", "image_space."))]


@pytest.mark.filterwarnings("ignore:.*loading a checkpoint outside the .fit. stage")  # the averaged weights are what is wanted
def test_a_checkpoint_is_evaluated_without_the_files_it_was_made_from(
    tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path
) -> None:
    data = Batches(make_batch(tiny), 1)
    trained = VideoDiffusionModule(tiny, tokenizer_folder)
    fit(trained, data.batches[0], tmp_path, steps=1)

    def bare() -> VideoDiffusionModule:
        return VideoDiffusionModule(tiny, tmp_path / "gone.ckpt", initial=tmp_path / "phase_a.ckpt", pretrained=tmp_path / "sd15")

    def trainer() -> Trainer:
        return make_trainer(tmp_path, steps=2)

    module = bare()
    trainer().validate(module, data, ckpt_path=tmp_path / "last.ckpt", weights_only=True, verbose=False)
    trainer().test(bare(), data, ckpt_path=tmp_path / "last.ckpt", weights_only=True, verbose=False)
    (pictures,) = trainer().predict(bare(), data, ckpt_path=tmp_path / "last.ckpt", weights_only=True) or []
    assert pictures.shape == (2, 2, 3, 64, 32)
    assert module.hparams == trained.hparams
    assert fingerprint(module.tokenizer) == fingerprint(trained.tokenizer)
    for start in (trainer().fit, trainer().validate):
        with pytest.raises(CheckpointError, match=r"gone.ckpt: no such checkpoint. .*configs/vqvae.yaml. makes one"):
            start(bare(), data)
    with pytest.raises(CheckpointError, match=r"phase_a.ckpt: no such checkpoint"):
        trainer().validate(VideoDiffusionModule(tiny, tokenizer_folder, initial=tmp_path / "phase_a.ckpt"), data)
    again = bare()
    again.restore_tokenizer(tmp_path / "last.ckpt")  # as the command line does before it continues a run
    trainer().fit(again, data, ckpt_path=tmp_path / "last.ckpt", weights_only=True)


@pytest.mark.parametrize(
    ("weights", "words"), [(None, "temporal_weights is not set: .* Say `new`"), ("nowhere/mm.ckpt", "nowhere/mm.ckpt: no such file")]
)
def test_phase_b_says_where_its_motion_modules_start(
    weights: str | None, words: str, tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path
) -> None:
    module = VideoDiffusionModule(replace(tiny, temporal=True), tokenizer_folder, temporal_weights=weights)
    with pytest.raises(CheckpointError, match=words):
        make_trainer(tmp_path, steps=1).fit(module, Batches(make_batch(tiny, frames=16), 1))


def test_named_motion_modules_are_not_overruled(
    tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path
) -> None:
    """`new` and a path say where the motion modules start, whatever `initial` holds; `initial` takes its own."""
    config = replace(tiny, temporal=True)
    first = VideoDiffusionModule(config, tokenizer_folder, temporal_weights="new")
    for name, parameter in first.model.named_parameters():
        if MOTION_MODULES in name:
            torch.nn.init.constant_(parameter, 0.25)
    fit(first, make_batch(config, frames=16), tmp_path, steps=1)

    def output_projections(weights: str) -> torch.Tensor:
        module = VideoDiffusionModule(config, tokenizer_folder, initial=tmp_path / "last.ckpt", temporal_weights=weights)
        assert torch.equal(module.model.unet.conv_in.weight, load_model(tmp_path / "last.ckpt", VideoDiffusion).unet.conv_in.weight)
        return torch.cat([p.flatten() for name, p in module.model.named_parameters() if MOTION_MODULES in name and "proj_out" in name]).detach()

    assert output_projections("new").abs().max() == 0
    assert output_projections("initial").mean() == pytest.approx(0.25, abs=0.01)


def test_generate_is_deterministic(helped: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path) -> None:
    module = VideoDiffusionModule(helped, tokenizer_folder).eval()
    torch.nn.init.normal_(module.model.unet.conv_out.weight)  # zero at the start: the noise would not show
    batch = make_batch(helped, pose_frames=20)
    one, two, other = (module.generate(batch.reference, batch.reference_pose, pose=batch.pose, seed=seed).frames for seed in (3, 3, 4))
    assert one.shape == (2, 20, 3, 64, 32)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    with pytest.raises(ValueError, match=r"needs tokens or pose"):
        module.generate(batch.reference, batch.reference_pose)


def test_callbacks_render_with_frozen_weights_in_sixteen_bits(
    tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, tmp_path: Path
) -> None:
    config = replace(tiny, temporal=True)
    module = VideoDiffusionModule(config, tokenizer_folder, temporal_weights="new", train_spatial=False)
    module.shrink_frozen(torch.bfloat16)
    trainer = Trainer(
        accelerator="cpu", max_steps=1, precision="bf16-mixed", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, limit_val_batches=1, num_sanity_val_steps=0, callbacks=[VideoMetrics(windows=2)],
    )  # fmt: skip
    trainer.fit(module, datamodule=Batches(make_batch(config, frames=16), 1))
    assert torch.isfinite(trainer.callback_metrics["val/person_psnr"])


@pytest.mark.parametrize("guided_by", ["tokens", "pose"])
def test_what_the_pose_guider_is_shown(
    guided_by: str, tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path
) -> None:
    config = replace(tiny, motion_decoder=False, pose_guider=True, guided_by=guided_by)
    module, batch = VideoDiffusionModule(config, tokenizer_folder), make_batch(tiny)
    codes, shown = module.read_motion(batch.pose)
    assert torch.equal(shown.keypoints, batch.pose.keypoints) == (guided_by == "pose")
    assert torch.equal(module.read_motion(None, module.tokenizer.encode(batch.pose))[0], codes)


def test_codes_of_another_width_are_refused(tiny: VideoDiffusionConfig, tokenizer_folder: Path) -> None:
    with pytest.raises(StageMismatchError, match=r"codes of 30 numbers per frame, this config's codes_width is 180"):
        VideoDiffusionModule(replace(tiny, codes_width=180), tokenizer_folder)


def test_frozen_weights_in_sixteen_bits_train_as_under_autocast(
    tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], tokenizer_folder: Path, monkeypatch
) -> None:
    config = replace(tiny, temporal=True)
    module, batch = VideoDiffusionModule(config, tokenizer=tokenizer_folder, train_spatial=False), make_batch(config, frames=16)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)  # no trainer

    def gradients() -> tuple[float, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            loss = module.training_step(batch, 0)
        loss.backward()
        return loss.item(), {name: value.grad.clone() for name, value in module.named_parameters() if value.grad is not None}

    whole, before = gradients()
    module.shrink_frozen(torch.bfloat16)
    kinds = {(value.requires_grad, value.dtype) for value in module.model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    assert {value.dtype for value in module.tokenizer.parameters()} == {torch.float32}
    held, after = gradients()
    assert held == pytest.approx(whole, rel=2e-3)
    for name, gradient in before.items():
        assert after[name].dtype == torch.float32
        assert (after[name] - gradient).norm() <= 0.05 * gradient.norm() + 1e-6, name
