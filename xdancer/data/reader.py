"""Reading shards by position: only the bytes of the wanted window leave the disk."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.data.manifest import MAKE_SHARDS, SCHEMA_VERSION, Manifest, complete_meta, meta_fault, read_json, read_manifest
from xdancer.data.members import (
    AUDIO,
    HEADER_BYTES,
    MASK,
    META,
    POSE,
    VIDEO,
    ArrayLayout,
    DamagedSampleError,
    check_entry,
    decode_json,
    parse_header,
)
from xdancer.data.remote import RemoteFolder, is_remote
from xdancer.errors import ShardError
from xdancer.skeleton import KEYPOINT_COUNT
from xdancer.types import ClipSample

Value = TypeVar("Value")
OPEN_FILES = 64
"""Tars held open per process."""
CACHED_CLIPS = 8192
"""Clips whose metadata and array headers are remembered (a few MB)."""


class ShardReader:
    """Map-style access to one split in a folder or behind an http address (`RemoteFolder`).

    Pickles without its open files, so it may travel to worker processes. Files are read by `pread`, which shares no position between
    processes or threads.

    Raises:
        ShardError: no shards there, another schema version, an incomplete folder.
    """

    def __init__(self, folder: Path | str) -> None:
        self.remote = RemoteFolder(str(folder)) if is_remote(folder) else None
        self.folder = Path(folder) if self.remote is None else self.remote.fetch_index()
        self.manifest: Manifest = read_manifest(self.folder)
        index = read_json(self.folder / "index.json")
        try:
            if index["schema"] != SCHEMA_VERSION:
                raise ShardError(
                    f"{self.folder / 'index.json'} has shard schema version {index['schema']!r}, this xdancer reads version {SCHEMA_VERSION}."
                )
            self._shards: list[Path] = [self.folder / Path(shard["name"]).name for shard in index["shards"]]
            self._sizes: list[int] = [int(shard["bytes"]) for shard in index["shards"]]
            self._clips: list[dict[str, Any]] = index["clips"]
            for clip in self._clips:
                check_entry(clip, self._sizes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ShardError(f"{self.folder / 'index.json'} is damaged: {error!r}. Make the shards again.") from error
        if not self._clips:
            raise ShardError(f"{self.folder} holds no clips. {MAKE_SHARDS}")
        self.keys: list[str] = [clip["key"] for clip in self._clips]
        self.frames: NDArray[np.int64] = np.array([clip["frames"] for clip in self._clips], dtype=np.int64)
        """Frames of every clip."""
        self.shard_of: NDArray[np.int64] = np.array([clip["shard"] for clip in self._clips], dtype=np.int64)
        """Number of the tar that holds every clip."""
        missing = [path.name for path in self._shards if not path.is_file()]
        if missing and self.remote is None:
            raise ShardError(
                f"{self.folder} is incomplete: {', '.join(missing[:3])} missing of {len(self._shards)} tars. Copy or make them again."
            )
        self._positions = {key: number for number, key in enumerate(self.keys)}
        self._forget()

    def _forget(self) -> None:
        self._files: OrderedDict[int, _File] = OrderedDict()
        self._layouts: OrderedDict[tuple[int, str], ArrayLayout] = OrderedDict()
        self._metas: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_files", "_layouts", "_metas")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def features(self) -> list[str]:
        """Music features that every clip has."""
        return list(self.manifest.features)

    @property
    def tars(self) -> list[Path]:
        """The tar files, by number."""
        return list(self._shards)

    def places(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(tar name, key, member) → (offset, size) of every member in the index."""
        return {
            (self._shards[clip["shard"]].name, clip["key"], member): (place[0], place[1])
            for clip in self._clips
            for member, place in clip["members"].items()
        }

    def position(self, key: str) -> int:
        """The clip's number.

        Raises:
            ShardError: no such key.
        """
        if key not in self._positions:
            raise ShardError(f"No clip {key!r} in {self.folder} ({len(self)} clips, such as {self.keys[0]!r}).")
        return self._positions[key]

    def meta(self, clip: int | str) -> dict[str, Any]:
        """The clip's metadata, complete (`ClipMeta`); remembered, so do not change it."""
        number = self._number(clip)
        if number not in self._metas:
            try:
                meta = decode_json(self.member(number, META))
            except ValueError as error:
                raise DamagedSampleError(self.keys[number], f"meta.json: {error}") from error
            fault = meta_fault(meta)
            if fault is not None:
                raise DamagedSampleError(self.keys[number], f"meta.json {fault}")
            _remember(self._metas, number, complete_meta(meta), CACHED_CLIPS)
        return self._metas[number]

    def pose(self, clip: int | str, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "frame 60 3"]:
        """Poses of frames [start, stop)."""
        rows = self._rows(self._number(clip), POSE, (KEYPOINT_COUNT, 3), start, stop)
        return rows.reshape(-1, KEYPOINT_COUNT, 3)

    def feature(self, clip: int | str, name: str, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "frame width"]:
        """Rows [start, stop) of a music feature, as float32."""
        if name not in self.manifest.features:
            raise ShardError(f"{self.folder} has no music feature {name!r}, only {', '.join(self.features) or 'none'}.")
        return self._rows(self._number(clip), f"{name}.npy", (self.manifest.features[name]["width"],), start, stop)

    def has(self, clip: int | str, member: str) -> bool:
        """Whether the clip carries a member, such as `video.mp4`."""
        return member in self._clips[self._number(clip)]["members"]

    def member(self, clip: int | str, name: str) -> bytes:
        """A whole member's bytes.

        Raises:
            ShardError: the clip does not have it.
        """
        number = self._number(clip)
        offset, size = self._place(number, name)
        return self._read(number, offset, size)

    def clip(self, clip: int | str) -> ClipSample:
        """Everything of one clip."""
        number = self._number(clip)
        optional = {name: self.member(number, member) if self.has(number, member) else None for name, member in _OPTIONAL.items()}
        features = {name: self.feature(number, name) for name in self.manifest.features}
        return ClipSample(self.keys[number], self.pose(number), features, self.meta(number), **optional)

    def _number(self, clip: int | str) -> int:
        return self.position(clip) if isinstance(clip, str) else int(clip)

    def _place(self, number: int, name: str) -> tuple[int, int]:
        try:
            offset, size = self._clips[number]["members"][name]
        except KeyError:
            raise ShardError(f"Clip {self.keys[number]!r} of {self.folder} has no {name}.") from None
        return offset, size

    def _rows(self, number: int, name: str, row: tuple[int, ...], start: int, stop: int | None) -> NDArray[np.float32]:
        frames = int(self.frames[number])
        stop = frames if stop is None else stop
        if not 0 <= start <= stop <= frames:
            raise ValueError(f"Frames [{start}, {stop}) are outside clip {self.keys[number]!r} of {frames} frames.")
        layout = self._layout(number, name, (frames, *row))
        data = self._read(number, layout.offset + start * layout.row_bytes, (stop - start) * layout.row_bytes)
        rows = np.frombuffer(data, dtype=layout.dtype).astype(np.float32).reshape(stop - start, *row)
        with np.errstate(invalid="ignore"):
            total = rows.sum()  # one pass; a sum of finite numbers this small cannot overflow
        if not np.isfinite(total):
            raise DamagedSampleError(self.keys[number], f"{name} holds NaN or infinite values in frames [{start}, {stop})")
        return rows

    def _layout(self, number: int, name: str, shape: tuple[int, ...]) -> ArrayLayout:
        layout = self._layouts.get((number, name))
        if layout is None:
            offset, size = self._place(number, name)
            try:
                layout = parse_header(self._read(number, offset, min(size, HEADER_BYTES)), offset, size)
            except (ValueError, SyntaxError) as error:
                raise DamagedSampleError(self.keys[number], f"{name}: {error}") from error
            if layout.shape != shape:
                raise DamagedSampleError(self.keys[number], f"{name} has shape {layout.shape}, index and manifest say {shape}")
            _remember(self._layouts, (number, name), layout, 4 * CACHED_CLIPS)
        return layout

    def _read(self, number: int, offset: int, size: int) -> bytes:
        shard = int(self.shard_of[number])
        file = self._files.get(shard)
        try:
            if file is None:
                if self.remote is not None:
                    path = self._shards[shard]
                    self.remote.fetch_tar(path.name, size=self._sizes[shard], sha256=self.manifest.sha256.get(path.name, "nothing"))
                file = _File(self._shards[shard])
                _remember(self._files, shard, file, OPEN_FILES)
            data = file.read(offset, size)
        except OSError as error:
            raise DamagedSampleError(self.keys[number], f"{self._shards[shard].name}: {error.strerror or error}") from error
        if len(data) != size:
            raise DamagedSampleError(self.keys[number], f"{self._shards[shard].name} ends {size - len(data)} bytes too early")
        return data


_OPTIONAL = {"video": VIDEO, "mask": MASK, "audio": AUDIO}


def _remember(cache: "OrderedDict[Any, Value]", key: Any, value: Value, limit: int) -> None:
    """Keep a value; beyond the limit the oldest goes."""
    cache[key] = value
    if len(cache) > limit:
        cache.popitem(last=False)


class _File:
    """A file open for reading at positions; closes itself when forgotten."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("rb", buffering=0)

    def read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._stream.fileno(), size, offset)
        self._stream.seek(offset)  # Windows: no pread, and no fork either, so the position is this process's own
        return self._stream.read(size) or b""

    def __del__(self) -> None:
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.close()
