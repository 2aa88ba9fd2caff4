"""Pictures of the dancer: anti-aliased capsules painted from back to front over a still background, about 3 ms for 128×128."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdancer.embedded.body import Array, Body, assemble
from xdancer.embedded.camera import observe, project
from xdancer.embedded.choreography import BeatGrid, dance_postures, neutral_posture, phrase_names
from xdancer.embedded.figure import HAND_BONES, Figure, all_points, make_figure
from xdancer.embedded.identity import Identity
from xdancer.embedded.scenery import paint_background
from xdancer.embedded.seeds import stream
from xdancer.embedded.styles import STYLES

_LIGHT = (0.1, 0.17)
"""How much darker a capsule is at its right and its lower edge."""
_MASK_ABOVE = 0.4


@dataclass(frozen=True)
class Portrait:
    """A still picture of a dancer."""

    picture: NDArray[np.uint8]
    """(size, size, 3)."""
    mask: NDArray[np.uint8]
    """(size, size), 255 = person."""
    pose: NDArray[np.float32]
    """(60, 3), confidence included."""


def render_frames(body: Body, identity: Identity, *, size: int = 128) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pictures (frame, size, size, 3) and person masks (frame, size, size), 255 = person."""
    figure = make_figure(identity)
    strokes = _Strokes(body, figure, identity, size)
    background = np.zeros((size, size, 4), np.float32)
    background[..., :3] = paint_background(identity, size)
    frames = np.empty((len(body.points), size, size, 3), np.uint8)
    masks = np.empty((len(body.points), size, size), np.uint8)
    for frame in range(len(body.points)):
        canvas = background.copy()
        strokes.paint(frame, canvas)
        frames[frame] = np.clip(canvas[..., :3] * 255 + 0.5, 0, 255)
        masks[frame] = (canvas[..., 3] > _MASK_ABOVE) * np.uint8(255)
    return frames, masks


def render_portrait(identity: Identity, size: int = 128, *, seed: int = 0) -> Portrait:
    """The dancer standing at ease, every time a little differently."""
    rng = stream("portrait", identity.name, seed)
    style = STYLES[rng.integers(len(STYLES))]
    phrases = phrase_names(style, identity.name.split("-")[0], seed=int(rng.integers(99)), count=1)
    moment = dance_postures(phrases, BeatGrid(60.0, float(rng.uniform(0, 8))), frames=1)
    posture = neutral_posture()[None] + rng.uniform(0.1, 0.35) * (moment - neutral_posture())
    body = assemble(posture, identity.body)
    frames, masks = render_frames(body, identity, size=size)
    return Portrait(frames[0], masks[0], observe(body, posture, identity)[0])


class _Strokes:
    """All capsules of all frames in pixels, ready to paint."""

    def __init__(self, body: Body, figure: Figure, identity: Identity, size: int) -> None:
        self.size = size
        self.axis = np.arange(size, dtype=np.float32)
        seen = project(all_points(body, figure), identity.camera)
        pixels = (seen[..., :2] + 1) * (size / 2) - 0.5
        per_metre = identity.camera.focal / seen[..., 2] * (size / 2)
        start, end = [c.start for c in figure.capsules], [c.end for c in figure.capsules]
        nearer = np.array([c.nearer for c in figure.capsules])
        radius_start = per_metre[:, start] * [c.radius_start for c in figure.capsules]
        radius_end = per_metre[:, end] * [c.radius_end for c in figure.capsules]
        depth = (seen[:, start, 2] + seen[:, end, 2]) / 2 - nearer
        soft = _softness(pixels)
        self.colours = [np.array([*c.colour, 1.0], np.float32) for c in figure.capsules]
        self.capsules = np.stack(
            [pixels[:, start, 0], pixels[:, start, 1], pixels[:, end, 0], pixels[:, end, 1], radius_start, radius_end,
             (soft[:, start] + soft[:, end]) / 2, np.broadcast_to([c.relief for c in figure.capsules], depth.shape)], -1,
        ).tolist()  # fmt: skip
        self.skin = np.array([*figure.skin, 1.0], np.float32)
        self._prepare_hands(pixels, seen[..., 2], per_metre, soft, figure)
        depth = np.concatenate([depth, self.hand_depth], axis=1)
        self.order = np.argsort(-depth, axis=1).tolist()
        ground = body.points[:, [10, 13]] * [1, 0, 1]
        self.shadows = (project(ground, identity.camera)[..., :2] + 1) * (size / 2) - 0.5
        self.shadow_size = float(per_metre.mean()) * 0.13

    def _prepare_hands(self, pixels: Array, depth: Array, per_metre: Array, soft: Array, figure: Figure) -> None:
        hands = np.stack([pixels[:, 18:39], pixels[:, 39:60]], 1).astype(np.float32)  # (frame, hand, 21, 2)
        hand_depth = np.stack([depth[:, 18:39], depth[:, 39:60]], 1)
        first, second = np.array(HAND_BONES).T
        self.hand_start, self.hand_reach = hands[:, :, first], hands[:, :, second] - hands[:, :, first]
        radii = np.where(np.arange(len(HAND_BONES)) < 3, figure.palm_radius, figure.finger_radius)
        self.hand_radius = (np.stack([per_metre[:, 18], per_metre[:, 39]], 1)[..., None] * radii).astype(np.float32)
        self.hand_order = np.argsort(-(hand_depth[:, :, first] + hand_depth[:, :, second]), axis=-1)
        self.hand_depth = hand_depth.mean(-1) - 0.03
        self.hand_soft = np.stack([soft[:, 18:39].mean(1), soft[:, 39:60].mean(1)], 1)
        margin = self.hand_radius.max(-1)[..., None] + self.hand_soft[..., None] + 1
        self.hand_low = np.floor(hands.min(2) - margin).astype(int).clip(0, self.size).tolist()
        self.hand_high = np.ceil(hands.max(2) + margin + 1).astype(int).clip(0, self.size).tolist()

    def paint(self, frame: int, canvas: NDArray[np.float32]) -> None:
        """Paint one frame's dancer onto (size, size, 4): RGB and person."""
        for x, y in self.shadows[frame]:
            self._paint_shadow(canvas, float(x), float(y))
        capsules, count = self.capsules[frame], len(self.colours)
        for index in self.order[frame]:
            if index < count:
                self._paint_capsule(canvas, capsules[index], self.colours[index])
            else:
                self._paint_hand(canvas, frame, index - count)

    def _paint_shadow(self, canvas: NDArray[np.float32], x: float, y: float) -> None:
        rx, ry = self.shadow_size * 1.6, self.shadow_size * 0.5
        x0, x1, y0, y1 = _box(x - rx, y - ry, x + rx, y + ry, self.size)
        if x0 >= x1 or y0 >= y1:
            return
        away = ((self.axis[x0:x1] - x) / rx)[None] ** 2 + ((self.axis[y0:y1] - y) / ry)[:, None] ** 2
        canvas[y0:y1, x0:x1, :3] *= (1 - 0.3 * np.maximum(1 - away, 0))[..., None]

    def _paint_capsule(self, canvas: NDArray[np.float32], capsule: list[float], colour: NDArray[np.float32]) -> None:
        ax, ay, bx, by, ra, rb, soft, relief = capsule
        margin = max(ra, rb) + 0.5 * soft
        x0, x1, y0, y1 = _box(min(ax, bx) - margin, min(ay, by) - margin, max(ax, bx) + margin, max(ay, by) + margin, self.size)
        if x0 >= x1 or y0 >= y1:
            return
        dx, dy = self.axis[None, x0:x1] - ax, self.axis[y0:y1, None] - ay
        ux, uy = bx - ax, by - ay
        inverse = 1 / max(ux * ux + uy * uy, 1e-6)
        share = dx * (ux * inverse) + dy * (uy * inverse)
        np.maximum(share, 0, out=share)
        np.minimum(share, 1, out=share)
        px, py = dx - share * ux, dy - share * uy
        radius = ra + share * (rb - ra)
        light = (px * (relief * _LIGHT[0]) + py * (relief * _LIGHT[1])) / radius
        cover = (radius - np.sqrt(px * px + py * py)) / soft + 0.5
        np.maximum(cover, 0, out=cover)
        np.minimum(cover, 1, out=cover)
        patch = canvas[y0:y1, x0:x1]
        patch += cover[..., None] * ((1 - light)[..., None] * colour - patch)

    def _paint_hand(self, canvas: NDArray[np.float32], frame: int, hand: int) -> None:
        (x0, y0), (x1, y1) = self.hand_low[frame][hand], self.hand_high[frame][hand]
        if x0 >= x1 or y0 >= y1:
            return
        start, reach = self.hand_start[frame, hand][:, None, None], self.hand_reach[frame, hand][:, None, None]
        dx, dy = self.axis[None, None, x0:x1] - start[..., 0], self.axis[None, y0:y1, None] - start[..., 1]
        ux, uy = reach[..., 0], reach[..., 1]
        share = np.clip((dx * ux + dy * uy) / np.maximum(ux * ux + uy * uy, 1e-6), 0, 1)
        px, py = dx - share * ux, dy - share * uy
        radius = self.hand_radius[frame, hand][:, None, None]
        cover = np.clip((radius - np.sqrt(px * px + py * py)) / np.float32(self.hand_soft[frame, hand]) + 0.5, 0, 1)
        light = 1 - (px * _LIGHT[0] + py * _LIGHT[1]) / radius
        light[:3] *= 0.93  # the palm a little darker than the fingers
        shade, clear = np.ones_like(cover[0]), np.ones_like(cover[0])
        for bone in self.hand_order[frame, hand]:
            shade += cover[bone] * (light[bone] - shade)
            clear *= 1 - cover[bone]
        patch = canvas[y0:y1, x0:x1]
        patch += (1 - clear)[..., None] * (shade[..., None] * self.skin - patch)


def _box(left: float, top: float, right: float, bottom: float, size: int) -> tuple[int, int, int, int]:
    """First and end column, first and end row of the pixels that a rectangle touches."""
    return (
        max(math.floor(left), 0), min(math.ceil(right) + 1, size), max(math.floor(top), 0), min(math.ceil(bottom) + 1, size),
    )  # fmt: skip


def _softness(pixels: Array) -> Array:
    """Width of the capsules' edges in pixels, (frame, point): 1, more for what moves fast (motion blur)."""
    if len(pixels) < 2:
        return np.ones(pixels.shape[:2])
    step = np.linalg.norm(np.diff(pixels, axis=0), axis=-1)
    speed = (np.concatenate([step[:1], step]) + np.concatenate([step, step[-1:]])) / 2
    return 1 + np.minimum(0.3 * speed, 0.02 * 128)
