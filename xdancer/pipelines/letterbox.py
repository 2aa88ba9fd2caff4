"""Between a portrait of any shape and the renderer's fixed one: fitted inside, its edge colours continued, and cut out again afterwards."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image

Picture = UInt8[NDArray, "height width 3"]


@dataclass(frozen=True)
class Letterbox:
    """Where a portrait of `source` (height, width) lies, centred, in pictures of `target` (height, width)."""

    source: tuple[int, int]
    target: tuple[int, int]
    inner: tuple[int, int]
    """Size of the portrait inside the target; even, so that videos of it can be encoded."""

    @classmethod
    def fit(cls, source: tuple[int, int], target: tuple[int, int]) -> "Letterbox":
        """The largest placement that keeps the proportions (to the nearest even pixel)."""
        scale = min(target[0] / source[0], target[1] / source[1])
        inner = tuple(min(limit, max(2, 2 * round(side * scale / 2))) for side, limit in zip(source, target, strict=True))
        return cls(source, target, (inner[0], inner[1]))

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the portrait's first pixel."""
        return (self.target[0] - self.inner[0]) // 2, (self.target[1] - self.inner[1]) // 2

    def place(self, picture: Picture) -> UInt8[NDArray, "target_height target_width 3"]:
        """The portrait inside the target; what is outside repeats its edge."""
        height, width = self.inner
        if picture.shape[:2] != self.inner:
            picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
        (top, left), (tall, wide) = self.corner, self.target
        return np.pad(picture, ((top, tall - height - top), (left, wide - width - left), (0, 0)), mode="edge")

    def cut(self, frames: UInt8[NDArray, "frame height width 3"]) -> UInt8[NDArray, "frame inner_height inner_width 3"]:
        """The portrait's part of rendered frames."""
        (top, left), (height, width) = self.corner, self.inner
        return frames[:, top : top + height, left : left + width]

    def pose_inside(self, pose: Float[NDArray, "*frame 60 3"]) -> Float[NDArray, "*frame 60 3"]:
        """Poses in the portrait's coordinates → the target's (both: origin at the centre, unit = half the height)."""
        return self._scaled(pose, self._factors())

    def pose_outside(self, pose: Float[NDArray, "*frame 60 3"]) -> Float[NDArray, "*frame 60 3"]:
        """Poses in the target's coordinates → the portrait's."""
        return self._scaled(pose, np.reciprocal(self._factors()))

    def _factors(self) -> NDArray[np.float32]:
        """X and y in the target per unit of the portrait's coordinates; the centres differ by at most half a pixel of the target."""
        across = self.source[0] / self.source[1] * self.inner[1] / self.target[0]
        return np.array([across, self.inner[0] / self.target[0]], np.float32)

    @staticmethod
    def _scaled(pose: Float[NDArray, "*frame 60 3"], factors: NDArray[np.float32]) -> Float[NDArray, "*frame 60 3"]:
        return np.concatenate([pose[..., :2] * factors, pose[..., 2:]], axis=-1).astype(np.float32)


def output_size(box: Letterbox, *, width: int | None = None, height: int | None = None) -> tuple[int, int]:
    """(height, width) of a result in the portrait's proportions, both even; the renderer's own size where neither side is asked for.

    Raises:
        ValueError: both sides are asked for and do not have the portrait's proportions.
    """
    if width is None and height is None:
        return box.inner
    aspect = box.source[1] / box.source[0]
    tall = even(height if height is not None else (width or 2) / aspect)
    wide = even(width if width is not None else tall * aspect)
    if abs(wide / tall / aspect - 1) > max(0.02, 2 / min(wide, tall)):
        raise ValueError(f"{wide}×{tall} does not have the portrait's proportions ({box.source[1]}×{box.source[0]}): give only one side.")
    return tall, wide


def even(side: float | int) -> int:
    """The nearest even number from 2 on."""
    return max(2, 2 * round(side / 2))


def resized(frame: Picture, size: tuple[int, int]) -> UInt8[NDArray, "new_height new_width 3"]:
    """A picture at another (height, width), bicubic."""
    if frame.shape[:2] == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BICUBIC))
