"""What is seen in one cut, at the native frame rate: its people, each one's track, and small pictures of what lies behind them."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

from xdancer import media
from xdancer.errors import MediaError
from xdancer.pose.detector import PERSON_MARGIN, DetectedPose, PoseDetector
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.sources import Cut
from xdancer.prepare.tracks import Track, Tracker, pack_mask
from xdancer.skeleton import BODY, KEYPOINT_COUNT, VISIBLE

SMALL = 48
"""Pixels of the shorter side of the small pictures."""
SMALL_EVERY = 4
"""Pictures from one small picture to the next."""


@dataclass(frozen=True)
class Seen:
    """One person in a stretch of consecutive pictures."""

    pixels: NDArray[np.float32]
    """(frame, 60, 3); confidence 0 where the person was not seen."""
    times: NDArray[np.float64]
    masks: list[bytes] | None
    """As `pack_mask` gives them."""
    first: int
    """Number of the first frame in the video."""

    def part(self, run: slice) -> "Seen":
        """A shorter stretch."""
        return Seen(self.pixels[run], self.times[run], None if self.masks is None else self.masks[run], self.first + run.start)


@dataclass(frozen=True)
class Look:
    """All people of a cut."""

    people: list[Track]
    """The one that fills the most of the pictures first."""
    counts: NDArray[np.int64]
    """People in every picture."""
    times: NDArray[np.float64]
    first: int
    """Number of the first picture in the video."""
    width: int
    height: int
    small: UInt8[np.ndarray, "sample row column"]
    """Every `SMALL_EVERY`-th picture, grey."""
    behind: Bool[np.ndarray, "sample row column"]
    """Where the small pictures show nobody."""

    def person(self, number: int) -> Seen:
        """From where a person is first seen to where they are last seen."""
        track = self.people[number]
        start = track.numbers[0]
        index = np.asarray(track.numbers) - start
        pixels = np.zeros((index[-1] + 1, KEYPOINT_COUNT, 3), np.float32)
        pixels[index] = track.poses
        masks = [mask for mask in track.masks if mask is not None]
        if len(masks) == len(index):
            nothing = pack_mask(np.zeros((self.height, self.width), np.uint8))
            known = dict(zip(index.tolist(), masks, strict=True))
            masks = [known.get(place, nothing) for place in range(len(pixels))]
        return Seen(pixels, self.times[start : start + len(pixels)], masks if len(masks) == len(pixels) else None, self.first + start)


def look(cut: Cut, settings: PrepareSettings, detector: PoseDetector) -> Look:
    """Everything that is seen in a cut; where each person gives a clip, the last cut is remembered.

    Raises:
        MediaError: damaged.
    """
    see = _look_once if settings.people == "each" else _look_once.__wrapped__
    return see(cut.source.path, cut.start, cut.stop, settings.source_fps, detector)


def picture_times(path: Path, source_fps: float | None) -> NDArray[np.float64]:
    """Seconds of a video's pictures from the first one on: its own, or those of another frame rate."""
    stamps = media.frame_times(path)
    return stamps if source_fps is None else np.arange(len(stamps)) / source_fps


@lru_cache(maxsize=1)
def _look_once(path: Path, start: float, end: float, source_fps: float | None, detector: PoseDetector) -> Look:
    stamps = picture_times(path, source_fps)
    first, stop = (int(place) for place in np.searchsorted(stamps, (start - 1e-6, end - 1e-6)))

    def pictures() -> Iterator[tuple[float, NDArray[np.uint8]]]:
        for number, (time, picture) in enumerate(media.stream_video(path, start=first), start=first):
            if number >= stop:
                return
            yield time if source_fps is None else number / source_fps, picture

    return look_at(pictures(), stop - first, first, detector)


def look_at(pictures: Iterable[tuple[float, NDArray[np.uint8]]], count: int, first: int, detector: PoseDetector) -> Look:
    """What is seen in pictures with their times, of which `count` are expected; `first` is the number of the first one in its video.

    Raises:
        MediaError: fewer than two, or of several sizes.
    """
    times, shapes = list[float](), set[tuple[int, ...]]()
    waiting = deque[NDArray[np.uint8]]()  # a detector may read ahead

    def shown() -> Iterator[NDArray[np.uint8]]:
        for time, picture in pictures:
            times.append(time)
            shapes.add(picture.shape)
            waiting.append(picture)
            yield picture

    tracker, counts, small, behind = Tracker(), list[int](), list[NDArray[np.uint8]](), list[NDArray[np.bool_]]()
    for number, people in enumerate(detector.everyone(shown())):
        picture = waiting.popleft()
        counts.append(tracker.add(number, times[number], people, picture))
        if number % SMALL_EVERY == 0:
            small.append(_shrink(picture))
            behind.append(_nobody(people, picture))
    if len(times) < 2 or len(shapes) != 1:
        raise MediaError(f"damaged: {len(times)} of {count} pictures could be decoded, in {len(shapes)} sizes")
    height, width, _ = shapes.pop()
    return Look(tracker.people(), np.array(counts), np.asarray(times), first, width, height, np.stack(small), np.stack(behind))


def _step(picture: NDArray[np.uint8]) -> int:
    return max(1, min(picture.shape[:2]) // SMALL)


def _shrink(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    step = _step(picture)
    return picture[::step, ::step].mean(axis=2).astype(np.uint8)


def _nobody(people: list[DetectedPose], picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of the small picture outside every person's box."""
    step = _step(picture)
    empty = np.ones(picture[::step, ::step].shape[:2], bool)
    for person in people:
        points = person.pixels[person.pixels[:, 2] >= VISIBLE, :2]
        if len(points):
            room = PERSON_MARGIN * np.ptp(points, axis=0).max()
            left, top = (np.floor((points.min(axis=0) - room) / step)).clip(0).astype(int)
            right, bottom = (np.ceil((points.max(axis=0) + room) / step) + 1).clip(0).astype(int)
            empty[top:bottom, left:right] = False
    return empty


def body_boxes(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Width and height (frame, 2) of the box around every picture's visible body, with margins; NaN where fewer than two joints are seen."""
    points = np.where(pixels[:, BODY, 2:] >= VISIBLE, pixels[:, BODY, :2].astype(np.float64), np.nan)
    seen = np.isfinite(points[..., 0]).sum(axis=1) > 1
    sizes = np.full((len(pixels), 2), np.nan)
    sizes[seen] = np.nanmax(points[seen], axis=1) - np.nanmin(points[seen], axis=1)
    return sizes + 2 * PERSON_MARGIN * sizes.max(axis=1, keepdims=True)
