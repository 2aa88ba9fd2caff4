"""A dance of 30 frames a second in a video of another rate."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from xdancer.types import FPS

Picture = TypeVar("Picture")


def frame_numbers(count: int, fps: float) -> list[int]:
    """Of `count` frames, the number of the one that is shown in each picture of a video of `fps`: the nearest in time."""
    return [min(round(picture * FPS / fps), count - 1) for picture in range(max(1, round(count * fps / FPS)))]


def shown(frames: Iterable[Picture], numbers: Iterable[int]) -> Iterator[Picture]:
    """The frames of those ascending numbers, one after the other; some may come twice or not at all."""
    counted = enumerate(frames)
    place, frame = next(counted)
    for number in numbers:
        while place < number:
            place, frame = next(counted)
        yield frame
