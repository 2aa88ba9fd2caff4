"""VideoDataModule under a real trainer."""

from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer

from datamodules.video import VideoDataModule
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
