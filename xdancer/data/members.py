"""Members of a sample: which names are accepted, and their safe encoders and decoders (npy without pickle, strict JSON)."""

import io
import json
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdancer.errors import ShardError
from xdancer.strict import array_header, parse_json

KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""WebDataset cuts a name at its first dot; ustar headers hold 100 characters."""
MEMBER_PATTERN = re.compile(r"[a-z][a-z0-9_]*\.(npy|json|mp4|m4a|jpg)")
POSE, META, VIDEO, MASK, AUDIO, TOKENS = "pose.npy", "meta.json", "video.mp4", "mask.mp4", "audio.m4a", "tokens.npy"
LATENTS, EMBEDDING = "latents.npy", "embedding.npy"
"""Of every picture: mean and deviation of its latents, and its image embedding; derived only."""
LARGEST_META = 2**24
"""Bytes of a clip's metadata."""
LARGEST_MEMBER = 2**31
"""Bytes of a member, such as a video."""
MOST_FRAMES = 30 * 3600
"""Of one clip: an hour."""
HEADER_BYTES = 256
"""Enough for the header of any array of ours (128 bytes)."""
FLOAT32_FEATURES = ("librosa", "beat_phase")
"""Features stored as float32; the wide ones are float16."""
NUMBERS = ("<f2", "<f4")
"""What arrays hold; motion tokens alone are `TOKEN_NUMBERS`."""
TOKEN_NUMBERS = ("<u2",)


class DamagedSampleError(ShardError):
    """One clip cannot be read; readers skip, count and log it."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"Clip {key!r} is damaged: {reason}.")
        self.key = key
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.key, self.reason)


@dataclass(frozen=True)
class ArrayLayout:
    """Where an array's rows lie inside a file."""

    offset: int
    """Of row 0, from the start of the tar."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])


def check_key(key: str) -> None:
    """Refuse keys that WebDataset or a file system would misread."""
    if not KEY_PATTERN.fullmatch(key):
        raise ShardError(f"Clip key {key!r} is not allowed: use 1 to 80 letters, digits, '_' and '-'.")


def check_entry(clip: dict[str, Any], sizes: list[int]) -> None:
    """Refuse an index entry that points nowhere, with a ValueError; other damage raises KeyError or TypeError."""
    key, shard, frames = clip["key"], clip["shard"], clip["frames"]
    if not isinstance(key, str) or not isinstance(shard, int) or not isinstance(frames, int):
        raise ValueError(f"clip {key!r} in shard {shard!r} with {frames!r} frames: a text and two whole numbers are needed")
    if not 0 <= shard < len(sizes):
        raise ValueError(f"clip {key!r} lies in shard {shard} of {len(sizes)}")
    if not 0 <= frames <= min(sizes[shard], MOST_FRAMES):
        raise ValueError(f"clip {key!r} has {frames} frames in a tar of {sizes[shard]} bytes; a clip has at most {MOST_FRAMES}")
    for member, (offset, size) in clip["members"].items():
        if not isinstance(offset, int) or not isinstance(size, int) or not (offset >= 0 <= size and offset + size <= sizes[shard]):
            raise ValueError(f"clip {key!r}: {member} lies at {offset!r} + {size!r} of {sizes[shard]} bytes")
        if size > LARGEST_MEMBER:
            raise ValueError(f"clip {key!r}: {member} has {size:,} bytes, a member has at most {LARGEST_MEMBER:,}")


def encode_array(array: NDArray[Any]) -> bytes:
    """Bytes of an .npy file."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def encode_json(value: Any) -> bytes:
    """Bytes of strict JSON: NaN and infinities are refused with a ValueError."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def decode_json(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: anything else.
    """
    value = parse_json(data, largest=LARGEST_META)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is needed, got {type(value).__name__}")
    return value


def parse_header(data: bytes, offset: int, size: int, *, accepted: tuple[str, ...] = NUMBERS) -> ArrayLayout:
    """Layout of the array whose .npy member of `size` bytes starts at `offset`; `data` is its beginning.

    Accepted: little-endian numbers of those kinds in C order, exactly as long as the member. Nothing is ever unpickled.

    Raises:
        ValueError: anything else.
    """
    stream = io.BytesIO(data)
    shape, fortran, dtype = array_header(stream)
    if fortran or dtype.str not in accepted:
        order = " in Fortran order" if fortran else ""
        raise ValueError(f"an array of {dtype.str}{order} is not accepted, only {' and '.join(accepted)} in C order")
    layout = ArrayLayout(offset + stream.tell(), dtype, tuple(shape))
    if not shape or stream.tell() + layout.row_bytes * shape[0] != size:
        raise ValueError(f"shape {tuple(shape)} of {dtype.str} does not fill its {size} bytes")
    return layout
