"""Stage 2 as a Lightning system: what it reads from a batch, the tokenizer inside its checkpoint, the refusal of another one."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

from xdancer.checkpoint import embedded_tokenizer, fingerprint, load_model, save_model
from xdancer.errors import CheckpointError, StageMismatchError
from xdancer.motion_gpt.conditions import motion_figures
from xdancer.motion_gpt.model import ABSENT, MotionGPT, MotionGPTConfig
from xdancer.motion_gpt.module import MotionGPTModule
from xdancer.motion_gpt.reading import drop_conditions
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.pipelines.folder import write_folder
from xdancer.types import DanceBatch, MotionTokens, MusicFeatures, PoseBatch
from xdancer.vqvae.model import VQVAE, VQVAEConfig

TOKENIZER = VQVAEConfig(slots=2, codes=16, code_width=4, encoder_width=4, encoder_depth=1, decoder_width=8, decoder_depth=1)
CONFIG = MotionGPTConfig(
    layers=1, heads=2, width=16, frames=4, context_frames=2, overlap_frames=2, slots=2, codes=16, music_features={"librosa": 3},
    music_lookahead_frames=2, previous_frames=1, dropout=0.0,
)  # fmt: skip
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*many workers.*"),  # the data are four numbers
    pytest.mark.filterwarnings("ignore:.*eval mode at the start.*"),  # the tokenizer is frozen
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),  # lightning 2.6 on torch 2.13
]


def make_batch(seed: int = 0) -> DanceBatch:
    """Two items of 5 + 4 frames, the second without anything before its segment; music runs 2 frames on."""
    random = torch.Generator().manual_seed(seed)
    pose = PoseBatch(torch.randn(2, 9, 60, 2, generator=random), torch.rand(2, 9, 60, generator=random))
    music = MusicFeatures({"librosa": torch.randn(2, 11, 3, generator=random)}, torch.zeros(2, 11, dtype=torch.bool))
    return DanceBatch(pose, music, torch.tensor([[0, 3], [1, 2]]), torch.tensor([True, False]), segment_frames=4)


class Data(LightningDataModule):
    def train_dataloader(self) -> DataLoader:
        return DataLoader([make_batch(seed) for seed in range(2)], batch_size=None)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader

    def evaluation_clips(self, count: int, split: str = "val") -> list[SimpleNamespace]:
        assert split == "train"
        return [SimpleNamespace(features={"librosa": np.full((50, 3), 5.0) + np.arange(50)[:, None]})] * 2


def make_tokenizer(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    tokenizer = VQVAE(TOKENIZER)
    save_model(tokenizer, folder)
    return folder


def make_trainer(tmp_path: Path) -> Trainer:
    return Trainer(
        max_steps=2, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return make_tokenizer(tmp_path / "tokenizer")


@pytest.fixture
def module(tokenizer: Path) -> MotionGPTModule:
    torch.manual_seed(1)
    return MotionGPTModule(CONFIG, tokenizer)


@pytest.fixture
def checkpoint(module: MotionGPTModule, tmp_path: Path) -> Path:
    trainer = make_trainer(tmp_path)
    trainer.fit(module, datamodule=Data())
    trainer.save_checkpoint(tmp_path / "gpt.ckpt")
    return tmp_path / "gpt.ckpt"


def test_segment_holds_the_right_frames_tokens_and_music(module: MotionGPTModule) -> None:
    batch = make_batch()
    segment = module.read(batch)
    assert module.tokenizer is not None
    ids = module.tokenizer.encode(batch.pose).ids
    music = module.model.stack_music(batch.music.features)
    assert torch.equal(segment.motion, ids[:, 5:])
    assert torch.equal(segment.music, music[:, 5:9])
    assert torch.equal(segment.context[0], ids[0, [0, 3]])
    assert torch.equal(segment.context_music[0], music[0, [0, 3]])
    assert torch.equal(segment.previous[0], ids[0, 4:5])
    assert segment.context[1].eq(ABSENT).all()
    assert segment.previous[1].eq(ABSENT).all()


def test_conditions_are_dropped_as_often_as_asked(module: MotionGPTModule) -> None:
    segment = module.read(make_batch())
    draws = [drop_conditions(segment, 0.1) for _ in range(800)]
    music = 1 - sum(draw.has_music.float().mean() for draw in draws) / 800
    context = sum(draw.context[0].eq(ABSENT).all().float() for draw in draws) / 800
    assert abs(music - 0.1) < 0.03
    assert abs(context - 0.1) < 0.03
    assert all(torch.equal(draw.motion, segment.motion) for draw in draws)


def test_a_trained_checkpoint_holds_model_tokenizer_and_normalisation(checkpoint: Path, tokenizer: Path) -> None:
    gpt = load_model(checkpoint, MotionGPT)
    assert gpt.config == CONFIG
    assert torch.allclose(gpt.music_mean, torch.full((3,), 29.0))
    inside, recorded = embedded_tokenizer(checkpoint)
    assert fingerprint(inside) == recorded == fingerprint(load_model(tokenizer, VQVAE))  # frozen through training


def test_training_learns_and_leaves_the_tokenizer_alone(module: MotionGPTModule) -> None:
    batch, optimizer = make_batch(), torch.optim.AdamW(module.model.parameters(), 0.01)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    module.train()
    assert module.tokenizer is not None
    assert not module.tokenizer.training
    before = fingerprint(module.tokenizer)
    losses = []
    for step in range(30):
        loss = module.training_step(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] < 1.3 * np.log(16)
    assert losses[-1] < 0.8 * losses[0]
    assert fingerprint(module.tokenizer) == before


def test_another_tokenizer_is_refused_with_both_fingerprints(checkpoint: Path, tmp_path: Path) -> None:
    other = make_tokenizer(tmp_path / "other", seed=5)
    names = [fingerprint(load_model(path, VQVAE))[:12] for path in (tmp_path / "tokenizer", other)]
    with pytest.raises(StageMismatchError, match=f"(?s){names[0]}.*{names[1]}"):
        make_trainer(tmp_path).validate(
            MotionGPTModule(CONFIG, other), datamodule=Data(), ckpt_path=checkpoint, weights_only=True, verbose=False
        )


def test_without_its_file_the_embedded_tokenizer_serves(checkpoint: Path, tmp_path: Path) -> None:
    module = MotionGPTModule(CONFIG, tmp_path / "moved")
    log = make_trainer(tmp_path).validate(module, datamodule=Data(), ckpt_path=checkpoint, weights_only=True, verbose=False)[0]
    assert {"val/loss", "val/perplexity", "val/music_gain", "val/cross_entropy_left_hand"} <= set(log)
    assert fingerprint(module.tokenizer) == embedded_tokenizer(checkpoint)[1]  # type: ignore[arg-type]


def test_training_goes_on_without_the_tokenizers_file(checkpoint: Path, tmp_path: Path) -> None:
    """With averaged weights, which copy the module before the checkpoint is read."""
    trainer = Trainer(
        max_steps=3, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, enable_checkpointing=False, num_sanity_val_steps=0, callbacks=[EMAWeightAveraging(use_buffers=False)],
    )  # fmt: skip
    module = MotionGPTModule(CONFIG, tmp_path / "moved")
    module.restore_tokenizer(checkpoint)
    with pytest.warns(UserWarning, match="not created with WeightAveraging"):
        trainer.fit(module, datamodule=Data(), ckpt_path=checkpoint, weights_only=True)
    trainer.save_checkpoint(tmp_path / "more.ckpt")
    assert trainer.global_step == 3
    assert embedded_tokenizer(tmp_path / "more.ckpt")[1] == embedded_tokenizer(checkpoint)[1]


def test_a_window_alone_logs_its_music_gain_with_weight_nothing(module: MotionGPTModule, tmp_path: Path) -> None:
    """Under DDP every rank has to log the same keys, whatever it holds."""
    batch = make_batch()
    pose = PoseBatch(batch.pose.keypoints[:1], batch.pose.confidence[:1])
    music = MusicFeatures({"librosa": batch.music.features["librosa"][:1]}, batch.music.beats[:1])
    alone = DanceBatch(pose, music, batch.context_index[:1], batch.has_context[:1], segment_frames=4)

    def music_gain(*batches: DanceBatch) -> float:
        loader = DataLoader(list(batches), batch_size=None)
        return make_trainer(tmp_path).validate(module, loader, verbose=False)[0]["val/music_gain"]

    assert music_gain(batch, alone) == music_gain(batch) != 0
    assert np.isnan(music_gain(alone))


def test_no_tokenizer_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"configs/demo/vqvae\.yaml"):
        make_trainer(tmp_path).fit(MotionGPTModule(CONFIG, Path("runs/demo/vqvae/none.ckpt")), datamodule=Data())


def test_a_tokenizer_of_other_sizes_is_refused(tokenizer: Path) -> None:
    with pytest.raises(StageMismatchError, match=r"slots 2 \(here 6\)"):
        MotionGPTModule(replace(CONFIG, slots=6), tokenizer)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"frames": 6}, "segment_frames 4"), ({"music_lookahead_frames": 3}, "lookahead_frames 2"), ({"previous_frames": 6}, "history_frames 5")],
)
def test_data_of_other_sizes_is_refused(tokenizer: Path, change: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MotionGPTModule(replace(CONFIG, **change), tokenizer).read(make_batch())


def test_generate_and_predict(module: MotionGPTModule) -> None:
    batch = make_batch()
    start = batch.pose.frames(slice(0, 1))
    first, same, other = (
        module.generate(batch.music.features, start, frames=9, sampling=SamplingConfig(top_k=8), seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first.tokens.ids, same.tokens.ids)
    assert not torch.equal(first.tokens.ids, other.tokens.ids)
    assert first.pose.keypoints.shape == (2, 9, 60, 2)
    assert first.seed == 1
    assert module.tokenizer is not None
    assert torch.equal(first.tokens.ids[:, :1], module.tokenizer.encode(start).ids)
    assert module.predict_step(batch, 0).shape == (2, 4, 5, 2)


def test_style_and_figures_are_read_from_the_batch_and_its_tokens(tokenizer: Path) -> None:
    config = replace(CONFIG, styles=("wave", "jump"), motion_figures=True)
    module = MotionGPTModule(config, tokenizer)
    batch = replace(make_batch(), style=torch.tensor([1, -1]))
    segment = module.read(batch)
    assert segment.style is not None
    assert segment.style.tolist() == [1, -1]
    assert module.tokenizer is not None
    true = motion_figures(module.tokenizer.decode(MotionTokens(segment.motion)))
    assert segment.figures is not None
    torch.testing.assert_close(segment.figures, true, equal_nan=True)
    with pytest.raises(ValueError, match="no styles"):
        module.read(make_batch())


def test_training_may_start_from_another_run(checkpoint: Path, tokenizer: Path, tmp_path: Path) -> None:
    """Weights and music normalisation are taken; another tokenizer or other inputs are refused by name."""
    started = MotionGPTModule(replace(CONFIG, token_noise=0.2), tokenizer, start=checkpoint)
    other = load_model(checkpoint, MotionGPT)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in started.model.state_dict().items())
    assert bool(started.model.music_fitted)
    with pytest.raises(StageMismatchError, match=r"previous_frames 1 \(here 0\)"):
        MotionGPTModule(replace(CONFIG, previous_frames=0), tokenizer, start=checkpoint)
    with pytest.raises(StageMismatchError, match="was trained on tokenizer"):
        MotionGPTModule(CONFIG, make_tokenizer(tmp_path / "another", seed=5), start=checkpoint)


def test_training_may_start_from_a_model_folder(checkpoint: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(checkpoint, MotionGPT), embedded_tokenizer(checkpoint)[0]
    write_folder(tmp_path / "model", {"vqvae": tokenizer, "motion_gpt": model})
    started = MotionGPTModule(CONFIG, tmp_path / "model", start=tmp_path / "model")
    assert started.tokenizer is not None
    assert fingerprint(started.model) == fingerprint(model)
    assert fingerprint(started.tokenizer) == fingerprint(tokenizer)
