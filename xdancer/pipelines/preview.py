"""A dance as moving skeletons: pictures of its poses, on disk while they come and in a window."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from xdancer.errors import XDancerError
from xdancer.pose.render import draw_skeleton

HEIGHT, WIDEST = 512, 910
"""Preview pictures are as large as fits here, in pixels."""
SQUARE = (1, 1)
"""Proportions without a portrait: outstretched arms fit."""
WINDOW_EVERY = 1 / 15
"""Seconds between two pictures in the window: drawing there takes time that the dance needs."""


def draw_dance(
    poses: Iterable[Float[NDArray, "60 3"]], *, size: tuple[int, int]
) -> Iterator[UInt8[NDArray, "height width 3"]]:  # fmt: skip
    """One skeleton picture of (height, width) per pose, as soon as the pose comes."""
    for pose in poses:
        yield draw_skeleton(pose, *size)


def require_display() -> None:
    """Raises:
    XDancerError: Matplotlib finds no display to open a window on.
    """
    from matplotlib import pyplot
    from matplotlib.backends import BackendFilter, backend_registry

    backend = pyplot.get_backend()
    if backend.lower() not in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
        raise XDancerError(
            f"--window: no display or no window toolkit (Matplotlib's backend is {backend}). Leave --window out and open the growing mp4, "
            "or install a toolkit: pip install PySide6"
        )


def show_live(pictures: Iterable[UInt8[NDArray, "height width 3"]]) -> Iterator[UInt8[NDArray, "height width 3"]]:
    """The same pictures, shown in a window on their way; closing the window does not stop the dance."""
    from matplotlib import pyplot

    shown: Any = None
    figure, axes = pyplot.subplots(num="xdancer", facecolor="black")
    axes.set_axis_off()
    figure.subplots_adjust(0, 0, 1, 1)
    pyplot.show(block=False)
    last = 0.0
    try:
        for picture in pictures:
            if shown is None:
                shown = axes.imshow(picture)
            if time.monotonic() - last >= WINDOW_EVERY and pyplot.fignum_exists("xdancer"):
                shown.set_data(picture)
                figure.canvas.draw_idle()
                figure.canvas.flush_events()
                last = time.monotonic()
            yield picture
    finally:
        pyplot.close(figure)


class Clock:
    """Counts what passes and how fast."""

    def __init__(self) -> None:
        self.count, self.start, self.stop = 0, time.monotonic(), time.monotonic()

    def timed(self, items: Iterable[Any]) -> Iterator[Any]:
        self.start = time.monotonic()
        for item in items:
            self.count += 1
            yield item
        self.stop = time.monotonic()

    def __str__(self) -> str:
        seconds = max(self.stop - self.start, 1e-6)
        return f"{self.count} frames in {seconds:.1f} s, {self.count / seconds:.1f} frames/s"
