"""[portrait | pose | result] in one picture per frame."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image

from xdancer.pipelines.letterbox import even
from xdancer.pose.render import draw_skeleton

LEAST_HEIGHT = 256
"""Panels are at least this high, so that small models' results can be seen."""


def compose(
    portrait: UInt8[NDArray, "height width 3"], pose: Float[NDArray, "frame 60 3"], frames: UInt8[NDArray, "frame tall wide 3"]
) -> Iterator[UInt8[NDArray, "panel_height panel_width 3"]]:
    """One picture per frame: three panels of one size in the portrait's proportions."""
    height = even(max(LEAST_HEIGHT, frames.shape[1]))
    width = even(height * frames.shape[2] / frames.shape[1])
    still = np.asarray(Image.fromarray(portrait).resize((width, height), Image.Resampling.LANCZOS))
    for one, frame in zip(pose, frames, strict=True):
        result = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
        yield np.concatenate([still, draw_skeleton(one, height, width), result], axis=1)
