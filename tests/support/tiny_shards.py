"""Small splits for tests: every number of a clip says where it stands, so that a window can be checked by value."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from xdancer.data.shards import ShardWriter
from xdancer.media import encode_audio, encode_video
from xdancer.types import ClipSample

WIDTHS = {"librosa": 35, "musicnn": 753}
FEATURES = {name: {"width": width, "version": "test"} for name, width in WIDTHS.items()}


def stamp(clip: int, frame: np.ndarray) -> np.ndarray:
    """The value that marks a frame of a clip; exact in float16."""
    return (clip * 16 + frame / 32).astype(np.float32)


def make_clip(number: int, frames: int = 80, *, video: bool = False, size: tuple[int, int] = (32, 32)) -> ClipSample:
    """Keypoint (x, y) = (clip / 64, frame / 1024), music = stamp, a beat every half second, grey pictures as bright as 2 × frame."""
    times = np.arange(frames)
    pose = np.empty((frames, 60, 3), dtype=np.float32)
    pose[..., 0], pose[..., 1], pose[..., 2] = number / 64, times[:, None] / 1024, 0.5
    rows = stamp(number, times)[:, None]
    height, width = size
    meta = {
        "source": f"clip {number}", "song": f"song {number}", "width": width, "height": height, "tempo": 120.0,
        "beats": [float(beat) for beat in np.arange(0.25, frames / 30, 0.5)],
    }  # fmt: skip
    features = {name: np.repeat(rows, width, axis=1) for name, width in WIDTHS.items()}
    if not video:
        return ClipSample(f"clip-{number:03d}", pose, features, meta)
    pictures = [np.full((height, width, 3), min(255, 2 * frame), dtype=np.uint8) for frame in range(frames)]
    masks = [np.pad(np.full((height - 8, width - 8, 3), 255, dtype=np.uint8), ((4, 4), (4, 4), (0, 0))) for _ in range(frames)]
    click = np.zeros(frames * 735, dtype=np.float32)
    click[::11025] = 0.5
    return ClipSample(
        f"clip-{number:03d}", pose, features, meta, video=encode_video(pictures), mask=encode_video(masks), audio=encode_audio(click, 22050)
    )


def write_split(folder: Path, clips: Iterable[ClipSample], *, samples_per_shard: int = 4) -> Path:
    """A split with those clips."""
    with ShardWriter(folder, split=folder.name, features=FEATURES, licence="test", samples_per_shard=samples_per_shard) as writer:
        for clip in clips:
            writer.write(clip)
    return folder


def corrupt(folder: Path, key: str, member: str) -> None:
    """Overwrite the beginning of a member, so that only this one cannot be read."""
    from xdancer.data.shards import ShardReader

    reader = ShardReader(folder)
    number = reader.position(key)
    offset, _ = reader.files.place(number, member)
    with reader.tars[int(reader.shard_of[number])].open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 64)
