"""The generating callbacks on modules whose samples are known: figures, averaged weights, failures, sharing among ranks."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from tensorboard.backend.event_processing import event_accumulator
from torch.utils.data import DataLoader

from callbacks.generation import GenerationCallback
from callbacks.motion_metrics import MotionMetrics
from callbacks.pose_metrics import PoseMetrics
from callbacks.samples import Samples
from callbacks.video_metrics import VideoMetrics
from xdancer.errors import XDancerError
from xdancer.media import encode_audio, encode_video, probe
from xdancer.types import ClipSample, MotionSample, MotionTokens, PoseBatch, VideoBatch, VideoSample

FRAMES = 150


def dance(tempo: float, phase: float, frames: int = FRAMES) -> NDArray[np.float32]:
    """A whole-body pose sequence with its speed minima on the beats."""
    turns = (np.arange(frames) / 30 - phase) * tempo / 60
    place = turns - 0.9 * np.sin(2 * np.pi * turns) / (2 * np.pi)
    pose = np.ones((frames, 60, 3), np.float32)
    pose[..., :2] = np.random.default_rng(0).normal(size=(60, 2)) * (0.5 + 0.02 * place[:, None, None])
    return pose


def clip(number: int) -> ClipSample:
    """The music feature says tempo and phase, so that a fake model can dance to it."""
    tempo, phase = 90.0 + 8 * number, 0.05 * number + 0.1
    beats = np.arange(phase, FRAMES / 30, 60 / tempo)
    music = np.tile(np.array([tempo, phase], np.float32), (FRAMES, 1))
    sound = encode_audio(np.zeros(FRAMES * 735, np.float32), 22050) if number == 0 else None
    video = encode_video([np.full((32, 32, 3), min(255, frame), np.uint8) for frame in range(FRAMES)])
    return ClipSample(
        f"clip{number}",
        dance(tempo, phase),
        {"beat": music},
        {"beats": beats.tolist(), "tempo": tempo, "aspect": 1.0},
        video=video,
        audio=sound,
    )


def video_batch(value: torch.Tensor) -> VideoBatch:
    frames = torch.linspace(-0.5, 0.5, 16)[None, :, None, None, None].expand(2, 16, 3, 16, 16) + value[:, None, None, None, None] * 0
    pose = PoseBatch(torch.zeros(2, 16, 60, 2), torch.ones(2, 16, 60))
    mask = torch.zeros(2, 16, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    return VideoBatch(
        reference=frames[:, 0], reference_pose=pose.frames(slice(0, 1)), frames=frames.contiguous(), pose=pose,
        frame_index=torch.arange(16).expand(2, 16), reference_mask=mask[:, 0], mask=mask,
        clip=value.long() // 2,
    )  # fmt: skip


class Data(LightningDataModule):
    """Some clips, and batches of numbers or of videos."""

    def __init__(self, collate: Any = None) -> None:
        super().__init__()
        self.collate = collate

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.arange(8.0), batch_size=2)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(torch.arange(4.0), batch_size=2, collate_fn=self.collate)

    def evaluation_clips(self, count: int, split: str = "val") -> list[ClipSample]:
        return [clip(number) for number in range(min(count, 6))]


class Fake(LightningModule):
    """Learns one number; its `generate` is set by the test."""

    def __init__(self, stage: str = "motion_gpt") -> None:
        super().__init__()
        self.save_hyperparameters({"stage": stage})
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.model = SimpleNamespace(config=SimpleNamespace(music_features={"beat": 2}, height=32, width=32))
        self.weights_seen: list[float] = []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight * batch).sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Dancer(Fake):
    def generate(self, music: Any, start: PoseBatch, *, frames: int, seed: int) -> MotionSample:
        self.weights_seen.append(float(self.weight))
        torch.rand(1)  # must not disturb training
        poses = [PoseBatch.from_array(dance(*map(float, row), frames)) for row in music["beat"][:, 0]]
        pose = PoseBatch(torch.cat([one.keypoints for one in poses]), torch.cat([one.confidence for one in poses]))
        return MotionSample(MotionTokens(torch.zeros(len(poses), frames, 1, 1, dtype=torch.long)), pose)


class Painter(Fake):
    def generate(self, reference: torch.Tensor, reference_pose: PoseBatch, *, pose: PoseBatch, **_: Any) -> VideoSample:
        frames = pose.confidence.shape[1]
        shades = torch.linspace(-0.5, 0.5, frames)[None, :, None, None, None].expand(len(reference), frames, *reference.shape[1:])
        return VideoSample(shades + 0.02)


def trainer(folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    defaults = {"max_epochs": 1, "num_sanity_val_steps": 0, "devices": 1, "logger": False}
    return Trainer(
        accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        callbacks=list(callbacks), **{**defaults, **options},
    )  # fmt: skip


def test_motion_figures_of_a_perfect_dancer(tmp_path: Path) -> None:
    run = trainer(tmp_path, MotionMetrics(6, batch_size=4))
    run.validate(Dancer(), datamodule=Data(), verbose=False)
    figures = {name: float(value) for name, value in run.callback_metrics.items()}
    assert figures["val/beat_f1"] == figures["val/beat_f1_ground_truth"] > 0.85
    assert figures["val/beat_f1_null"] < 0.5
    assert figures["val/beat_f1_z"] > 5
    assert figures["val/bas_bailando60"] > 0.8
    assert figures["val/speed_ratio"] == pytest.approx(1)
    assert figures["val/frozen_share"] == 0
    assert figures["val/beat_clips"] == 6
    assert "val/bas" not in figures
    assert "val/frechet_kinetic32" not in figures


def test_video_figures_of_a_known_error(tmp_path: Path) -> None:
    run = trainer(tmp_path, VideoMetrics(3))
    run.validate(Painter(), datamodule=Data(video_collate), verbose=False)
    figures = {name: float(value) for name, value in run.callback_metrics.items()}
    assert figures["val/person_psnr"] == pytest.approx(40, abs=0.01)  # an error of .02 on a range of 2
    assert figures["val/background_psnr"] == pytest.approx(40, abs=0.01)
    assert figures["val/person_psnr_copy"] < 15
    assert figures["val/kernel_alex16@xdancer16_windows"] == 3
    assert figures["val/kernel_alex16@xdancer16_low"] <= figures["val/kernel_alex16@xdancer16_high"]
    assert "val/frechet_alex16@xdancer16" not in figures


class Brightness:
    """Stands in for I3D: its features are the mean colours of a window."""

    name, digest, size, window, width, value_range = "i3d", "none", 224, 16, 3, (-1.0, 1.0)

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        assert windows.shape[1:] == (16, 3, 224, 224)
        return windows.mean(dim=(1, 3, 4))


def test_distances_go_by_the_name_of_their_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XDancerError, match=r"i3d needs weights that are not shipped"):
        VideoMetrics(3, protocol="disco16")
    with pytest.raises(XDancerError, match=r"fvd: unknown protocol\. Choose xdancer16"):
        VideoMetrics(3, protocol="fvd")
    monkeypatch.setattr("callbacks.video_metrics.make_features", lambda name, weights: Brightness())
    run = trainer(tmp_path, VideoMetrics(3, protocol="disco16", network_weights=Path("i3d.pt")))
    run.validate(Painter(), datamodule=Data(video_collate), verbose=False)
    figures = {name: float(value) for name, value in run.callback_metrics.items()}
    assert figures["val/kernel_i3d@disco16_windows"] == 3
    assert figures["val/fvd_i3d@disco16"] >= 0  # two windows are enough for this protocol
    assert not any("xdancer16" in name for name in figures)


def test_the_nearest_training_picture_is_a_null_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbacks.video_metrics.lpips", lambda pictures, target: (pictures - target).abs().mean((1, 2, 3)))  # takes 16 × 16
    data = Data(video_collate)
    data.training_poses = lambda clip: np.ones((5, 60, 3), np.float32)  # type: ignore[attr-defined]
    data.training_pictures = lambda clip, frames: torch.zeros(len(frames), 3, 16, 16)  # type: ignore[attr-defined]
    run = trainer(tmp_path, VideoMetrics(3, perceptual=True, nearest=True))
    run.validate(Painter(), datamodule=data, verbose=False)
    figures = {name: float(value) for name, value in run.callback_metrics.items()}
    truth = torch.linspace(-0.5, 0.5, 16)
    assert figures["val/person_psnr_nearest"] == pytest.approx(10 * float(torch.log10(4 / truth.square().mean())), abs=0.01)
    assert figures["val/lpips"] == pytest.approx(0.02, abs=1e-4)
    assert figures["val/lpips_nearest"] == pytest.approx(float(truth.abs().mean()), abs=1e-4)
    assert figures["val/lpips_copy"] > figures["val/lpips_nearest"]


def test_windows_of_one_clip_are_not_counted_as_independent(tmp_path: Path) -> None:
    """Three windows of clips 0, 0, 1; then two windows of one clip, which allow no distance at all."""
    metrics = VideoMetrics(3)
    trainer(tmp_path, metrics).validate(Painter(), datamodule=Data(video_collate), verbose=False)
    assert torch.cat(list(metrics._distances.clips)).tolist() == [0, 0, 1]
    run = trainer(tmp_path, VideoMetrics(2))
    run.validate(Painter(), datamodule=Data(video_collate), verbose=False)
    assert run.callback_metrics["val/kernel_alex16@xdancer16_windows"] == 2
    assert "val/kernel_alex16@xdancer16" not in run.callback_metrics


def video_collate(items: list[torch.Tensor]) -> VideoBatch:
    return video_batch(torch.stack(items))


def test_every_n_validations_and_no_figures_from_the_sanity_check(tmp_path: Path) -> None:
    dancer = Dancer()
    trainer(tmp_path, MotionMetrics(2, every_n_validations=2), max_epochs=3, num_sanity_val_steps=1).fit(dancer, datamodule=Data())
    assert len(dancer.weights_seen) == 2


def test_every_n_steps_counts_from_the_last_measurement_also_after_a_resume(tmp_path: Path) -> None:
    dancer, metrics = Dancer(), MotionMetrics(2, every_n_steps=8)
    trainer(tmp_path, metrics, max_epochs=4).fit(dancer, datamodule=Data())  # validations at steps 4, 8, 12, 16
    assert len(dancer.weights_seen) == 2  # at 4 and at 12
    again = MotionMetrics(2, every_n_steps=8)
    again.load_state_dict(metrics.state_dict())
    assert (again._last_step, again._validations) == (12, 4)


def test_a_spent_budget_leaves_the_rest_out_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = trainer(tmp_path, MotionMetrics(6, batch_size=2, budget_seconds=1e-6))
    with caplog.at_level(logging.WARNING):
        run.validate(Dancer(), datamodule=Data(), verbose=False)
    assert float(run.callback_metrics["val/beat_clips"]) == 2
    assert "MotionMetrics: the budget of 1e-06 s is spent after 2 of 6 dances." in caplog.messages
    run = trainer(tmp_path, MotionMetrics(6, batch_size=2, budget_seconds=600.0))
    run.validate(Dancer(), datamodule=Data(), verbose=False)
    assert float(run.callback_metrics["val/beat_clips"]) == 6


@pytest.mark.parametrize("first", [True, False])
def test_samples_come_from_the_averaged_weights(tmp_path: Path, first: bool) -> None:
    averaging, metrics = EMAWeightAveraging(decay=0.999), MotionMetrics(2)
    dancer = Dancer()
    trainer(tmp_path, *((averaging, metrics) if first else (metrics, averaging))).fit(dancer, datamodule=Data())
    assert dancer.weights_seen[0] == pytest.approx(0.9, abs=0.05)  # the raw weight is at −1.8


def test_training_draws_the_same_numbers_with_and_without(tmp_path: Path) -> None:
    drawn = []
    for callbacks in ([], [MotionMetrics(2), Samples(1, seconds=0.2)]):
        torch.manual_seed(3)
        trainer(tmp_path, *callbacks).fit(Dancer(), datamodule=Data())
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1]


def test_a_failing_figure_is_said_once_and_costs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Dancer):
        def generate(self, *args: Any, **kwargs: Any) -> MotionSample:
            raise RuntimeError("no memory left")

    run = trainer(tmp_path, MotionMetrics(2), max_epochs=3)
    with caplog.at_level(logging.WARNING):
        run.fit(Broken(), datamodule=Data())
    assert run.global_step == 12
    assert [record.message for record in caplog.records if "no memory left" in record.message] == [
        "MotionMetrics: no figures in this validation: RuntimeError: no memory left"
    ]


def test_errors_of_the_tokenizer_have_cadence_and_budget_and_never_end_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Tokenizer(Fake):
        def __init__(self, *, broken: bool = False) -> None:
            super().__init__("vqvae")
            self.seen = 0

            def encode(pose: PoseBatch) -> PoseBatch:
                self.seen += 1
                if broken:
                    raise RuntimeError("no memory left")
                return pose

            self.model = SimpleNamespace(encode=encode, decode=lambda pose: PoseBatch(pose.keypoints + 0.01, pose.confidence))

    with caplog.at_level(logging.WARNING):
        good, broken = Tokenizer(), Tokenizer(broken=True)
        run = trainer(tmp_path, PoseMetrics(3, every_n_steps=8, budget_seconds=1e-6), max_epochs=4)  # validations at steps 4, 8, 12, 16
        run.fit(good, datamodule=Data())
        assert good.seen == 2  # one clip each at 4 and at 12
        assert float(run.callback_metrics["val/full_px"]) == pytest.approx(0.01 * 2**0.5 * 448, rel=1e-3)
        run = trainer(tmp_path, PoseMetrics(3))
        run.fit(broken, datamodule=Data())
    assert run.global_step == 4
    assert "PoseMetrics: the budget of 1e-06 s is spent after 1 of 3 clips." in caplog.messages
    assert "PoseMetrics: no figures in this validation: RuntimeError: no memory left" in caplog.messages


def test_figures_that_cannot_be_known_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = trainer(tmp_path, MotionMetrics(1), max_epochs=2)
    with caplog.at_level(logging.WARNING):
        run.fit(Dancer(), datamodule=Data())
    said = [message for message in caplog.messages if message.startswith("MotionMetrics: not logged")]
    assert len(said) == 1
    for name in ("val/beat_f1_null", "val/kernel_kinetic32", "val/frechet_kinetic32"):
        assert name in said[0]
        assert name not in run.callback_metrics
    assert "val/beat_f1," not in said[0]
    assert "val/beat_f1" in run.callback_metrics


def test_samples_are_playable_and_have_sound(tmp_path: Path) -> None:
    trainer(tmp_path, Samples(2, seconds=0.5)).validate(Dancer(), datamodule=Data(), verbose=False)
    paths = sorted((tmp_path / "samples").glob("*.mp4"))
    assert [path.name for path in paths] == ["step=00000000_clip0.mp4", "step=00000000_clip1.mp4"]
    info = probe(paths[0])
    assert (info.frames, info.width, info.height, info.has_audio) == (15, 512, 256, True)
    assert not probe(paths[1]).has_audio
    with av.open(str(paths[0])) as container:
        notes = json.loads(container.metadata["comment"])
        assert container.metadata["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert (notes["seed"], notes["step"], notes["stage"], len(notes["model"])) == (0, 0, "motion_gpt", 16)


def test_samples_of_the_renderer_show_portrait_pose_result_and_truth(tmp_path: Path) -> None:
    board = TensorBoardLogger(tmp_path, name="", version="board")
    trainer(tmp_path, Samples(1, seconds=0.5), logger=board).validate(Painter("video_diffusion"), datamodule=Data(), verbose=False)
    (path,) = (tmp_path / "samples").glob("*.mp4")
    info = probe(path)
    assert (info.frames, info.width, info.height) == (15, 4 * 32, 32)
    board.finalize("success")
    events = event_accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    assert events.Tags()["images"] == ["samples/clip0"]


def test_wrong_cadence_is_refused() -> None:
    with pytest.raises(ValueError, match="every_n_validations must be at least 1, got 0"):
        GenerationCallback(every_n_validations=0)
    with pytest.raises(ValueError, match="budget_seconds must be"):
        GenerationCallback(budget_seconds=0.0)


def test_two_ranks_give_the_figures_of_one(tmp_path: Path) -> None:
    figures = []
    for options in ({}, {"devices": 2, "strategy": "ddp_fork", "use_distributed_sampler": False}):
        run = trainer(tmp_path, MotionMetrics(5), **options)
        run.validate(Dancer(), datamodule=Data(), verbose=False)
        figures.append({name: float(value) for name, value in run.callback_metrics.items()})
    assert figures[0] == pytest.approx(figures[1])
