"""One constant window around the dancer for a whole clip, so that the camera does not seem to move."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image

from xdancer.skeleton import VISIBLE

HEADROOM = 1.5
"""The margin above, as a multiple of the others: the highest keypoints are the eyes and ears."""
LEAST_MARGIN = 0.25
"""Down to this share of the margin the window shrinks to stay inside the picture; beyond, it leaves the picture and is padded."""
OUTLIERS = 0.5
"""Percent of the frames whose extremes are ignored at each edge."""


@dataclass(frozen=True)
class Crop:
    """A window in pixels of the video; may reach beyond the picture."""

    left: float
    top: float
    width: float
    height: float

    def pixels(self, pixels: Float[np.ndarray, "frame 60 3"], size: tuple[int, int]) -> NDArray[np.float32]:
        """Keypoints of the video → keypoints of the cropped picture of `size` (width, height)."""
        moved = np.array(pixels, np.float32)
        moved[..., 0] = (moved[..., 0] - self.left) * (size[0] / self.width)
        moved[..., 1] = (moved[..., 1] - self.top) * (size[1] / self.height)
        return moved

    def picture(self, picture: NDArray[np.uint8], size: tuple[int, int], *, edge: bool = True) -> NDArray[np.uint8]:
        """The window as picture of `size` (width, height); beyond the picture its border is repeated, or black.

        Bicubic where it grows; Pillow's Hamming window, as sharp and half as wide, where it shrinks.
        """
        height, width = picture.shape[:2]
        before = (max(0, int(np.ceil(-self.top))), max(0, int(np.ceil(-self.left))))
        after = (max(0, int(np.ceil(self.top + self.height - height))), max(0, int(np.ceil(self.left + self.width - width))))
        if any(before + after):
            room = tuple(zip(before, after, strict=True)) + ((0, 0),) * (picture.ndim - 2)
            picture = np.pad(picture, room, mode="edge") if edge else np.pad(picture, room)
        left, top = self.left + before[1], self.top + before[0]
        box = (max(0.0, left), max(0.0, top), min(left + self.width, picture.shape[1]), min(top + self.height, picture.shape[0]))
        return np.asarray(
            Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC if size[0] > self.width else Image.Resampling.HAMMING, box=box)
        )

    def thinned(self, step: int) -> "Crop":
        """The same window in a picture of which every `step`-th row and column was kept, from the first on."""
        return Crop((self.left - 0.5) / step + 0.5, (self.top - 0.5) / step + 0.5, self.width / step, self.height / step)

    def outside(self, width: int, height: int) -> float:
        """Share of the window beyond a picture of that size."""
        inside_x = min(self.left + self.width, width) - max(self.left, 0)
        inside_y = min(self.top + self.height, height) - max(self.top, 0)
        return 1 - max(0.0, inside_x) * max(0.0, inside_y) / (self.width * self.height)


def union_box(pixels: Float[np.ndarray, "frame 60 3"], width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, right, bottom around all visible keypoints of a clip, within the picture."""
    visible = pixels[..., 2:] >= VISIBLE
    points = np.where(visible, pixels[..., :2], np.nan)[visible.any(axis=(1, 2))]
    low = np.percentile(np.nanmin(points, axis=1), OUTLIERS, axis=0)
    high = np.percentile(np.nanmax(points, axis=1), 100 - OUTLIERS, axis=0)
    left, top = np.clip(low, 0, (width, height))
    right, bottom = np.clip(high, 0, (width, height))
    return float(left), float(top), float(right), float(bottom)


def choose_crop(box: tuple[float, float, float, float], *, width: int, height: int, aspect: float, margin: float) -> Crop:
    """The window of that aspect (width / height) around the box with its margins, moved and shrunk into the picture where possible."""
    left, top, right, bottom = box
    room = margin * (bottom - top)

    def around(share: float) -> tuple[float, float, float, float]:
        """The box with that share of the margins, as far as the picture reaches: centre x, y and size of the window around it."""
        near, far = max(left - share * room, 0.0), min(right + share * room, float(width))
        high, low = max(top - HEADROOM * share * room, 0.0), min(bottom + share * room, float(height))
        return (near + far) / 2, (high + low) / 2, max(far - near, (low - high) * aspect), max(low - high, (far - near) / aspect)

    x, y, wide, tall = around(1.0)
    largest = min(float(width), height * aspect)
    if wide > largest >= around(LEAST_MARGIN)[2]:
        wide, tall = largest, largest / aspect
    return Crop(_place(x, wide, width), _place(y, tall, height), wide, tall)


def _place(centre: float, length: float, limit: int) -> float:
    """Start of an interval about `centre`, inside [0, limit] if it fits, else centred on it as far as it must stick out."""
    start = centre - length / 2
    return min(max(start, 0.0), limit - length) if length <= limit else min(max(start, limit - length), 0.0)
