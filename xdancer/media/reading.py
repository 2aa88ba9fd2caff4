"""Reading videos and sound.

Frame rates come from the time stamps, not from the header (headers lie), and the rotation that phones store beside the pictures is applied.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from xdancer.errors import MediaError

LARGEST_PIXELS = 2**26
"""Of a video's picture (8192²); its decoder keeps up to 16 of them."""
LONGEST_SECONDS = 6 * 3600.0
"""Of a song or video; time stamps and rates can claim any length."""
RATES = (1000, 768_000)
"""Samples per second of a song."""
PLAYLISTS = {"hls", "dash", "concat", "sdp", "rtsp", "imf"}
"""Formats that name other files and addresses to read."""
Source = Path | str | bytes
Picture = NDArray[np.uint8]
"""(height, width, 3) RGB."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video holds; sizes as displayed, fps and duration (s) measured on the time stamps."""

    width: int
    height: int
    fps: float
    frames: int
    duration: float
    has_audio: bool


@dataclass(frozen=True)
class VideoFrames:
    """Consecutive pictures of a video."""

    frames: NDArray[np.uint8]
    """(T, height, width, 3) RGB."""
    times: NDArray[np.float64]
    """(T,) seconds since the first picture of the video."""


def _name(source: Source) -> str:
    return "media in memory" if isinstance(source, bytes) else str(source)


@contextmanager
def _open(source: Source) -> Iterator[Any]:
    """The container; every failure of the libraries inside the block becomes a `MediaError` that names the file."""
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise MediaError(f"{source}: no such file. Check the path.")
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source), options={"protocol_whitelist": "file"}) as container:
            _check(container, source)
            yield container
    except (av.FFmpegError, OSError, EOFError, ValueError, ArithmeticError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MediaError(f"{_name(source)}: cannot be read as video or sound ({reason}). The file is damaged or of another kind.") from error


def _check(container: Any, source: Source) -> None:
    """Refuse lists of other files and pictures beyond all bounds; the decoder refuses those that grow later."""
    if PLAYLISTS.intersection(container.format.name.split(",")):
        raise MediaError(f"{_name(source)}: a list of other files ({container.format.name}) is not read. Give the video or song itself.")
    for codec in (stream.codec_context for stream in container.streams.video if stream.codec_context is not None):
        if codec.width * codec.height > LARGEST_PIXELS:
            raise MediaError(
                f"{_name(source)}: pictures of {codec.width}×{codec.height}, at most {LARGEST_PIXELS / 1e6:.0f} million pixels are read. "
                "Make the video smaller."
            )
        codec.options = {**codec.options, "max_pixels": str(LARGEST_PIXELS)}


def _check_length(seconds: float, source: Source) -> None:
    if seconds > LONGEST_SECONDS:
        raise MediaError(
            f"{_name(source)}: {seconds / 3600:.4g} hours by its time stamps, at most {LONGEST_SECONDS / 3600:.0f} are read. "
            "Cut it, or write it again if it is shorter."
        )


def _frame_step(stream: Any) -> float:
    """Time between two pictures in the stream's unit, by the header's rate."""
    rate = stream.average_rate or stream.guessed_rate
    if not rate or not stream.time_base:
        raise MediaError(f"{stream.container.name or 'media in memory'}: a video without time stamps and without a frame rate. Write it again.")
    return float(1 / (rate * stream.time_base))


def _picture_stream(container: Any) -> Any:
    """The video stream, or None; cover art of a song is no video."""
    return next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)


def _stamps(container: Any, stream: Any) -> tuple[NDArray[np.int64], bool]:
    """Presentation times of all packets, ascending, in the stream's unit, without decoding; and whether the container has them."""
    packets = [packet for packet in container.demux(stream) if packet.size]
    if "mov" in container.format.name and len(packets) < 0.95 * stream.frames:
        raise MediaError(
            f"{container.name or 'media in memory'}: only {len(packets)} of {stream.frames} pictures are there. The file is cut off."
        )
    kept = [packet for packet in packets if not packet.is_discard]
    stamped = all(packet.pts is not None for packet in kept)
    stamps = [packet.pts if packet.pts is not None else packet.dts for packet in kept]
    if any(stamp is None for stamp in stamps):  # no time stamps in the container: the header's rate is all there is
        step = _frame_step(stream)
        stamps = [round(index * step) for index in range(len(stamps))]
    return np.sort(np.asarray(stamps, dtype=np.int64)), stamped


def _playable(source: Source) -> tuple[NDArray[np.int64], float]:
    """Presentation times of the pictures from the first on that can be decoded, and their unit in s.

    A stream that was cut between two key frames begins with packets that give no picture; they do not count anywhere.
    """
    with _open(source) as container:
        stream = _picture_stream(container)
        if stream is None:
            raise MediaError(f"{_name(source)}: holds no video. Give a video file.")
        stamps, stamped = _stamps(container, stream)
        unit = float(stream.time_base)
    if len(stamps):
        _check_length(float(stamps[-1] - stamps[0]) * unit, source)
    first = _first_stamp(source) if stamped else None  # made up from a rate, decoded and packets' times do not compare
    later = stamps if first is None else stamps[stamps >= first]
    return (later if len(later) else stamps), unit


def frame_times(source: Source) -> NDArray[np.float64]:
    """Seconds of every picture since the first, from the packets; only the first picture is decoded.

    Raises:
        MediaError: missing, damaged, or without pictures.
    """
    stamps, unit = _playable(source)
    return np.asarray((stamps - stamps[:1]) * unit, np.float64)


def probe(source: Source) -> VideoInfo:
    """Size, true frame rate and length of a video.

    Raises:
        MediaError: missing, damaged, or without pictures.
    """
    with _open(source) as container:
        has_audio = bool(container.streams.audio)
    seconds = frame_times(source)
    first = next(stream_video(source), None)
    if first is None or not len(seconds):
        raise MediaError(f"{_name(source)}: holds no readable picture. The file is damaged.")
    fps = (len(seconds) - 1) / seconds[-1] if seconds[-1] > 0 else 30.0
    height, width = first[1].shape[:2]
    return VideoInfo(width, height, float(fps), len(seconds), float(len(seconds) / fps), has_audio)


class _Upright:
    """Frames → RGB pictures as displayed; `height`: shrunk to that many rows where they have more."""

    def __init__(self, height: int | None) -> None:
        self.height, self.reformatter = height, VideoReformatter()  # a new one for every picture costs more than the conversion

    def __call__(self, frame: Any) -> Picture:
        turns = round(frame.rotation / 90) % 4
        rows = frame.width if turns % 2 else frame.height
        if self.height is None or self.height >= rows:
            shown = self.reformatter.reformat(frame, format="rgb24")
        else:
            size = [max(1, round(side * self.height / rows)) for side in (frame.width, frame.height)]
            shown = self.reformatter.reformat(frame, *size, format="rgb24", interpolation=Interpolation.AREA)
        picture = np.asarray(shown.to_ndarray(), np.uint8)
        return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def stream_video(source: Source, *, start: int = 0, height: int | None = None) -> Iterator[tuple[float, Picture]]:
    """Pictures one by one with their time in seconds since the video's first picture; `start` counts pictures.

    With a `height` larger pictures are shrunk to it.

    Raises:
        MediaError: missing, damaged, or without pictures.
    """
    target = origin = None
    if start:
        stamps, _ = _playable(source)
        if start >= len(stamps):
            return
        origin, target = int(stamps[0]), int(stamps[start])
    upright = _Upright(height)
    for seek in (True, False) if target is not None else (False,):
        with _open(source) as container:
            stream = _picture_stream(container)
            if stream is None:
                raise MediaError(f"{_name(source)}: holds no video. Give a video file.")
            stream.thread_type = "AUTO"
            if seek:
                container.seek(target, stream=stream)
            decoded = _stamped(container.decode(stream), stream)
            first = next(decoded, None)
            if seek and (first is None or target is None or first[0] > target):
                continue  # the index of the file led astray: decode from the beginning
            if first is None:
                raise MediaError(f"{_name(source)}: no picture could be decoded. The file is damaged.")
            origin = first[0] if origin is None else origin
            for stamp, frame in chain([first], decoded):
                if target is None or stamp >= target:
                    yield float((stamp - origin) * stream.time_base), upright(frame)
            return


def _stamped(frames: Iterator[Any], stream: Any) -> Iterator[tuple[int, Any]]:
    for index, frame in enumerate(frames):
        stamp = frame.pts if frame.pts is not None else frame.dts
        yield round(index * _frame_step(stream)) if stamp is None else stamp, frame


def read_video(source: Source, *, start: int = 0, count: int | None = None) -> VideoFrames:
    """`count` pictures from number `start` on (all by default); seeks by keyframes.

    Raises:
        MediaError: missing, damaged, without pictures, or shorter than asked.
    """
    pictures, times = [], []
    for time, picture in stream_video(source, start=start):
        pictures.append(picture)
        times.append(time)
        if len(pictures) == count:
            break
    if not pictures or len(pictures) < (count or 0):
        raise MediaError(f"{_name(source)}: has only {start + len(pictures)} pictures, {start}…{start + (count or 1)} were asked for.")
    return VideoFrames(np.stack(pictures), np.asarray(times))


def _samples(frame: Any, *, mono: bool) -> NDArray[np.float32]:
    """(samples, channels) of a decoded sound frame, in [-1, 1]; one channel, the mean, where `mono` or more than two are there."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    sound = values.astype(np.float32).T
    if mono or sound.shape[1] > 2:
        sound = sound.mean(axis=1, keepdims=True)
    if values.dtype == np.uint8:
        return sound / 128 - 1
    return sound / -float(np.iinfo(values.dtype).min) if np.issubdtype(values.dtype, np.integer) else sound


def _decode_sound(container: Any, stream: Any, name: str, *, mono: bool) -> Iterator[tuple[float, int, NDArray[np.float32]]]:
    """(time s, sample rate, samples) of each decoded piece; single damaged packets are passed over."""
    packets = damaged = 0
    for packet in container.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            yield float("nan") if frame.pts is None else float(frame.pts * frame.time_base), frame.sample_rate, _samples(frame, mono=mono)
    if damaged > max(2, packets // 100):
        raise MediaError(f"{name}: {damaged} of {packets} sound packets are damaged. Use an intact file.")


def read_audio(source: Source, *, sample_rate: int) -> NDArray[np.float32]:
    """The sound as mono (samples,) in [-1, 1]; sample 0 is heard with the first picture (without pictures: the first sample).

    Raises:
        MediaError: missing, damaged, or without sound.
    """
    return _read_sound(source, sample_rate=sample_rate, mono=True)[:, 0]


def read_stereo(source: Source, *, sample_rate: int) -> NDArray[np.float32]:
    """Likewise as (samples, channels), one or two channels as they are; more are mixed to one.

    Raises:
        MediaError: missing, damaged, or without sound.
    """
    return _read_sound(source, sample_rate=sample_rate, mono=False)


def _read_sound(source: Source, *, sample_rate: int, mono: bool) -> NDArray[np.float32]:
    with _open(source) as container:
        has_picture = _picture_stream(container) is not None
    start = _first_picture_time(source) if has_picture else None
    rate, length, pieces = 0, 0, []
    with _open(source) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            raise MediaError(f"{_name(source)}: holds no sound. Give a file with an audio track.")
        for time, piece_rate, piece in _decode_sound(container, stream, _name(source), mono=mono):
            rate = rate or piece_rate
            if not RATES[0] <= piece_rate <= RATES[1]:
                raise MediaError(f"{_name(source)}: {piece_rate} samples per second, {RATES[0]} to {RATES[1]} are read. The file is damaged.")
            start = (0.0 if np.isnan(time) else time) if start is None else start
            samples = piece if piece_rate == rate else soxr.resample(piece, piece_rate, rate)
            if pieces and samples.shape[1] != pieces[0].shape[1]:  # a track that changes between mono and stereo
                samples = np.repeat(samples.mean(axis=1, keepdims=True), pieces[0].shape[1], axis=1)
            gap = 0 if np.isnan(time) else round((time - start) * rate) - length
            _check_length((length + max(gap, 0) + len(samples)) / rate, source)
            if gap > 0 and (not length or gap > rate // 20):  # a hole in the track (or its late start) stays silent
                pieces.append(np.zeros((gap, samples.shape[1]), np.float32))
            elif gap < 0 and (not length or -gap > rate // 20):  # before the first picture, or an overlap
                samples = samples[-gap:]
                gap = 0
            else:
                gap = 0
            pieces.append(samples)
            length += gap + len(samples)
    if not length:
        raise MediaError(f"{_name(source)}: no sound could be decoded. The file is damaged or its audio track is empty.")
    sound = np.concatenate(pieces)
    return (sound if rate == sample_rate else soxr.resample(sound, rate, sample_rate)).astype(np.float32, copy=False)


def sound_seconds(source: Source) -> float | None:
    """How long after the first picture (without pictures: the first sample) the sound ends, by its packets; None where they do not say.

    Raises:
        MediaError: missing or damaged.
    """
    with _open(source) as container:
        has_picture = _picture_stream(container) is not None
    start = _first_picture_time(source) if has_picture else None
    with _open(source) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            return None
        ends = [
            (packet.pts, packet.pts + (packet.duration or 0)) for packet in container.demux(stream) if packet.size and packet.pts is not None
        ]
        unit = float(stream.time_base)
    return None if not ends else max(end for _, end in ends) * unit - (min(begin for begin, _ in ends) * unit if start is None else start)


def _first_picture_time(source: Source) -> float | None:
    with _open(source) as container:
        unit = float(_picture_stream(container).time_base)
    first = _first_stamp(source)
    return None if first is None else first * unit


def _first_stamp(source: Source) -> int | None:
    """Time of the first picture that can be decoded, in the stream's unit."""
    with _open(source) as container:
        stream = _picture_stream(container)
        return next((stamp for stamp, _ in _stamped(container.decode(stream), stream)), None)
