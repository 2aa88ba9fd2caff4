"""The bytes of a split's clips: in which tar a member lies, headers remembered, rows read straight into arrays."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt16
from numpy.typing import NDArray

from xdancer.data.derived import Derived
from xdancer.data.manifest import MAKE_SHARDS, SCHEMA_VERSION, read_json
from xdancer.data.members import HEADER_BYTES, NUMBERS, TOKEN_NUMBERS, ArrayLayout, DamagedSampleError, check_entry, parse_header
from xdancer.data.tars import TarFiles
from xdancer.errors import ShardError

Value = TypeVar("Value")
CACHED_CLIPS = 8192
"""Clips whose metadata and array headers are remembered (a few MB)."""


class MemberFiles:
    """Members of clips by number and name, out of the split's tars and of those added to it (`derived`, by member).

    Pickles without what it remembers.
    """

    def __init__(self, clips: list[dict[str, Any]], tars: TarFiles, derived: Mapping[str, Derived]) -> None:
        self.clips, self.tars, self.derived = clips, tars, dict(derived)
        self.keys: list[str] = [clip["key"] for clip in clips]
        self.frames: Int[NDArray, " clip"] = np.array([clip["frames"] for clip in clips], dtype=np.int64)
        self.shard_of: Int[NDArray, " clip"] = np.array([clip["shard"] for clip in clips], dtype=np.int64)
        self._layouts: OrderedDict[tuple[int, str], ArrayLayout] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layouts": OrderedDict()}

    def has(self, number: int, member: str) -> bool:
        return member in self.derived or member in self.clips[number]["members"]

    def place(self, number: int, member: str) -> tuple[int, int]:
        """Offset and size of a member in its tar.

        Raises:
            ShardError: the clip does not have it.
        """
        try:
            derived = self.derived.get(member)
            offset, size = self.clips[number]["members"][member] if derived is None else derived.manifest.places[number]
        except KeyError:
            raise ShardError(f"Clip {self.keys[number]!r} of {self.tars.folder} has no {member}.") from None
        return offset, size

    def read(self, number: int, member: str) -> bytes:
        """A whole member."""
        offset, size = self.place(number, member)
        return self._bytes(number, member, offset, size)

    def room(self, number: int, row: tuple[int, ...], start: int, stop: int | None) -> tuple[int, ...]:
        """Shape of rows [start, stop) of a clip's array.

        Raises:
            ValueError: the clip does not have these frames.
        """
        frames = int(self.frames[number])
        stop = frames if stop is None else stop
        if not 0 <= start <= stop <= frames:
            raise ValueError(f"Frames [{start}, {stop}) are outside clip {self.keys[number]!r} of {frames} frames.")
        return stop - start, *row

    def fill(self, out: Float[np.ndarray, "frame *row"], number: int, member: str, start: int) -> None:
        """Rows of an array of numbers from `start` on, as many as fit into the float32 array.

        Raises:
            DamagedSampleError: they cannot be read, or are not finite.
        """
        layout = self._layout(number, member, out, start, NUMBERS)
        offset, tensor = layout.offset + start * layout.row_bytes, torch.from_numpy(out)
        if layout.dtype == out.dtype:
            self._read(out, number, member, offset)
        else:
            stored = np.empty(out.shape, dtype=layout.dtype)
            self._read(stored, number, member, offset)
            tensor.copy_(torch.from_numpy(stored))  # 20 times as fast as numpy's conversion from float16
        if not math.isfinite(tensor.sum().item()):  # one pass; a sum of finite numbers this small cannot overflow
            raise DamagedSampleError(self.keys[number], f"{member} holds NaN or infinite values in frames [{start}, {start + len(out)})")

    def fill_ids(self, out: UInt16[np.ndarray, "frame *row"], number: int, member: str, start: int) -> None:
        """Rows of an array of ids from `start` on, as many as fit."""
        layout = self._layout(number, member, out, start, TOKEN_NUMBERS)
        self._read(out, number, member, layout.offset + start * layout.row_bytes)

    def _layout(self, number: int, member: str, out: NDArray[Any], start: int, accepted: tuple[str, ...]) -> ArrayLayout:
        """Where an array lies; refuses rows that it does not have."""
        self.room(number, out.shape[1:], start, start + len(out))
        layout = self._layouts.get((number, member))
        if layout is None:
            offset, size = self.place(number, member)
            try:
                head = self._bytes(number, member, offset, min(size, HEADER_BYTES))
                layout = parse_header(head, offset, size, accepted=accepted)
            except (ValueError, SyntaxError) as error:
                raise DamagedSampleError(self.keys[number], f"{member}: {error}") from error
            shape = (int(self.frames[number]), *out.shape[1:])
            if layout.shape != shape:
                raise DamagedSampleError(self.keys[number], f"{member} has shape {layout.shape}, index and manifest say {shape}")
            remember(self._layouts, (number, member), layout, 4 * CACHED_CLIPS)
        return layout

    def _bytes(self, number: int, member: str, offset: int, size: int) -> bytes:
        buffer = np.empty(size, dtype=np.uint8)
        self._read(buffer, number, member, offset)
        return buffer.tobytes()

    def _read(self, out: NDArray[Any], number: int, member: str, offset: int) -> None:
        """Bytes of the tar that holds a member, from `offset` on."""
        derived = self.derived.get(member)
        tars = self.tars if derived is None else derived.tars
        tars.fill(out, int(self.shard_of[number]), offset, key=self.keys[number])


def read_index(folder: Path) -> tuple[list[str], list[int], list[dict[str, Any]]]:
    """Names and bytes of a split's tars, and its clips (key, shard, frames, members) from `index.json`.

    Raises:
        ShardError: damaged, of another schema, or without clips.
    """
    path = folder / "index.json"
    index = read_json(path)
    try:
        if index["schema"] != SCHEMA_VERSION:
            raise ShardError(f"{path} has shard schema version {index['schema']!r}, this xdancer reads version {SCHEMA_VERSION}.")
        names, sizes = [Path(shard["name"]).name for shard in index["shards"]], [int(shard["bytes"]) for shard in index["shards"]]
        for clip in index["clips"]:
            check_entry(clip, sizes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ShardError(f"{path} is damaged: {error!r}. Make the shards again.") from error
    if not index["clips"]:
        raise ShardError(f"{folder} holds no clips. {MAKE_SHARDS}")
    return names, sizes, index["clips"]


def remember(cache: "OrderedDict[Any, Value]", key: Any, value: Value, limit: int) -> None:
    """Keep a value; beyond the limit the oldest goes."""
    cache[key] = value
    if len(cache) > limit:
        cache.popitem(last=False)
