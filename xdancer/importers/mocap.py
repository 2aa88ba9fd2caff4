"""3D motion capture seen by several cameras → shards for stage 1: body keypoints, no hands, no music, no pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.data.shards import ShardWriter
from xdancer.errors import ShardError
from xdancer.importers.takes import Take, read_takes
from xdancer.skeleton import BODY_COUNT, KEYPOINT_COUNT
from xdancer.types import FPS, ClipSample

SPLITS = ("train", "val", "test")
SIZE = 512
"""Pixels of the imagined square picture."""
FILLED = 0.92
"""How far from the picture's centre the dancer comes, half picture heights."""
LONGEST, SHORTEST = 20 * FPS, 3 * FPS
"""Frames of a clip: longer takes are cut, shorter rests left out."""
DISTANCE = (3.0, 6.0)
"""Of the cameras from the middle of the dance, metres."""


@dataclass(frozen=True)
class Camera:
    """Where a camera stands."""

    yaw: float
    """Direction on the floor, radians."""
    distance: float
    height: float
    """Metres above the floor."""


def cameras(count: int, rng: np.random.Generator) -> list[Camera]:
    """Cameras around the dancer, evenly from a random direction, at random distances and heights."""
    first = rng.uniform(0, 2 * np.pi)
    return [Camera(first + 2 * np.pi * number / count, float(rng.uniform(*DISTANCE)), float(rng.uniform(0.8, 1.8))) for number in range(count)]


def seen(joints: Float[NDArray, "frame 18 3"], camera: Camera) -> Float[NDArray, "frame 60 3"]:
    """The take in a camera that looks at its middle and holds all of it: keypoints and confidence as in the shards.

    The body is certain; hands lie at their wrists with confidence 0.
    """
    middle = (joints.reshape(-1, 3).min(0) + joints.reshape(-1, 3).max(0)) / 2
    away = joints - middle
    cos, sin = np.cos(camera.yaw), np.sin(camera.yaw)
    x, z = away[..., 0] * cos - away[..., 2] * sin, away[..., 0] * sin + away[..., 2] * cos
    y = away[..., 1] + middle[1] - camera.height
    depth = np.maximum(camera.distance + max(0.0, float(z.max())) - z, 0.5)
    flat = np.stack([x / depth, -y / depth], axis=-1)
    low, high = flat.reshape(-1, 2).min(0), flat.reshape(-1, 2).max(0)
    flat = (flat - (low + high) / 2) * (2 * FILLED / float((high - low).max()))
    pose = np.zeros((len(joints), KEYPOINT_COUNT, 3), np.float32)
    pose[:, :BODY_COUNT, :2] = flat
    pose[:, :BODY_COUNT, 2] = 1.0
    pose[:, BODY_COUNT : BODY_COUNT + 21, :2] = flat[:, 7:8]  # left wrist
    pose[:, BODY_COUNT + 21 :, :2] = flat[:, 4:5]  # right wrist
    return pose


def split_groups(takes: list[Take], *, held_out: float, rng: np.random.Generator) -> dict[str, str]:
    """Group → split; validation and test get `held_out` of the groups each, at least one.

    Raises:
        ShardError: fewer than three groups.
    """
    groups = sorted({take.group for take in takes})
    if len(groups) < len(SPLITS):
        raise ShardError(f"{len(groups)} recordings (names end in _RECORDING) for {len(SPLITS)} splits: at least three are needed.")
    order = [groups[number] for number in rng.permutation(len(groups))]
    count = max(1, round(held_out * len(groups)))
    return {group: "val" if place < count else "test" if place < 2 * count else "train" for place, group in enumerate(order)}


def import_takes(
    path: Path, out: Path, *, count: int, seed: int, held_out: float, style: str | None, licence: str
) -> dict[str, int]:  # fmt: skip
    """Write `out/train`, `out/val` and `out/test`; returns clips by split.

    Raises:
        XDancerError: the file is not as described; ShardError: the folders are taken or too few recordings.
    """
    takes, rng = read_takes(path), np.random.default_rng(seed)
    splits = split_groups(takes, held_out=held_out, rng=rng)
    views = {take.name: cameras(count, rng) for take in takes}
    written: dict[str, int] = dict.fromkeys(SPLITS, 0)
    notes = {"importer": "mocap", "file": path.name, "cameras": count, "seed": seed}
    for split in SPLITS:
        with ShardWriter(out / split, split=split, features={}, licence=licence, notes=notes) as writer:
            for take in (take for take in takes if splits[take.group] == split):
                for sample in _clips(take, views[take.name], path, style):
                    writer.write(sample)
                    written[split] += 1
    return written


def _clips(take: Take, views: list[Camera], path: Path, style: str | None) -> Iterator[ClipSample]:
    name = "".join(letter if letter.isalnum() else "-" for letter in take.name)
    for number, camera in enumerate(views):
        pose = seen(take.joints, camera)
        for begin in range(0, len(pose), LONGEST):
            piece = pose[begin : begin + LONGEST]
            if len(piece) < SHORTEST:
                continue
            meta = {
                "source": f"{path.name}:{take.name}", "song": f"take-{take.group}", "width": SIZE, "height": SIZE, "beats": [], "tempo": 0.0,
                "span": [begin / FPS, (begin + len(piece)) / FPS], "style": style, "detector": "motion capture",
            }  # fmt: skip
            yield ClipSample(f"{name}-c{number}-{begin // LONGEST}", piece, {}, meta)
