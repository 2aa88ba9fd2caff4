"""[portrait | pose | result] in one picture per frame."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from xdancer.pipelines.letterbox import even, resized
from xdancer.pose.render import draw_skeleton

LEAST_HEIGHT = 256
"""Panels are at least this high, so that small models' results can be seen."""


def compose(
    portrait: UInt8[NDArray, "height width 3"],
    pose: Float[NDArray, "frame 60 3"],
    frames: Iterable[UInt8[NDArray, "tall wide 3"]],
    *,
    size: tuple[int, int],
) -> Iterator[UInt8[NDArray, "panel_height panel_width 3"]]:
    """One picture per frame: three panels in the proportions of the frames, whose (height, width) is `size`."""
    height = even(max(LEAST_HEIGHT, size[0]))
    panel = (height, even(height * size[1] / size[0]))
    still = resized(portrait, panel)
    for one, frame in zip(pose, frames, strict=True):
        yield np.concatenate([still, draw_skeleton(one, *panel), resized(frame, panel)], axis=1)
