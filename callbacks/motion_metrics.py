"""Beat, speed and distance figures of generated dances during the validation of stage 2."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer

from callbacks.generation import GenerationCallback, sums_device
from xdancer.metrics.beat_alignment import Protocol
from xdancer.metrics.beat_metric import BeatAlignment
from xdancer.metrics.frechet import FeatureDistances
from xdancer.metrics.lag_null import Synchrony, envelope_of_features
from xdancer.metrics.means import Means
from xdancer.metrics.motion_table import KINETIC_WIDTH, beat_clip, kinetic_windows
from xdancer.metrics.pose import body_height, frozen, mean_speed
from xdancer.types import FPS, ClipSample, MotionSample, PoseBatch

PROTOCOLS: tuple[Protocol, ...] = ("seconds", "bailando60")


class MotionMetrics(GenerationCallback):
    """Dances sampled (not teacher-forced) from the first pose of validation clips, against the clips' beats and poses.

    Logs `val/beat_f1` (protocol `seconds`) with `_null`, `_z` and `_ground_truth`, `val/bas_bailando60` with `_null`, where the clips carry
    the `librosa` features `val/brake_sync_percentile` and `val/brake_sync_z` (of the set), `val/speed_ratio`, `val/frozen_share`,
    `val/motion_beats_per_second`, `val/music_beats_per_second`, `val/kernel_kinetic32` with `_low` and `_high`, from 540 windows on
    `val/frechet_kinetic32`, and the number of clips `val/beat_clips`. Definitions: `xdancer.metrics`. The clips are shared among the ranks.

    Args:
        clips: how many, evenly spread over the validation split; with fewer than about 20 the z-score says more than F1.
        seconds: length of each dance, at most the clip's.
        batch_size: dances generated at once.
        every_n_validations: 1 = in each.
        every_n_steps: instead, so many optimiser steps apart at least.
        budget_seconds: for dancing and measuring, on each rank.
        seed: equal seeds give equal dances, so that figures of two validations differ by training only.
    """

    def __init__(
        self, clips: int = 24, *, seconds: float = 8.0, batch_size: int = 8, every_n_validations: int = 1, every_n_steps: int | None = None,
        budget_seconds: float | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(every_n_validations=every_n_validations, every_n_steps=every_n_steps, budget_seconds=budget_seconds)
        self.clips, self.seconds, self.batch_size, self.seed = clips, seconds, batch_size, seed
        self._samples: list[ClipSample] | None = None

    def measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._samples is None:
            self._samples = list(trainer.datamodule.evaluation_clips(self.clips, split="val"))  # type: ignore[attr-defined]
        self._start(sums_device(pl_module))
        mine = sorted(list(enumerate(self._samples))[trainer.global_rank :: trainer.world_size], key=lambda item: item[1].frames)
        for first in range(0, len(mine), self.batch_size):
            if not self.within_budget(first, len(mine), "dances"):
                break
            group = mine[first : first + self.batch_size]
            for (number, clip), generated in zip(group, self._generate(pl_module, [clip for _, clip in group]), strict=True):
                self._update(number, clip, generated)

    def _start(self, device: torch.device) -> None:
        assert self._samples is not None
        songs = [(np.asarray(clip.meta["beats"], np.float64), clip.meta["tempo"]) for clip in self._samples]
        self._beats: dict[Protocol, BeatAlignment] = {protocol: BeatAlignment(protocol, songs=songs).to(device) for protocol in PROTOCOLS}
        self._true_beats = BeatAlignment("seconds").to(device)
        heard = any("librosa" in clip.features for clip in self._samples)
        self._sync = Synchrony().to(device) if heard else None
        self._means = Means(["speed", "true_speed", "frozen"]).to(device)
        self._distances = FeatureDistances(KINETIC_WIDTH).to(device)
        nothing = torch.zeros(0, KINETIC_WIDTH, device=device)
        self._distances.update(nothing, nothing, clip=0)  # ranks without a clip take part in the gathering

    def _generate(self, pl_module: LightningModule, clips: list[ClipSample]) -> Iterator[np.ndarray]:
        """Generated poses (frame, 60, 3) of some clips; all as long as the shortest."""
        module: Any = pl_module
        frames = min(round(self.seconds * FPS), *(clip.frames for clip in clips))
        names = module.model.config.music_features
        music = {
            name: torch.from_numpy(np.stack([clip.features[name][: clips[0].frames] for clip in clips]).astype(np.float32)).to(module.device)
            for name in names
        }
        starts = [PoseBatch.from_array(clip.pose[:1]) for clip in clips]
        start = PoseBatch(torch.cat([pose.keypoints for pose in starts]), torch.cat([pose.confidence for pose in starts]))
        sample: MotionSample = module.generate(music, start.to(module.device), frames=frames, seed=self.seed)
        return (sample.pose.to_array(item) for item in range(len(clips)))

    def _update(self, number: int, clip: ClipSample, generated: np.ndarray) -> None:
        beats, tempo = np.asarray(clip.meta["beats"], np.float64), clip.meta["tempo"]
        true = clip.pose[: len(generated)]
        for protocol, metric in self._beats.items():
            metric.update(beat_clip(generated, beats, tempo, protocol))
        self._true_beats.update(beat_clip(true, beats, tempo, "seconds"))
        if self._sync is not None and "librosa" in clip.features:
            self._sync.update(generated, envelope_of_features(clip.features["librosa"])[: len(generated)], FPS)
        self._means.update({"speed": mean_speed(generated), "true_speed": mean_speed(true), "frozen": float(frozen(generated, true))})
        height = body_height(true)
        if np.isfinite(height):
            rows = (torch.from_numpy(kinetic_windows(pose, height)).to(self._distances.device) for pose in (generated, true))
            self._distances.update(*rows, clip=number)

    def collect(self) -> Mapping[str, float]:
        beats, bas, true = self._beats["seconds"].compute(), self._beats["bailando60"].compute(), self._true_beats.compute()
        sync = {} if self._sync is None else self._sync.compute()
        means, distances = self._means.compute(), self._distances.compute()
        return {
            "val/beat_f1": beats["f1"], "val/beat_f1_null": beats["null"], "val/beat_f1_z": beats["z"], "val/beat_f1_ground_truth": true["f1"],
            "val/beat_clips": beats["clips"], "val/bas_bailando60": bas["value"], "val/bas_bailando60_null": bas["null"],
            "val/brake_sync_percentile": sync.get("percentile", math.nan),
            "val/brake_sync_z": sync.get("set_z", math.nan),
            "val/motion_beats_per_second": beats["motion_beats_per_second"],
            "val/music_beats_per_second": beats["music_beats_per_second"],
            "val/speed_ratio": means["speed"] / means["true_speed"] if means["true_speed"] else float("nan"),
            "val/frozen_share": means["frozen"],
            "val/kernel_kinetic32": distances["kernel"], "val/kernel_kinetic32_low": distances["kernel_low"],
            "val/kernel_kinetic32_high": distances["kernel_high"], "val/frechet_kinetic32": distances["frechet"],
        }  # fmt: skip
