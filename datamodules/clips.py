"""Clips for callbacks and statistics, cut to the frames that a split may use."""

from collections.abc import Callable

import numpy as np

from xdancer.data.members import AUDIO, MASK, VIDEO, DamagedSampleError
from xdancer.data.shards import ShardReader
from xdancer.errors import MediaError
from xdancer.media import encode_audio, encode_video, read_stereo, read_video
from xdancer.types import FPS, ClipSample

SAMPLE_RATE = 44100
FINE = 12
"""x264's crf of a cut video: a second encoding that nobody sees."""


def read_clip(reader: ShardReader, clip: int, first: int, stop: int, *, pictures: bool) -> ClipSample:
    """Frames [first, stop) of a clip as a clip of its own: beats, sound and pictures count from its first frame.

    Args:
        reader: the split.
        clip: number in it.
        first: first frame.
        stop: behind the last frame.
        pictures: with video and person mask, where the shards hold them.

    Raises:
        DamagedSampleError: a member cannot be read.
    """
    whole = (first, stop) == (0, int(reader.frames[clip]))

    def member(name: str, cut: Callable[[bytes, int, int], bytes]) -> bytes | None:
        if not reader.has(clip, name):
            return None
        data = reader.member(clip, name)
        try:
            return data if whole else cut(data, first, stop)
        except MediaError as error:
            raise DamagedSampleError(reader.keys[clip], f"{name}: {error}") from error

    meta = reader.meta(clip)
    return ClipSample(
        reader.keys[clip],
        reader.pose(clip, first, stop),
        {name: reader.feature(clip, name, first, stop) for name in reader.features},
        meta if whole else {**meta, "beats": cut_beats(meta["beats"], first, stop)},
        video=member(VIDEO, cut_video) if pictures else None,
        audio=member(AUDIO, cut_audio),
        mask=member(MASK, cut_video) if pictures else None,
    )


def cut_beats(beats: list[float], first: int, stop: int) -> list[float]:
    """The beats (s) inside [first, stop), counted from frame `first`."""
    return [beat - first / FPS for beat in beats if first / FPS <= beat < stop / FPS]


def cut_video(video: bytes, first: int, stop: int) -> bytes:
    return encode_video(read_video(video, start=first, count=stop - first).frames, crf=FINE)


def cut_audio(audio: bytes, first: int, stop: int) -> bytes:
    begin, end = (frame * SAMPLE_RATE // FPS for frame in (first, stop))
    sound = read_stereo(audio, sample_rate=SAMPLE_RATE)[begin:end]
    return encode_audio(np.pad(sound, ((0, end - begin - len(sound)), (0, 0))), SAMPLE_RATE)
