"""Pictures side by side: pose strips and frames of a video over time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xdancer.pose.render import draw_skeleton
from xdancer.report.embed import Picture


def evenly(total: int, count: int) -> NDArray[np.int64]:
    """At most `count` positions spread evenly over `total`, the first and the last among them."""
    return np.unique(np.linspace(0, max(total - 1, 0), min(count, total)).round().astype(np.int64))


def pose_strip(
    pose: NDArray[np.float32], *, count: int = 12, height: int = 144, width: int | None = None, start: int = 0, stop: int | None = None
) -> Picture:
    """Skeletons of `count` frames of a (frame, 60, 3) dance in a row, from frame `start` to before `stop`."""
    part = pose[start:stop]
    return beside([draw_skeleton(part[index], height, width or height) for index in evenly(len(part), count)])


def frame_strip(frames: Sequence[Picture] | NDArray[np.uint8], *, count: int = 12, height: int = 144) -> Picture:
    """`count` frames of a video in a row."""
    return beside([scaled(frames[index], height) for index in evenly(len(frames), count)])


def beside(pictures: Sequence[Picture], *, gap: int = 0) -> Picture:
    """Pictures of one height in a row, `gap` white columns between them."""
    if not pictures:
        return np.full((1, 1, 3), 255, np.uint8)
    spaced: list[Picture] = []
    for picture in pictures:
        if spaced and gap:
            spaced.append(np.full((len(picture), gap, 3), 255, np.uint8))
        spaced.append(picture)
    return np.concatenate(spaced, axis=1)


def scaled(picture: Picture, height: int) -> Picture:
    """The picture at another height, proportions kept."""
    if len(picture) == height:
        return picture
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
