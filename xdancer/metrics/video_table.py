"""Figures of rendered videos beside their null rows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from xdancer.metrics.frechet import AlexWindowFeatures, enough_for_frechet, frechet_distance, kernel_distance
from xdancer.metrics.motion_table import Table, known
from xdancer.metrics.reconstruction import clothes_colours, clothes_ranks, lpips, null_rows, person_region, psnr, unit_pictures
from xdancer.metrics.redetection import Redetection
from xdancer.metrics.video_item import VideoItem
from xdancer.pose.detector import PoseDetector

CLOTHES_POOL = 16
ROWS = ("", "_copy", "_mean", "_grey")


def evaluate_video(
    items: Iterable[VideoItem],
    detector: PoseDetector | None = None,
    *,
    training_mean: UInt8[NDArray, "height width 3"] | None = None,
    detect_every: int = 4,
    table: str = "video",
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Table:
    """Reconstruction, pose and clothes figures of self-driven clips, with the null rows copy, mean and grey.

    Keys, each as `video/KEY`. A null row is `KEY_copy` (the portrait as a still), `KEY_mean` (the mean training frame, where given),
    `KEY_grey` (a grey person on the true background). Values are means over clips unless said otherwise:

    - `person_psnr`, `background_psnr`, `psnr` with rows: dB; the person region is the union of true and portrait mask grown by 2 pixels, the
      background the rest (None for the grey row, whose background is the true one)
    - `lpips` with rows, on every fourth frame
    - `kernel_alex16` with `_low` and `_high` (bootstrap over clips) and `_copy`; `frechet_alex16` (from 640 windows on): generated against true
    - `clothes_top1`, `clothes_top1_true` (the true frames as the query), `clothes_chance`: share of clips whose colours of top and trousers are
      nearest to their own portrait's among up to 16 identities
    - with a detector, on every `detect_every`-th frame enlarged 4× bicubic: `detected_share` with `_true` and `_copy` (a body keypoint with
      confidence > 0 was found), `pck` and `pck_true` (PCK@.1 against `pose`, over frames with a detection), `pck_copy` (the portrait's
      detection in every frame), `pck_copy_same_frames` (only frames in which the generated person was detected), `pck_all_frames` (frames
      without a detection count as misses)

    Counts: `n/video` (clips), `n/video_frames`, `n/video_windows`, `n/video_detection_frames`, `n/clothes` (queries), `n/clothes_pool`.

    Args:
        items: may be lazy; one clip is held at a time.
        detector: None leaves all values that need one None.
        training_mean: the mean frame of the training split.
        detect_every: the detector is the slow part: 40 ms a picture, three passes.
        table: first part of the keys.
        device: where LPIPS and features are computed.
        seed: of the bootstrap and of the clothes' distractors.
    """
    sums: dict[str, list[float]] = defaultdict(list)
    windows: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    clothes = _Clothes()
    detection = None if detector is None else Redetection(detector, detect_every)
    counts = {"": 0, "_frames": 0}
    features = AlexWindowFeatures()
    for item in items:
        counts[""] += 1
        counts["_frames"] += len(item.true)
        target, rows, region = _rows(item, training_mean, device)
        for name, value in rows.items():
            for key, number in _reconstruction(value, target, region).items():
                sums[key + name].append(number)
        for name, value in (("true", target), ("", rows[""]), ("_copy", rows["_copy"])):
            windows[name].append(_window_features(features, value))
        clothes.add(item)
        if detection is not None:
            detection.add(item)
    values = {key + row: _mean(sums.get(key + row, [])) for key in ("person_psnr", "background_psnr", "psnr", "lpips") for row in ROWS}
    distances, counts["_windows"] = _distances(windows, seed)
    values |= distances | clothes.values(seed) | (Redetection.unknown() if detection is None else detection.values())
    counts["_detection_frames"] = 0 if detection is None else detection.frames
    result: Table = {f"{table}/{name}": known(value) for name, value in values.items()}
    return result | {f"n/{table}{name}": count for name, count in counts.items()} | clothes.counts(seed)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _rows(
    item: VideoItem, training_mean: UInt8[NDArray, "height width 3"] | None, device: torch.device | str
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Target, predictions by row suffix ("" is the model's) and person region of one clip, on the device."""
    target, generated = unit_pictures(item.true).to(device), unit_pictures(item.generated).to(device)
    reference = None if item.portrait_mask is None else torch.from_numpy(item.portrait_mask).to(device)
    region = person_region(torch.from_numpy(item.mask).to(device), reference)
    mean = None if training_mean is None else unit_pictures(training_mean[None])[0].to(device)
    nulls = null_rows(unit_pictures(item.portrait[None])[0].to(device), target, region, mean)
    return target, {"": generated} | {f"_{name}": value for name, value in nulls.items()}, region


def _reconstruction(predicted: Tensor, target: Tensor, region: Tensor) -> dict[str, float]:
    return {
        "person_psnr": psnr(predicted, target, region),
        "background_psnr": psnr(predicted, target, ~region),
        "psnr": psnr(predicted, target),
        "lpips": float(lpips(predicted[::4], target[::4]).mean()),
    }


def _window_features(features: AlexWindowFeatures, frames: Float[Tensor, "frame 3 height width"]) -> NDArray[np.float64]:
    count = len(frames) // features.window
    windows = frames[: count * features.window].unflatten(0, (count, features.window)) if count else frames.new_zeros(0)
    return features(windows).double().cpu().numpy() if count else np.zeros((0, features.width))


def _distances(windows: dict[str, list[NDArray[np.float64]]], seed: int) -> tuple[dict[str, float], int]:
    names = ("kernel_alex16", "kernel_alex16_low", "kernel_alex16_high")
    clips = np.repeat(np.arange(len(windows["true"])), [len(clip) for clip in windows["true"]])
    if len(np.unique(clips)) < 2:
        return dict.fromkeys((*names, "kernel_alex16_copy", "frechet_alex16"), float("nan")), len(clips)
    true, generated, copy = (np.concatenate(windows[name]) for name in ("true", "", "_copy"))
    values: dict[str, float] = dict(zip(names, kernel_distance(generated, true, clips=(clips, clips), seed=seed), strict=True))
    values["kernel_alex16_copy"] = kernel_distance(copy, true, clips=(clips, clips), draws=2, seed=seed)[0]
    values["frechet_alex16"] = frechet_distance(generated, true) if enough_for_frechet(generated, true) else float("nan")
    return values, len(clips)


class _Clothes:
    """Collects colours of generated clips, true clips and portraits."""

    def __init__(self) -> None:
        self.generated: list[NDArray[np.float64]] = []
        self.true: list[NDArray[np.float64]] = []
        self.portraits: list[NDArray[np.float64]] = []
        self.identities: list[str] = []

    def add(self, item: VideoItem) -> None:
        if item.portrait_pose is None:
            return
        self.generated.append(clothes_colours(item.generated, item.pose))
        self.true.append(clothes_colours(item.true, item.pose))
        self.portraits.append(clothes_colours(item.portrait[None], item.portrait_pose[None]))
        self.identities.append(item.key if item.identity is None else item.identity)

    def _ranks(self, queries: list[NDArray[np.float64]], seed: int) -> list[int]:
        return clothes_ranks(queries, self.portraits, self.identities, pool=CLOTHES_POOL, seed=seed)

    def _pool(self) -> int:
        seen = {name for name, colours in zip(self.identities, self.portraits, strict=True) if np.isfinite(colours).all()}
        return min(CLOTHES_POOL, len(seen))

    def values(self, seed: int) -> dict[str, float]:
        pool = self._pool()
        if pool < 2:
            return dict.fromkeys(("clothes_top1", "clothes_top1_true", "clothes_chance"), float("nan"))
        top = {
            name: _mean([float(rank == 0) for rank in self._ranks(queries, seed)])
            for name, queries in (("", self.generated), ("_true", self.true))
        }
        return {"clothes_top1": top[""], "clothes_top1_true": top["_true"], "clothes_chance": 1 / pool}

    def counts(self, seed: int) -> Table:
        return {"n/clothes": len(self._ranks(self.generated, seed)), "n/clothes_pool": self._pool()}
