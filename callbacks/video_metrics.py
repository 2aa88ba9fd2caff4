"""Reconstruction and distance figures of rendered windows during the validation of stage 3."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from callbacks.generation import GenerationCallback, step_precision, sums_device
from xdancer.metrics.distance_report import kernel_name, value_name
from xdancer.metrics.feature_sets import window_features
from xdancer.metrics.frechet import FeatureDistances
from xdancer.metrics.means import Means
from xdancer.metrics.perceptual import lpips
from xdancer.metrics.pose import nearest_poses
from xdancer.metrics.reconstruction import byte_pictures, person_region, psnr
from xdancer.metrics.video_networks import make_features
from xdancer.metrics.video_protocols import check_network, protocol_named
from xdancer.types import FPS, PoseBatch, VideoBatch, VideoSample

FIGURES = ("person_psnr", "person_psnr_copy", "background_psnr", "background_psnr_copy", "lpips", "lpips_copy")
NEAREST = ("person_psnr_nearest", "lpips_nearest")


class VideoMetrics(GenerationCallback):
    """Windows of the validation set rendered from noise (self-driven: the portrait is another frame of the same clip).

    Logs `val/person_psnr` and `val/background_psnr` (dB, region as in `xdancer.metrics.reconstruction`), each with the null row `_copy` (the
    portrait as a still); where the batches hold consecutive frames of at least two clips, as many as the protocol's windows have,
    `val/kernel_NETWORK@PROTOCOL` with its interval `_low`, `_high` (bootstrap over clips) and n `_windows`, and from the protocol's least
    number of windows on `val/frechet_NETWORK@PROTOCOL` (`val/fvd_i3d@PROTOCOL`). Without person masks in the shards the whole picture counts
    as person. With `perceptual`, `val/lpips` too. With `nearest`, the null row `_nearest`: instead of rendering, the clip's training picture
    whose body lies nearest to the wanted pose; for clips whose earlier frames are trained on.

    Args:
        windows: how many are rendered, over all ranks.
        steps: sampling steps; None = the model's.
        guidance: guidance scale; None = the model's.
        protocol: how the distances are taken, by name (`xdancer.metrics.video_protocols`).
        network_weights: of the protocol's network, where it is not the shipped one.
        every_n_validations: 1 = in each.
        every_n_steps: instead, so many optimiser steps apart at least.
        budget_seconds: for rendering and measuring, on each rank.
        perceptual: LPIPS of the whole pictures.
        nearest: the null row `_nearest`.
        seed: of the starting noise, equal in all validations.
    """

    def __init__(
        self, windows: int = 32, *, steps: int | None = None, guidance: float | None = None, protocol: str = "xdancer16",
        network_weights: Path | None = None, every_n_validations: int = 1, every_n_steps: int | None = None,
        budget_seconds: float | None = None, perceptual: bool = False, nearest: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(every_n_validations=every_n_validations, every_n_steps=every_n_steps, budget_seconds=budget_seconds)
        self.windows, self.steps, self.guidance, self.seed = windows, steps, guidance, seed
        self.perceptual, self.nearest = perceptual, nearest
        self.protocol = protocol_named(protocol)
        self._weights, self._device = network_weights, torch.device("cpu")
        self._features = make_features(self.protocol.network, weights=network_weights)
        check_network(self._features, self.protocol)
        self._kept: list[VideoBatch] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._kept = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: VideoBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        wanted = -(-self.windows // trainer.world_size) - sum(len(kept.frames) for kept in self._kept)
        if wanted > 0 and self._due(trainer) and not trainer.sanity_checking:
            self._kept.append(first_items(batch, wanted))
        super().on_validation_batch_end(trainer, pl_module, outputs, batch, batch_idx, dataloader_idx)

    def measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        device = sums_device(pl_module)
        if device != self._device:
            self._features, self._device = make_features(self.protocol.network, weights=self._weights, device=device), device
        names = [*FIGURES, *(NEAREST if self.nearest else ())]
        self._means = Means([name for name in names if self.perceptual or not name.startswith("lpips")]).to(device)
        self._distances = FeatureDistances(self._features.width, minimum=self.protocol.minimum).to(device)
        nothing = torch.zeros(0, self._features.width, device=device)
        self._distances.update(nothing, nothing, clip=0)  # ranks without a window take part in the gathering
        module: Any = pl_module
        for done, batch in enumerate(self._kept):
            if not self.within_budget(done, len(self._kept), "batches"):
                break
            with step_precision(trainer):
                sample: VideoSample = module.generate(
                    batch.reference, batch.reference_pose, pose=batch.pose, steps=self.steps, guidance=self.guidance, seed=self.seed,
                    frame_index=batch.frame_index,
                )  # fmt: skip
            for item, rendered in enumerate(sample.frames.float().clamp(-1, 1)):
                self._update(rendered, batch, item, self._stills(trainer, batch, item))
        self._kept = []

    def _stills(self, trainer: Trainer, batch: VideoBatch, item: int) -> dict[str, Tensor]:
        """What the null rows show instead of a rendering, by their ending."""
        stills = {"_copy": batch.reference[item].expand_as(batch.frames[item])}
        if self.nearest and batch.clip is not None:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            wanted = batch.pose.to_array(item)[batch.frame_index[item].cpu().numpy()]
            clip = int(batch.clip[item])
            nearest = nearest_poses(wanted, data.training_poses(clip))
            stills["_nearest"] = data.training_pictures(clip, nearest).to(batch.frames)
        return stills

    def _update(self, rendered: Tensor, batch: VideoBatch, item: int, stills: Mapping[str, Tensor]) -> None:
        target = batch.frames[item]
        if batch.mask is None:
            region = torch.ones_like(target[:, 0], dtype=torch.bool)
        else:
            reference = None if batch.reference_mask is None else batch.reference_mask[item, 0] > 0.5
            region = person_region(batch.mask[item, :, 0] > 0.5, reference)
        for ending, pictures in {"": rendered, **stills}.items():
            figures = {"person_psnr": psnr(pictures, target, region), "background_psnr": psnr(pictures, target, ~region)}
            figures |= {"lpips": float(lpips(pictures, target).mean())} if self.perceptual else {}
            self._means.update({f"{name}{ending}": value for name, value in figures.items()})
        index = batch.frame_index[item]
        if batch.clip is not None and bool((index.diff() == 1).all()):
            generated, real = (self._windows(pictures, int(batch.clip[item])) for pictures in (rendered, target))
            self._distances.update(generated, real, clip=int(batch.clip[item]))

    def _windows(self, pictures: Tensor, clip: int) -> Tensor:
        """Features of the windows that the protocol takes of these frames; none where they are fewer than a window."""
        found = window_features(
            byte_pictures(pictures), float(FPS), self._features, self.protocol, seed=(self.seed, clip), clips=self.protocol.clips_per_video
        )  # fmt: skip
        return torch.from_numpy(found).to(pictures.device)

    def collect(self) -> Mapping[str, float]:
        figures = {f"val/{name}": value for name, value in self._means.compute().items()}
        distances = self._distances.compute()
        kernel = f"val/{kernel_name(self.protocol)}"
        return figures | {
            kernel: distances["kernel"], f"{kernel}_low": distances["kernel_low"], f"{kernel}_high": distances["kernel_high"],
            f"{kernel}_windows": distances["samples"] or float("nan"), f"val/{value_name(self.protocol)}": distances["frechet"],
        }  # fmt: skip


def first_items(batch: VideoBatch, count: int) -> VideoBatch:
    """The first samples of a batch, as their own batch."""

    def cut(value: Any) -> Any:
        return None if value is None else value[:count]

    def poses(pose: PoseBatch) -> PoseBatch:
        return PoseBatch(pose.keypoints[:count], pose.confidence[:count])

    return VideoBatch(
        reference=batch.reference[:count], reference_pose=poses(batch.reference_pose), frames=batch.frames[:count], pose=poses(batch.pose),
        frame_index=batch.frame_index[:count], reference_mask=cut(batch.reference_mask), mask=cut(batch.mask),
        clip=cut(batch.clip),
    )  # fmt: skip
