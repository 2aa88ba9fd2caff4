"""Skeleton pictures exactly as DWPose draws them, so that weights trained on such pictures work.

After `draw_bodypose` and `draw_handpose` of IDEA-Research/DWPose (Apache-2.0, annotator/dwpose/util.py, as in controlnet_aux): body limbs are
filled ellipses at 60 % brightness, joints discs, hand edges lines in the colours of the hue circle, hand joints blue discs. OpenCV's integer
rasterisation is reproduced in numpy, without anti-aliasing; fewer than 5 in 1000 drawn pixels (ties at outlines) differ from OpenCV's.
"""

import colorsys
import math
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from xdancer.pose.coordinates import to_pixels
from xdancer.skeleton import BODY, BODY_LIMBS, HAND_LIMBS, LEFT_HAND, RIGHT_HAND, VISIBLE

COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85), (0, 255, 170),
    (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
"""Of the body's joints; limb i has colour i, too."""
HAND_COLOURS = tuple(tuple(round(255 * value) for value in colorsys.hsv_to_rgb(edge / 20, 1, 1)) for edge in range(20))
JOINT_COLOUR = (0, 0, 255)
LIMB_BRIGHTNESS = 0.6
STICK = 4
"""DWPose's half width of limbs and radius of joints in pixels, at the resolution it draws at: 512 on the shorter side."""
DRAWN_SIDE = 512

Colour = tuple[int, ...]
Shape = tuple[NDArray[np.intp], NDArray[np.intp]]
"""A filled convex shape: rows and columns of its pixels."""


def draw_skeleton(
    pose: Float[np.ndarray, "60 3"],
    height: int,
    width: int,
    *,
    stick: int | None = None,
    background: UInt8[np.ndarray, "height width 3"] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """One pose (pose coordinates, confidence) as RGB picture, black behind unless a `background` is given.

    `stick` is the half width of a limb in pixels; by default DWPose's 4 on a picture whose shorter side is 512, in proportion on others and at
    least 1. Keypoints below confidence .3 are left out, as DWPose does.
    """
    stick = max(1, round(STICK * min(height, width) / DRAWN_SIDE)) if stick is None else stick
    pixels = to_pixels(pose, width=width, height=height)
    visible = pose[:, 2] >= VISIBLE
    canvas = _Canvas(height, width)
    _draw_body(canvas, pixels[BODY, :2], visible[BODY], stick)
    for hand in (LEFT_HAND, RIGHT_HAND):
        _draw_hand(canvas, pixels[hand, :2], visible[hand], stick)
    return canvas.picture if background is None else np.where(canvas.drawn[..., None], canvas.picture, background)


class _Canvas:
    """A black picture and where something was drawn on it: one number a pixel, of red, green, blue and whether it was drawn."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._pixels = np.zeros(height * width, "<u4")

    @property
    def _bytes(self) -> UInt8[np.ndarray, "height width 4"]:
        return self._pixels.view(np.uint8).reshape(self.height, self.width, 4)

    @property
    def picture(self) -> UInt8[np.ndarray, "height width 3"]:
        return np.ascontiguousarray(self._bytes[..., :3])

    @property
    def drawn(self) -> Bool[np.ndarray, "height width"]:
        return self._bytes[..., 3] > 0

    def fill(self, x: int, y: int, shape: Shape, colour: Colour) -> None:
        rows, columns = shape[0] + y, shape[1] + x
        if not (rows[0] >= 0 and rows[-1] < self.height and columns.min() >= 0 and columns.max() < self.width):
            inside = (rows >= 0) & (rows < self.height) & (columns >= 0) & (columns < self.width)
            rows, columns = rows[inside], columns[inside]
        red, green, blue = colour
        self._pixels[rows * self.width + columns] = red | green << 8 | blue << 16 | 255 << 24


def _draw_body(canvas: _Canvas, points: NDArray[np.float32], visible: NDArray[np.bool_], stick: int) -> None:
    for colour, (start, end) in zip(COLOURS, BODY_LIMBS, strict=False):
        if visible[start] and visible[end]:
            (x0, y0), (x1, y1) = points[start].tolist(), points[end].tolist()
            angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
            limb = _ellipse(int(math.hypot(x0 - x1, y0 - y1) / 2), stick, angle)
            canvas.fill(int((x0 + x1) / 2), int((y0 + y1) / 2), limb, tuple(int(value * LIMB_BRIGHTNESS) for value in colour))
    for index in np.flatnonzero(visible):
        canvas.fill(int(points[index, 0]), int(points[index, 1]), _disc(stick), COLOURS[index])


def _draw_hand(canvas: _Canvas, points: NDArray[np.float32], visible: NDArray[np.bool_], stick: int) -> None:
    whole = points.astype(int)
    inside = visible & (whole > 0).all(axis=1)
    thickness = max(1, stick // 2)
    for colour, (start, end) in zip(HAND_COLOURS, HAND_LIMBS, strict=True):
        if inside[start] and inside[end]:
            (x0, y0), (x1, y1) = whole[start].tolist(), whole[end].tolist()
            canvas.fill(x0, y0, _bar(x1 - x0, y1 - y0, thickness), colour)
            if thickness > 1:
                canvas.fill(x0, y0, _disc((thickness + 1) // 2), colour)
                canvas.fill(x1, y1, _disc((thickness + 1) // 2), colour)
    for x, y in whole[inside].tolist():
        canvas.fill(x, y, _disc(stick), JOINT_COLOUR)


@lru_cache(maxsize=8192)
def _ellipse(half_length: int, half_width: int, angle: int) -> Shape:
    """cv2.ellipse2Poly(…, delta=1) around the origin, filled."""
    degrees = np.radians(np.arange(361))
    along, across = half_length * np.cos(degrees), half_width * np.sin(degrees)
    turn = math.radians(angle % 360)
    corners = np.stack([along * math.cos(turn) - across * math.sin(turn), along * math.sin(turn) + across * math.cos(turn)], axis=1)
    corners = np.rint(corners)
    return _filled(corners[np.append(True, (np.diff(corners, axis=0) != 0).any(axis=1))])


@lru_cache(maxsize=8192)
def _bar(dx: int, dy: int, thickness: int) -> Shape:
    """The rectangle of cv2.line from the origin to (dx, dy), without its round ends."""
    length = math.hypot(dx, dy)
    across = np.array([-dy, dx]) * ((thickness + thickness % 2) / 2 / length if thickness > 1 and length else 0.0)
    end = np.array([dx, dy], float)
    return _filled(np.stack([across, -across, end - across, end + across]))


@lru_cache(maxsize=64)
def _disc(radius: int) -> Shape:
    """OpenCV's filled circle (its midpoint algorithm) around the origin."""
    reach = [0] * (radius + 1)
    error, dx, dy, plus, minus = 0, radius, 0, 1, 2 * radius - 1
    while dx >= dy:
        reach[dy], reach[dx] = max(reach[dy], dx), max(reach[dx], dy)
        dy, error, plus = dy + 1, error + plus, plus + 2
        if error > 0:
            dx, error, minus = dx - 1, error - minus, minus - 2
    rows = np.arange(-radius, radius + 1)
    widths = np.array(reach)[abs(rows)]
    return _pixels(rows, -widths, widths + 1)


def _filled(polygon: NDArray[np.float64]) -> Shape:
    """cv2.fillConvexPoly: between the outermost pixels of outline and scan lines in each row."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    turned = start[:, :1] > end[:, :1]  # OpenCV walks an edge from its left end
    start, end = np.where(turned, end, start), np.where(turned, start, end)
    length = np.abs(end - start).max(axis=1)
    steps = np.arange(int(np.ceil(length.max(initial=0))) + 1)
    offset = np.minimum(steps / np.maximum(length, 1e-9)[:, None], 1.0)[..., None] * (end - start)[:, None]
    pixels = [np.floor(start[:, None] + offset + 0.5)]  # scan lines
    if (start == np.rint(start)).all():
        pixels.append(start[:, None] + np.sign(offset) * np.ceil(np.abs(offset) - 0.5 - 1e-9))  # Bresenham's outline: a tie stays
    columns, rows = np.concatenate(pixels).astype(int).reshape(-1, 2).T
    top = int(rows.min())
    left, right = np.full(rows.max() - top + 1, np.iinfo(int).max), np.full(rows.max() - top + 1, np.iinfo(int).min)
    np.minimum.at(left, rows - top, columns)
    np.maximum.at(right, rows - top, columns)
    return _pixels(np.arange(top, top + len(left)), left, right + 1)


def _pixels(rows: NDArray[np.int64], left: NDArray[np.int64], behind: NDArray[np.int64]) -> Shape:
    """All pixels of rows from their first column to the one behind the last."""
    counts = (behind - left).clip(min=0)
    columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - left, counts)
    return np.repeat(rows, counts), columns
