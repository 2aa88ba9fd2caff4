"""VideoDataModule under a real trainer."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning import LightningModule, Trainer

from datamodules.video import VideoDataModule
from xdancer.cli import main
from xdancer.metrics.pose import nearest_poses
from xdancer.types import VideoBatch


@pytest.fixture(scope="module")
def root(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for split, numbers in {"train": range(3), "val": [3], "test": [4]}.items():
        tiny.write_split(folder / split, [tiny.make_clip(number, 40, video=True) for number in numbers])
    return folder


class Recorder(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[torch.Tensor] = []
        self.portraits: list[torch.Tensor] = []

    def training_step(self, batch: VideoBatch, batch_idx: int) -> torch.Tensor:
        self.seen.append(batch.frames)
        return self.weight * batch.frames.mean()

    def validation_step(self, batch: VideoBatch, batch_idx: int) -> None:
        self.portraits.append(batch.reference_pose.keypoints[:, 0, 0, 1] * 1024)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("cache", [False, True])
def test_it_trains_validates_and_resumes(root, tmp_path, cache):
    def data() -> VideoDataModule:
        splits = {name: str(root / name) for name in ("train", "val", "test")}
        return VideoDataModule(**splits, batch_size=2, frames=2, consecutive=False, size=(16, 16), cache_frames=cache, frame_range=(0.0, 0.9))

    def trainer(steps: int) -> Trainer:
        return Trainer(
            default_root_dir=tmp_path, max_steps=steps, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu",
            enable_model_summary=False,
        )  # fmt: skip

    straight, first, second = Recorder(), Recorder(), Recorder()
    trainer(5).fit(straight, data())
    assert straight.seen[0].shape == (2, 2, 3, 16, 16)
    assert set(torch.cat(straight.portraits).tolist()) == {0.0}
    running = trainer(2)
    running.fit(first, data())
    running.save_checkpoint(tmp_path / "stop.ckpt")
    trainer(5).fit(second, data(), ckpt_path=tmp_path / "stop.ckpt", weights_only=True)
    assert all(one.equal(two) for one, two in zip(first.seen + second.seen, straight.seen, strict=True))


def test_evaluation_clips_carry_video(tiny, tmp_path):
    tiny.write_split(tmp_path / "val", [tiny.make_clip(0), tiny.make_clip(1, 40, video=True), tiny.make_clip(2)])
    data = VideoDataModule(val=str(tmp_path / "val"))
    assert [clip.key for clip in data.evaluation_clips(3)] == ["clip-001"]


def test_evaluation_shows_all_frames_of_its_windows(root):
    data = VideoDataModule(train=str(root / "train"), val=str(root / "train"), frames=2, consecutive=False, evaluation_frames=16, size=(16, 16))
    assert next(iter(data.train_dataloader())).frames.shape[1] == 2
    batch = next(iter(data.val_dataloader()))
    assert batch.frame_index[0].tolist() == list(range(16))


def test_training_frames_of_a_validation_clip(root):
    """Keypoints move with the frame and grey grows by 2 a frame; the first half is trained on."""
    train = str(root / "train")
    data = VideoDataModule(train=train, val=train, frame_range=(0.0, 0.5), val_frame_range=(0.5, 1.0), size=(16, 16))
    pool = data.training_poses(1)
    assert len(pool) == 20
    nearest = nearest_poses(data.reader("val").pose(1)[[3, 12, 30]], pool)
    assert nearest.tolist() == [3, 12, 19]
    pictures = data.training_pictures(1, nearest)
    assert pictures.shape == (3, 3, 16, 16)
    assert ((pictures.mean((1, 2, 3)) + 1) * 127.5).round().tolist() == pytest.approx([6, 24, 38], abs=1)


RENDERER: dict[str, Any] = {
    "height": 32, "width": 32, "patch_size": 8, "latent_channels": 4, "block_out_channels": [8, 8], "attention_levels": [True, True],
    "layers_per_block": 1, "attention_heads": 1, "cross_attention_dim": 8, "norm_groups": 4, "codes_width": 30, "motion_map": [2, 2],
    "motion_channels": [8, 8], "motion_width": 8, "motion_layers": 1, "motion_heads": 1, "temporal_heads": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        ({"height": 64, "width": 64}, {}, "pictures of 64×64 (model.init_args.config.height × width), {root}/train (data.init_args.size is"),
        ({"motion_decoder": False}, {"size": [64, 64]}, "pictures of 32×32 (model.init_args.config.height × width), data.init_args.size gives"),
        ({"temporal": True, "temporal_positions": 16}, {"frames": 20, "pose_window": 20}, "frames is 20, but {key}.temporal_positions is 16"),
        ({"temporal": True}, {"frames": 20, "pose_window": 20}, "frames is 20, but {key}.window_frames is 16"),
        ({"temporal": True}, {"evaluation_frames": 20, "pose_window": 20}, ".evaluation_frames is 20, but {key}.window_frames is 16"),
    ],
    ids=["size of the videos", "size asked for", "positions", "window", "window in evaluation"],
)
def test_samples_that_do_not_fit_the_renderer_are_refused(
    model: dict[str, Any], data: dict[str, Any], words: str, root: Path, tiny_checkpoints: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    splits = {name: str(root / name) for name in ("train", "val", "test")}
    run = {
        "seed_everything": 0,
        "trainer": {"accelerator": "cpu", "devices": 1, "max_steps": 1, "logger": False},
        "model": {
            "class_path": "xdancer.video_diffusion.module.VideoDiffusionModule",
            "init_args": {"config": {**RENDERER, **model}, "tokenizer": str(tiny_checkpoints["vqvae"])},
        },
        "data": {"class_path": "datamodules.video.VideoDataModule", "init_args": {**splits, "batch_size": 1, **data}},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", "run.yaml"])
    assert stop.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("train.py: ")
    assert words.format(root=root, key="model.init_args.config") in line
