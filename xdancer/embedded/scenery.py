"""Still backgrounds of the puppet's pictures: a wall with something on it, a floor with boards, soft light."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdancer.embedded.camera import project
from xdancer.embedded.identity import Identity

Picture = NDArray[np.float32]
WALL_DISTANCE = 1.6
"""From the dancer's place to the wall, metres."""


def paint_background(identity: Identity, size: int) -> Picture:
    """(size, size, 3) RGB in [0, 1]."""
    scene, camera = identity.scene, identity.camera
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, axis)
    foot_of_wall = float(project(np.array([0.0, 0.0, -WALL_DISTANCE]), camera)[1])
    wall = _paint_wall(identity, x, y, foot_of_wall)
    depth = camera.focal * camera.height / np.maximum(y - camera.centre[1], 0.05)  # distance at which a ray meets the floor
    boards = (x - camera.centre[0]) * depth / camera.focal
    floor = np.asarray(scene.floor, np.float32) * (1.08 - 0.06 * np.clip(depth - camera.distance, -2, 2)[..., None])
    floor = floor * (1 - 0.12 * _line(np.mod(boards, 0.45) / 0.45, depth[..., None] * 0 + 0.05))
    floor_share = np.clip((y - foot_of_wall) * size / 2 + 0.5, 0, 1)[..., None]
    skirting = np.exp(-(((y - foot_of_wall) * 40) ** 2))[..., None]
    picture = (wall * (1 - floor_share) + floor * floor_share) * (1 - 0.25 * skirting)
    vignette = 1.04 - 0.12 * (x**2 + y**2)[..., None]
    return np.clip(picture * vignette, 0, 1).astype(np.float32)


def _line(share: NDArray[Any], width: NDArray[Any]) -> NDArray[Any]:
    """1 near share 0 or 1, for thin lines of a repeated pattern, (…, 1)."""
    near = np.minimum(share, 1 - share)[..., None]
    return np.clip(1.5 - near / width, 0, 1)


def _paint_wall(identity: Identity, x: NDArray[Any], y: NDArray[Any], foot: float) -> NDArray[Any]:
    scene = identity.scene
    rng = np.random.default_rng(scene.seed)
    down = np.clip((y + 1) / (foot + 1), 0, 1)[..., None]
    wall = np.asarray(scene.wall) * (1 - down) + np.asarray(scene.wall_low) * down
    share = np.zeros_like(x)
    if scene.kind == "stripes":
        count, angle = rng.uniform(3, 8), rng.choice([0.0, np.pi / 2, 0.6])
        share = 0.35 * np.clip(np.sin((x * np.cos(angle) + y * np.sin(angle)) * count * np.pi) * 6 + 0.5, 0, 1)
    elif scene.kind == "window":
        share = sum(_box(x, y, cx, rng.uniform(-0.6, -0.3), rng.uniform(0.12, 0.25), rng.uniform(0.15, 0.3)) for cx in (-0.65, 0.65))
    elif scene.kind == "blocks":
        share = 0.6 * np.max([_box(x, y, *rng.uniform(-1, 1, 2), *rng.uniform(0.08, 0.35, 2)) for _ in range(5)], axis=0)
    elif scene.kind == "glow":
        cx, cy, radius = rng.uniform(-0.8, 0.8), rng.uniform(-0.9, 0.0), rng.uniform(0.3, 0.7)
        share = 0.7 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / radius**2)
    share = np.asarray(share)[..., None]
    return wall * (1 - share) + np.asarray(scene.accent) * share


def _box(x: NDArray[Any], y: NDArray[Any], cx: float, cy: float, width: float, height: float) -> NDArray[Any]:
    """1 inside a box with soft edges."""
    return np.clip(1 - (np.maximum(np.abs(x - cx) - width, np.abs(y - cy) - height)) * 40, 0, 1)
