"""One cut of a video → one training clip: keypoints found on the native frames, everything then brought to 30 fps.

Keypoints are interpolated in time (confidence = the smaller neighbour); each picture is the native frame nearest in time, never a blend. The
person mask follows the pictures.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdancer import media
from xdancer.audio.beats import Beats, is_silent, track_beats
from xdancer.audio.encoder import encode_music
from xdancer.errors import MediaError, PoseError
from xdancer.pose.coordinates import hold_missing, nearest_frames, resample_poses, to_normalised
from xdancer.pose.detector import PoseDetector
from xdancer.prepare.crop import Crop, choose_crop, union_box
from xdancer.prepare.filters import longest_presence, measure_quality
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.sources import Cut, Source
from xdancer.types import FPS, ClipSample

SAMPLE_RATE = 44100


@dataclass(frozen=True)
class _Seen:
    """What the detector saw in a cut, at the native frame rate."""

    pixels: NDArray[np.float32]
    times: NDArray[np.float64]
    masks: list[bytes] | None
    """Compressed, (height, width) uint8 each."""
    first: int
    """Number of the first frame in the video."""
    width: int
    height: int


def prepare_clip(cut: Cut, settings: PrepareSettings, detector: PoseDetector) -> ClipSample:
    """The finished clip.

    Raises:
        PoseError: nobody, nobody for long enough, or somebody too small.
        MediaError: damaged pictures or sound, or silence.
    """
    waveform, beats = _sound(cut.source.path)
    seen = _longest_dance(_look(cut, settings, detector), settings)
    count = int(np.floor((seen.times[-1] - seen.times[0]) * FPS + 1e-3)) + 1
    moments = seen.times[0] + np.arange(count) / FPS
    sound = _section(waveform, moments[0], count / FPS)
    if is_silent(sound):
        raise MediaError("silent: nothing can be heard while the person is seen")
    box = union_box(seen.pixels, seen.width, seen.height)
    if box[3] - box[1] < settings.min_person:
        raise PoseError(f"the person is only {box[3] - box[1]:.0f} pixels high, --min-person is {settings.min_person}")
    size = (settings.width, settings.height)
    crop = choose_crop(box, width=seen.width, height=seen.height, aspect=settings.width / settings.height, margin=settings.margin)
    pixels = resample_poses(crop.pixels(hold_missing(seen.pixels), size), seen.times, moments)
    index = nearest_frames(seen.times, moments)
    inside = beats.times[(beats.times >= moments[0]) & (beats.times < moments[0] + count / FPS)] - moments[0]
    quality = {
        **measure_quality(pixels),
        "native_fps": round(1 / float(np.median(np.diff(seen.times))), 3),
        "person_pixels": round(box[3] - box[1]),
        "scale": round(settings.height / crop.height, 4),
        "outside": round(crop.outside(seen.width, seen.height), 4),
    }
    meta: dict[str, Any] = {
        **_origin(cut.source, moments[0], moments[0] + count / FPS), "style": None, "phrase": None,
        "width": settings.width, "height": settings.height, "beats": [round(float(beat), 4) for beat in inside], "tempo": float(beats.tempo),
        "detector": f"{detector.name} {detector.version}", "quality": quality,
    }  # fmt: skip
    return ClipSample(
        key=cut.key,
        pose=to_normalised(pixels, width=settings.width, height=settings.height),
        features=encode_music(sound, SAMPLE_RATE, count, settings.features, device=settings.device),
        meta=meta,
        video=media.encode_video(_cropped(cut.source.path, seen.first + index, crop, size)),
        audio=media.encode_audio(sound, SAMPLE_RATE),
        mask=None if seen.masks is None else media.encode_video(_cropped_masks(seen, seen.masks, index, crop, size)),
    )


def of_source(sample: ClipSample, source: Source) -> ClipSample:
    """The clip with the song, name and place that its video has now: they may have changed since it was made."""
    return replace(sample, meta={**sample.meta, **_origin(source, *sample.meta["span"])})


def _origin(source: Source, start: float, stop: float) -> dict[str, Any]:
    return {
        "source": f"{source.name} {start:.3f}–{stop:.3f} s", "span": [round(float(start), 4), round(float(stop), 4)],
        "song": source.song, "identity": Path(source.name).with_suffix("").as_posix(),
    }  # fmt: skip


@lru_cache(maxsize=1)
def _sound(path: Path) -> tuple[NDArray[np.float32], Beats]:
    """Sound of the whole video and its beats: tracked over all of it, not clip by clip."""
    waveform = media.read_audio(path, sample_rate=SAMPLE_RATE)
    return waveform, track_beats(waveform, SAMPLE_RATE)


def _section(waveform: NDArray[np.float32], start: float, seconds: float) -> NDArray[np.float32]:
    first, length = round(start * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
    section = waveform[first : first + length]
    return np.pad(section, (0, length - len(section)))


def _look(cut: Cut, settings: PrepareSettings, detector: PoseDetector) -> _Seen:
    """Keypoints and masks of every native frame of a cut."""
    path = cut.source.path
    stamps = media.frame_times(path)
    if settings.source_fps is not None:
        stamps = np.arange(len(stamps)) / settings.source_fps
    first, stop = np.searchsorted(stamps, (cut.start - 1e-6, cut.stop - 1e-6))
    times: list[float] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for number, (time, picture) in enumerate(media.stream_video(path, start=int(first)), start=int(first)):
            if number >= stop:
                return
            times.append(time if settings.source_fps is None else number / settings.source_fps)
            shapes.add(picture.shape)
            yield picture

    shapes: set[tuple[int, ...]] = set()
    pixels, masks = [], []
    for found in detector.track(pictures()):
        pixels.append(found.pixels)
        if found.mask is not None:
            masks.append(zlib.compress(found.mask.tobytes(), 1))
    if len(times) < 2 or len(shapes) != 1:
        raise MediaError(f"damaged: {len(times)} of {stop - first} pictures could be decoded, in {len(shapes)} sizes")
    height, width, _ = shapes.pop()
    return _Seen(np.stack(pixels), np.asarray(times), masks if len(masks) == len(pixels) else None, int(first), width, height)


def _longest_dance(seen: _Seen, settings: PrepareSettings) -> _Seen:
    run = longest_presence(seen.pixels, seen.times)
    if run.stop == 0:
        raise PoseError("no person was found")
    seconds = float(seen.times[run.stop - 1] - seen.times[run.start] + np.median(np.diff(seen.times)))
    if seconds < settings.min_seconds - 0.001:
        raise PoseError(f"a person is seen for {seconds:.1f} s at a stretch, --min-seconds is {settings.min_seconds:g}")
    masks = None if seen.masks is None else seen.masks[run]
    return _Seen(seen.pixels[run], seen.times[run], masks, seen.first + run.start, seen.width, seen.height)


def _cropped(path: Path, index: NDArray[np.int64], crop: Crop, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """The frames of these numbers (ascending, may repeat), decoded once more and cropped."""
    wanted = iter(index.tolist())
    number = next(wanted, None)
    for current, (_, picture) in enumerate(media.stream_video(path, start=int(index[0])), start=int(index[0])):
        if number is None:
            return
        if current == number:
            cropped = crop.picture(picture, size)
            while number == current:
                yield cropped
                number = next(wanted, None)


def _cropped_masks(seen: _Seen, masks: list[bytes], index: NDArray[np.int64], crop: Crop, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    for number in index.tolist():
        mask = np.frombuffer(zlib.decompress(masks[number]), np.uint8).reshape(seen.height, seen.width)
        yield np.repeat(crop.picture(mask, size, edge=False)[..., None], 3, axis=2)
