"""Figures of rendered videos beside their null rows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from xdancer.metrics.distance_report import kernel_name, value_name
from xdancer.metrics.feature_sets import window_features
from xdancer.metrics.frechet import frechet_distance, kernel_distance
from xdancer.metrics.identity import FaceFrames, FaceNet, IdentitySimilarity
from xdancer.metrics.motion_table import Table, known
from xdancer.metrics.reconstruction import clothes_colours, clothes_ranks, lpips, null_rows, person_region, psnr, unit_pictures
from xdancer.metrics.redetection import Redetection
from xdancer.metrics.video_item import VideoItem
from xdancer.metrics.video_networks import VideoNetwork, make_features
from xdancer.metrics.video_protocols import PROTOCOLS
from xdancer.pose.detector import PoseDetector
from xdancer.types import FPS

CLOTHES_POOL = 16
PROTOCOL = PROTOCOLS["xdancer16"]
"""How the distances are taken; `xdancer evaluate --protocol` has the others."""
KERNEL, FRECHET = kernel_name(PROTOCOL), value_name(PROTOCOL)
ROWS = ("", "_copy", "_mean", "_grey")


def evaluate_video(
    items: Iterable[VideoItem],
    detector: PoseDetector | None = None,
    *,
    face_net: FaceNet | None = None,
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
    - `kernel_alex16@xdancer16` with `_low` and `_high` (bootstrap over clips) and `_copy`; `frechet_alex16@xdancer16` (from 640 windows on):
      generated against true
    - `clothes_top1`, `clothes_top1_true` (the true frames as the query), `clothes_chance`: share of clips whose colours of top and trousers are
      nearest to their own portrait's among up to 16 identities
    - with a detector, on every `detect_every`-th frame enlarged 4× bicubic: `detected_share` with `_true` and `_copy` (a body keypoint with
      confidence > 0 was found), `pck` and `pck_true` (PCK@.1 against `pose`, over frames with a detection), `pck_copy` (the portrait's
      detection in every frame), `pck_copy_same_frames` (only frames in which the generated person was detected), `pck_all_frames` (frames
      without a detection count as misses)

    - with a face network, faces cut where the poses say: `id_sim`, `id_sim_true` (the true frames), `id_sim_other` (the portrait of another
      identity): cosines to the portrait's face

    Counts: `n/video` (clips), `n/video_frames`, `n/video_windows`, `n/video_detection_frames`, `n/clothes` (queries), `n/clothes_pool`,
    `n/video_frames_without_face`.

    Args:
        items: may be lazy; one clip is held at a time.
        detector: None leaves all values that need one None.
        face_net: likewise.
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
    network, faces = make_features(PROTOCOL.network, device=device), _Faces(face_net)
    for item in items:
        counts[""] += 1
        counts["_frames"] += len(item.true)
        target, rows, region = _rows(item, training_mean, device)
        for name, value in rows.items():
            for key, number in _reconstruction(value, target, region).items():
                sums[key + name].append(number)
        still = np.repeat(item.portrait[None], len(item.true), axis=0)
        for name, pictures in (("true", item.true), ("", item.generated), ("_copy", still)):
            windows[name].append(_features(pictures, network))
        clothes.add(item)
        faces.add(item)
        if detection is not None:
            detection.add(item)
    values = {key + row: _mean(sums.get(key + row, [])) for key in ("person_psnr", "background_psnr", "psnr", "lpips") for row in ROWS}
    distances, counts["_windows"] = _distances(windows, seed)
    values |= distances | clothes.values(seed) | faces.values() | (Redetection.unknown() if detection is None else detection.values())
    counts["_detection_frames"] = 0 if detection is None else detection.frames
    result: Table = {f"{table}/{name}": known(value) for name, value in values.items()}
    result |= {f"n/{table}{name}": count for name, count in counts.items()} | {f"n/{table}_frames_without_face": faces.missed}
    return result | clothes.counts(seed)


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


def _features(pictures: UInt8[NDArray, "frame height width 3"], network: VideoNetwork) -> Float[NDArray, "window feature"]:
    return window_features(pictures, float(FPS), network, PROTOCOL, seed=0, clips=None).astype(np.float64)


def _distances(windows: dict[str, list[NDArray[np.float64]]], seed: int) -> tuple[dict[str, float], int]:
    names = (KERNEL, f"{KERNEL}_low", f"{KERNEL}_high")
    clips = np.repeat(np.arange(len(windows["true"])), [len(clip) for clip in windows["true"]])
    if len(np.unique(clips)) < 2:
        return dict.fromkeys((*names, f"{KERNEL}_copy", FRECHET), float("nan")), len(clips)
    true, generated, copy = (np.concatenate(windows[name]) for name in ("true", "", "_copy"))
    values: dict[str, float] = dict(zip(names, kernel_distance(generated, true, clips=(clips, clips), seed=seed), strict=True))
    values[f"{KERNEL}_copy"] = kernel_distance(copy, true, clips=(clips, clips), draws=2, seed=seed)[0]
    values[FRECHET] = frechet_distance(generated, true) if len(true) >= PROTOCOL.minimum else float("nan")
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
        self.identities.append(_who(item))

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


class _Faces:
    """ID-SIM of the clips; the portrait of the clip before stands for another person, where it shows one."""

    def __init__(self, network: FaceNet | None) -> None:
        self.metric = None if network is None else IdentitySimilarity(network)
        self.before: VideoItem | None = None

    def add(self, item: VideoItem) -> None:
        if self.metric is None or item.portrait_pose is None:
            return
        before = self.before
        other = None if before is None or _who(before) == _who(item) else _portrait(before)
        self.metric.update(FaceFrames(item.generated, item.pose), _portrait(item), true=FaceFrames(item.true, item.pose), other=other)
        self.before = item

    def values(self) -> dict[str, float]:
        found = {} if self.before is None or self.metric is None else self.metric.compute()
        return {name: found.get(name, float("nan")) for name in ("id_sim", "id_sim_true", "id_sim_other")}

    @property
    def missed(self) -> int:
        """Frames without a face, of the clips that were looked at."""
        return 0 if self.before is None or self.metric is None else int(self.metric.compute()["frames_without_face"])


def _portrait(item: VideoItem) -> FaceFrames:
    assert item.portrait_pose is not None
    return FaceFrames(item.portrait[None], item.portrait_pose[None])


def _who(item: VideoItem) -> str:
    return item.key if item.identity is None else item.identity
