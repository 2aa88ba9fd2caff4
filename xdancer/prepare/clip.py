"""One cut of a video → one training clip: keypoints found on the native frames, everything then brought to 30 fps.

Keypoints are interpolated in time (confidence = the smaller neighbour); each picture is the native frame nearest in time, never a blend. The
person mask follows the pictures.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
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
from xdancer.prepare.filters import SHARPNESS_EVERY, FilterError, Filters, longest_presence, measure_quality, measure_view, sharpness
from xdancer.prepare.keeping import beat_keeping
from xdancer.prepare.looking import Look, Seen, look
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.sources import Cut, Source
from xdancer.prepare.tracks import mask_step, unpack_mask
from xdancer.types import FPS, ClipSample

SAMPLE_RATE = 44100
NOBODY_ELSE = ""
"""Reason of a place among the people of a cut that nobody takes: nothing to tell."""


def prepare_clip(cut: Cut, settings: PrepareSettings, detector: PoseDetector) -> ClipSample:
    """The finished clip.

    Raises:
        PoseError: nobody, nobody for long enough, or what a filter leaves out.
        MediaError: damaged pictures or sound, or silence.
    """
    waveform, beats = _sound(cut.source.path, settings.audio_offset)
    view = look(cut, settings, detector)
    seen = _dance(view, settings, cut.person)
    count = int(np.floor((seen.times[-1] - seen.times[0]) * FPS + 1e-3)) + 1
    moments = seen.times[0] + np.arange(count) / FPS
    sound = _section(waveform, moments[0], count / FPS)
    if is_silent(sound):
        raise MediaError("silent: nothing can be heard while the person is seen")
    filters, box = Filters(settings), union_box(seen.pixels, view.width, view.height)
    filters.add(seconds=seen_seconds(seen), **measure_view(view, seen, box[3] - box[1]))
    filters.check()
    size = (settings.width, settings.height)
    crop = choose_crop(box, width=view.width, height=view.height, aspect=settings.width / settings.height, margin=settings.margin)
    pixels = resample_poses(crop.pixels(hold_missing(seen.pixels), size), seen.times, moments)
    index = nearest_frames(seen.times, moments)
    inside = beats.times[(beats.times >= moments[0]) & (beats.times < moments[0] + count / FPS)] - moments[0]
    sharp = list[float]()
    video = media.encode_video(_watched(_cropped(cut.source.path, seen.first + index, crop, size), pixels, sharp))
    if sharp:
        filters.add(sharpness=float(np.median(sharp)))
        filters.check()
    quality = {
        **measure_quality(pixels),
        "beats": beat_keeping(pixels, inside),
        "native_fps": round(1 / float(np.median(np.diff(seen.times))), 3),
        "scale": round(settings.height / crop.height, 4),
        "outside": round(crop.outside(view.width, view.height), 4),
        "filters": filters.results,
    }
    meta: dict[str, Any] = {
        **_origin(cut.source, moments[0], moments[0] + count / FPS, cut.person), "style": None, "phrase": None,
        "width": settings.width, "height": settings.height, "beats": [round(float(beat), 4) for beat in inside], "tempo": float(beats.tempo),
        "detector": f"{detector.name} {detector.version}", "quality": quality,
    }  # fmt: skip
    return ClipSample(
        key=cut.key,
        pose=to_normalised(pixels, width=settings.width, height=settings.height),
        features=encode_music(sound, SAMPLE_RATE, count, settings.features, device=settings.device),
        meta=meta,
        video=video,
        audio=media.encode_audio(sound, SAMPLE_RATE),
        mask=None if seen.masks is None else media.encode_video(_cropped_masks(seen.masks, (view.height, view.width), index, crop, size)),
    )


def of_source(sample: ClipSample, source: Source) -> ClipSample:
    """The clip with the song, name and place that its video has now: they may have changed since it was made."""
    return replace(sample, meta={**sample.meta, **_origin(source, *sample.meta["span"], person=sample.meta["person"])})


def _origin(source: Source, start: float, stop: float, person: int) -> dict[str, Any]:
    identity = Path(source.name).with_suffix("").as_posix()
    return {
        "source": f"{source.name} {start:.3f}–{stop:.3f} s", "span": [round(float(start), 4), round(float(stop), 4)],
        "song": source.song, "identity": f"{identity} person {person + 1}" if person else identity, "person": person,
    }  # fmt: skip


@lru_cache(maxsize=1)
def _sound(path: Path, offset: float) -> tuple[NDArray[np.float32], Beats]:
    """Sound of the whole video, delayed by `offset` seconds, and its beats: tracked over all of it, not clip by clip."""
    waveform = media.read_audio(path, sample_rate=SAMPLE_RATE)
    beats = track_beats(waveform, SAMPLE_RATE)
    late = round(offset * SAMPLE_RATE)
    waveform = np.pad(waveform, (late, 0)) if late > 0 else waveform[-late:]
    return waveform, Beats(beats.times + offset, beats.tempo)


def _section(waveform: NDArray[np.float32], start: float, seconds: float) -> NDArray[np.float32]:
    first, length = round(start * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
    section = waveform[first : first + length]
    return np.pad(section, (0, length - len(section)))


def _dance(view: Look, settings: PrepareSettings, place: int) -> Seen:
    """The longest stretch of one person, among those who can be seen for long enough.

    Raises:
        PoseError: there is nobody like that.
    """
    found, longest = list[Seen](), 0.0
    for number in range(len(view.people)):
        person = view.person(number)
        if len(person.times) < 2 or (run := longest_presence(person.pixels, person.times)).stop == 0:
            continue
        seconds = seen_seconds(person.part(run))
        longest = max(longest, seconds)
        if seconds >= settings.min_seconds - 0.001:
            found.append(person.part(run))
    if place < len(found):
        return found[place]
    if place:
        raise PoseError(NOBODY_ELSE)
    if not longest:
        raise PoseError("no person was found")
    filters = Filters(settings)
    filters.add(seconds=longest)
    raise FilterError(
        f"a person is seen for {longest:.1f} s at a stretch, --min-seconds is {settings.min_seconds:g}", {"filters": filters.results}
    )


def seen_seconds(seen: Seen) -> float:
    """Length of a stretch, its last picture included."""
    return float(seen.times[-1] - seen.times[0] + np.median(np.diff(seen.times)))


def _watched(pictures: Iterator[NDArray[np.uint8]], pixels: NDArray[np.float32], sharp: list[float]) -> Iterator[NDArray[np.uint8]]:
    """The pictures, and of some of them their sharpness."""
    for number, picture in enumerate(pictures):
        if number % SHARPNESS_EVERY == 0 and (value := sharpness(picture, pixels[number])) is not None:
            sharp.append(value)
        yield picture


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


def _cropped_masks(
    masks: list[bytes], shape: tuple[int, int], index: NDArray[np.int64], crop: Crop, size: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    thinned = crop.thinned(mask_step(*shape))
    for number, group in groupby(index.tolist()):
        mask = np.repeat(thinned.picture(unpack_mask(masks[number], *shape), size, edge=False)[..., None], 3, axis=2)
        yield from (mask for _ in group)
