"""Writing H.264 videos with AAC sound in sync, to files (atomically) and to memory."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from xdancer.errors import MediaError
from xdancer.files import whole
from xdancer.media.provenance import drawn
from xdancer.media.reading import Picture, frame_times

AAC_RATES = (44100, 48000)
"""Lower rates make AAC's 1024-sample packets longer than a video frame; every other rate is resampled to 48 kHz."""


class _Sound:
    """An AAC stream that is fed up to given moments."""

    def __init__(self, container: Any, audio: NDArray[Any], sample_rate: int, *, options: Mapping[str, str] | None = None) -> None:
        if audio.ndim not in (1, 2) or not np.isfinite(audio).all():
            raise MediaError(f"Sound of shape {audio.shape}: needs finite (samples,) or (samples, channels).")
        audio = audio.astype(np.float32).reshape(len(audio), -1)[:, :2]
        self.rate = sample_rate if sample_rate in AAC_RATES else 48000
        audio = audio if self.rate == sample_rate else soxr.resample(audio, sample_rate, self.rate)
        self.samples = np.ascontiguousarray(np.clip(audio, -1, 1).T)
        self.layout = "mono" if len(self.samples) == 1 else "stereo"
        self.container, self.written = container, 0
        self.stream = container.add_stream("aac", rate=self.rate, layout=self.layout, options=dict(options or {}))
        self.stream.bit_rate = 96000 * len(self.samples)

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / self.rate

    def write_until(self, seconds: float) -> None:
        """Everything before that moment; silence where the sound has ended."""
        stop = round(seconds * self.rate)
        piece = self.samples[:, self.written : stop]
        piece = np.pad(piece, ((0, 0), (0, stop - self.written - piece.shape[1])))
        if not piece.shape[1]:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=self.layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self.written, Fraction(1, self.rate)
        self.container.mux(self.stream.encode(frame))
        self.written = stop

    def finish(self) -> None:
        self.container.mux(self.stream.encode(None))


def _picture_stream(container: Any, picture: Picture, *, rate: Fraction, options: Mapping[str, str], threads: int) -> Any:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.shape[0] % 2 or picture.shape[1] % 2:
        raise MediaError(f"Picture {picture.dtype} {picture.shape}: H.264 needs uint8 (height, width, 3) with even sides.")
    stream = container.add_stream("libx264", rate=rate, options=dict(options))
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = threads
    stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1  # BT.709, limited: what players assume
    return stream


def _encode(
    container: Any, frames: Iterable[Picture], *, fps: float, options: Mapping[str, str], threads: int = 0,
    audio: NDArray[Any] | None = None, sample_rate: int = 44100,
) -> int:  # fmt: skip
    """Write pictures and sound interleaved; returns the number of pictures."""
    rate = Fraction(fps).limit_denominator(1001)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise MediaError("A video without pictures cannot be written.")
    stream = _picture_stream(container, first, rate=rate, options=options, threads=threads)
    sound = None if audio is None else _Sound(container, audio, sample_rate)
    count, reformatter = 0, VideoReformatter()  # a new one for every picture costs more than the conversion
    for picture in chain([first], pictures):
        if picture.shape != first.shape or picture.dtype != np.uint8:
            raise MediaError(f"Picture {count} is {picture.dtype} {picture.shape}, the first was uint8 {first.shape}: all must be alike.")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = reformatter.reformat(frame, format="yuv420p", dst_colorspace=Colorspace.ITU709)
        frame.pts, frame.time_base = count, 1 / rate
        container.mux(stream.encode(frame))
        count += 1
        if sound is not None:
            sound.write_until(float(count / rate))
    container.mux(stream.encode(None))
    if sound is not None:
        sound.finish()
    return count


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside `path` that becomes `path` on success and vanishes on any failure."""
    if not path.parent.is_dir():
        raise MediaError(f"{path}: the folder {path.parent} does not exist. Create it first.")
    try:
        with whole(path) as temporary:
            yield temporary
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}). Nothing was left behind.") from error


def _tag(container: Any, metadata: Mapping[str, Any] | None) -> None:
    container.metadata.update({key: str(value) for key, value in (drawn() if metadata is None else metadata).items()})


def write_video(
    path: Path | str, frames: Iterable[Picture], *, fps: float = 30.0, audio: NDArray[Any] | None = None, sample_rate: int = 44100,
    crf: int = 18, metadata: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write H.264 (yuv420p) with AAC sound, atomically; sound is cut or padded with silence to the length of the picture.

    `audio` is (samples,) or (samples, channels) in [-1, 1], heard from the first picture on; `metadata` is stored as tags, any key
    (`provenance`; by default those of a video that no model made).

    Raises:
        MediaError: odd or unequal picture sizes, no pictures, or the file cannot be written (full disk).
    """
    path = Path(path)
    options = {"movflags": "+faststart+use_metadata_tags"}
    with _temporary(path) as temporary:
        with av.open(str(temporary), "w", format="mp4", options=options) as container:
            _tag(container, metadata)
            # one thread: on a busy machine x264's threads now and then give other bits for equal pictures
            x264 = {"crf": str(crf), "mbtree": "0"}
            count = _encode(container, frames, fps=fps, options=x264, threads=1, audio=audio, sample_rate=sample_rate)
        if len(frame_times(temporary)) != count:  # a full disk does not always raise while the file is closed
            raise MediaError(f"{path}: cannot be written completely. Is the disk full? Nothing was left behind.")


def grow_video(
    path: Path | str, frames: Iterable[Picture], *, fps: float = 30.0, audio: NDArray[Any] | None = None, sample_rate: int = 44100,
    crf: int = 23, metadata: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write a video that players can open while it grows: a fragmented mp4, every half second of it complete in itself.

    Arguments as in `write_video`. After a failure nothing is left behind; after an interruption from the keyboard what there is.

    Raises:
        MediaError: as in `write_video`.
    """
    path = Path(path)
    options = {"movflags": "+frag_keyframe+delay_moov+default_base_moof+use_metadata_tags", "flush_packets": "1"}
    x264 = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency", "g": str(max(1, round(fps / 2)))}
    try:
        with av.open(str(path), "w", format="mp4", options=options) as container:
            _tag(container, metadata)
            _encode(container, frames, fps=fps, options=x264, threads=1, audio=audio, sample_rate=sample_rate)
    except Exception as error:
        path.unlink(missing_ok=True)
        if not isinstance(error, av.FFmpegError | OSError):
            raise
        raise MediaError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}). Nothing was left behind.") from error


def repack_video(source: Path | str, target: Path | str) -> None:
    """The same pictures and sound in a plain mp4 with its index in front, atomically; nothing is encoded again.

    Raises:
        MediaError: the file cannot be read or written.
    """
    target, options = Path(target), {"movflags": "+faststart+use_metadata_tags"}
    with _temporary(target) as temporary, av.open(str(source)) as old, av.open(str(temporary), "w", format="mp4", options=options) as new:
        new.metadata.update(old.metadata)
        streams = {stream.index: new.add_stream_from_template(stream) for stream in (*old.streams.video, *old.streams.audio)}
        for packet in old.demux():
            if packet.dts is not None and packet.stream_index in streams:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)


def encode_video(
    frames: Iterable[Picture], *, fps: float = 30.0, crf: int = 20, keyframe_interval: int = 16, metadata: Mapping[str, str] | None = None
) -> bytes:
    """An H.264 mp4 without sound in memory, a keyframe every `keyframe_interval` pictures; equal bytes for equal pictures and tags.

    Raises:
        MediaError: odd or unequal picture sizes, or no pictures.
    """
    buffer = io.BytesIO()
    options = {
        "crf": str(crf), "preset": "veryfast", "g": str(keyframe_interval), "keyint_min": str(keyframe_interval), "sc_threshold": "0",
        "mbtree": "0",  # with x264's macroblock tree 1 encoding in 300 comes out with other bytes
    }  # fmt: skip
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+use_metadata_tags"}) as container:
        container.metadata.update(metadata or {})
        _encode(container, frames, fps=fps, options=options, threads=1)
    return buffer.getvalue()


def encode_audio(waveform: NDArray[Any], sample_rate: int) -> bytes:
    """AAC in an m4a in memory; `waveform` is (samples,) or (samples, channels) in [-1, 1].

    Raises:
        MediaError: not finite, or of another shape.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ipod", options={"fflags": "+bitexact"}) as container:
        sound = _Sound(container, waveform, sample_rate, options={"aac_coder": "fast"})  # half the time; the bit rate leaves room
        for second in range(int(np.ceil(sound.seconds))):
            sound.write_until(min(second + 1.0, sound.seconds))
        sound.finish()
    return buffer.getvalue()
