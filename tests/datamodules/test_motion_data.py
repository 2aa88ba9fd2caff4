"""MotionDataModule under a real trainer: exact resume in the middle of an epoch, checks against the model, the embedded set on demand."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer

import datamodules.base
from datamodules.motion import MotionDataModule
from xdancer.embedded.build import EmbeddedConfig
from xdancer.errors import ShardError
from xdancer.types import DanceBatch, PoseBatch


@pytest.fixture(scope="module")
def root(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split, numbers in {"train": range(9), "val": range(9, 12), "test": range(12, 14)}.items():
        tiny.write_split(folder / split, [tiny.make_clip(number, 50) for number in numbers])
    return folder


def module(root, **arguments) -> MotionDataModule:
    sizes = {"segment_frames": 16, "history_frames": 20, "context_frames": 4, "features": ("librosa",), "batch_size": 4, "stage": "gpt"}
    return MotionDataModule(**{**{name: str(root / name) for name in ("train", "val", "test")}, **sizes, **arguments})


class Recorder(LightningModule):
    """Trains nothing much; remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[float]] = []
        self.validated = 0

    def training_step(self, batch: DanceBatch, batch_idx: int) -> torch.Tensor:
        self.seen.append(batch.pose.keypoints[:, 20, 0].flatten().tolist())
        return self.weight * batch.pose.keypoints.mean()

    def validation_step(self, batch: DanceBatch, batch_idx: int) -> None:
        self.validated += len(batch.has_context)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(tmp_path: Path, **arguments) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "num_sanity_val_steps": 0}
    return Trainer(default_root_dir=tmp_path, enable_checkpointing=False, **quiet, **arguments)


@pytest.mark.parametrize(("stop", "workers"), [(4, 0), (6, 2), (9, 0)])
def test_a_run_resumes_at_the_right_sample(root, tmp_path, stop, workers):
    """27 windows, batches of 4: epochs of 6 steps; stops in the first epoch, at its end, in the second."""
    straight = Recorder()
    trainer(tmp_path, max_steps=15).fit(straight, module(root, num_workers=workers))
    first = Recorder()
    running = trainer(tmp_path, max_steps=stop)
    running.fit(first, module(root, num_workers=workers))
    running.save_checkpoint(tmp_path / "stop.ckpt")
    second = Recorder()
    trainer(tmp_path, max_steps=15).fit(second, module(root), ckpt_path=tmp_path / "stop.ckpt", weights_only=True)
    assert first.seen + second.seen == straight.seen
    assert straight.validated == 2 * 9


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")  # the second run writes beside the first
def test_a_checkpoint_written_during_training_resumes(root, tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    def run() -> Trainer:
        keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=5, save_top_k=-1, filename="{step}")
        return Trainer(
            default_root_dir=tmp_path, max_steps=11, callbacks=[keep], logger=False, enable_progress_bar=False, accelerator="cpu",
            enable_model_summary=False,
        )  # fmt: skip

    straight, resumed = Recorder(), Recorder()
    run().fit(straight, module(root))
    run().fit(resumed, module(root), ckpt_path=tmp_path / "step=5.ckpt", weights_only=True)
    assert resumed.seen == straight.seen[5:]


def test_another_seed_is_refused(root):
    data = module(root)
    with pytest.raises(ShardError, match=r"order of seed 3, data.seed is 0"):
        data.load_state_dict({"samples": 10, "seed": 3})


def test_stage_one_gives_single_poses(root):
    data = module(root, stage="vqvae", batch_size=32, mirror=True)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, PoseBatch)
    assert batch.keypoints.shape == (32, 1, 60, 2)
    assert sum(len(batch.keypoints) for batch in data.val_dataloader()) == 150


def test_evaluation_clips_are_the_same_every_time(root):
    data = module(root)
    assert [clip.key for clip in data.evaluation_clips(2, split="val")] == ["clip-009", "clip-011"]
    assert len(data.evaluation_clips(50, split="train")) == 9
    assert data.evaluation_clips(1)[0].features["musicnn"].shape == (50, 753)


@dataclass
class Config:
    frames: int = 16
    context_frames: int = 4
    overlap_frames: int = 4
    music_lookahead_frames: int = 0
    music_features: dict[str, int] = field(default_factory=lambda: {"librosa": 35})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(frames=64), r"predicts frames = 64, data.segment_frames is 16"),
        (Config(context_frames=8), r"predicts context_frames = 8, data.context_frames is 4"),
        (Config(overlap_frames=8), r"reaches back 24 frames .*data.history_frames is 20. Set it to 24"),
        (Config(music_lookahead_frames=8), r"reads 8 frames of music ahead, data.lookahead_frames is 0"),
        (Config(music_features={"librosa": 36}), r"'librosa' of width 36, .*train gives width 35"),
        (Config(music_features={"musicnn": 753}), r"'musicnn' of width 753, .*train gives none of that name"),
    ],
)
def test_samples_that_do_not_fit_the_model_are_refused(root, tmp_path, config, message):
    model = Recorder()
    model.model = torch.nn.Identity()
    model.model.config = config
    with pytest.raises(ShardError, match=message):
        trainer(tmp_path, max_steps=1).fit(model, module(root))


def test_missing_shards_name_the_command(tmp_path):
    with pytest.raises(
        ShardError, match=r"the folder does not exist. Make shards with `xdancer prepare VIDEO_DIR --out data` or `xdancer embed"
    ):
        trainer(tmp_path, max_steps=1).fit(Recorder(), module(tmp_path / "nothing"))


def test_without_a_validation_split_the_way_out_is_named(tiny, tmp_path):
    tiny.write_split(tmp_path / "train", [tiny.make_clip(0, 100)])
    with pytest.raises(ShardError, match=r"No shards in .*val, but .*train is there. Set data.val to .*val_frame_range \[0.8, 1.0\]"):
        trainer(tmp_path, max_steps=1).fit(Recorder(), module(tmp_path))
    trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(Recorder(), module(tmp_path))
    data = module(tmp_path, val=str(tmp_path / "train"), frame_range=(0.0, 0.8), val_frame_range=(0.8, 1.0))
    model = Recorder()
    trainer(tmp_path, max_steps=1).fit(model, data)
    assert model.validated == 1
    assert [batch.pose.keypoints[0, 20, 0, 1].item() * 1024 for batch in data.val_dataloader()] == [80]


def test_the_embedded_set_is_built_if_missing(root, tiny, tmp_path, monkeypatch):
    built = []

    def build(out, config):
        built.append((out, config))
        for split in ("train", "val", "test"):
            tiny.write_split(out / split, [tiny.make_clip(0, 50)])

    monkeypatch.setattr(datamodules.base, "build_embedded", build)
    config = EmbeddedConfig(train_clips=1, val_clips=1, test_clips=1)
    module(root, embedded=config).prepare_data()
    assert built == []
    trainer(tmp_path, max_steps=1).fit(Recorder(), module(tmp_path / "demo", embedded=config))
    assert built == [(tmp_path / "demo", config)]
    other = MotionDataModule(train=str(tmp_path / "a"), val=str(tmp_path / "b"), test=str(tmp_path / "c"), embedded=config)
    with pytest.raises(ShardError, match="Use one folder OUT"):
        other.prepare_data()


def test_stage_1_reads_several_folders_in_the_same_batches(root, tiny, tmp_path):
    tiny.write_split(tmp_path / "more", [tiny.make_clip(number, 50) for number in range(20, 24)])
    folders = (str(root / "train"), str(tmp_path / "more"))
    data = module(root, stage="vqvae", train=folders, batch_size=64)
    clips = (next(iter(data.train_dataloader())).keypoints[:, 0, 0, 0] * 64).round()
    assert 5 <= (clips >= 20).sum() <= 40
    assert sum(len(part.keypoints) for part in data.val_dataloader()) == 3 * 50  # validation reads its own folder alone
    with pytest.raises(ShardError, match=r"data\.train .*more'\]: only stage vqvae"):
        module(root, train=folders)
