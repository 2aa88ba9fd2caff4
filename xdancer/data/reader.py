"""Reading shards by position: only the bytes of the wanted window leave the disk."""

from collections import OrderedDict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from xdancer.data.derived import Derived
from xdancer.data.manifest import FEATURES, MAKE_SHARDS, SCHEMA_VERSION, Manifest, complete_meta, meta_fault, read_json, read_manifest
from xdancer.data.members import (
    AUDIO,
    HEADER_BYTES,
    MASK,
    META,
    NUMBERS,
    POSE,
    TOKEN_NUMBERS,
    TOKENS,
    VIDEO,
    ArrayLayout,
    DamagedSampleError,
    check_entry,
    decode_json,
    parse_header,
)
from xdancer.data.remote import RemoteFolder, is_remote
from xdancer.data.tars import TarFiles
from xdancer.errors import ShardError
from xdancer.skeleton import KEYPOINT_COUNT
from xdancer.types import ClipSample

Value = TypeVar("Value")
CACHED_CLIPS = 8192
"""Clips whose metadata and array headers are remembered (a few MB)."""


class ShardReader:
    """Map-style access to one split in a folder or behind an http address (`RemoteFolder`), and to what was added to it (`Derived`).

    Pickles without its open files, so it may travel to worker processes.

    Args:
        folder: the split.
        tokens: folder or address with motion tokens of its clips, where they are wanted (`xdancer tokenize`).

    Raises:
        ShardError: no shards there, another schema version, an incomplete folder.
    """

    def __init__(self, folder: Path | str, *, tokens: Path | str | None = None) -> None:
        self.remote = RemoteFolder(str(folder)) if is_remote(folder) else None
        self.folder = Path(folder) if self.remote is None else self.remote.fetch_index()
        self.manifest: Manifest = read_manifest(self.folder)
        names, sizes, self._clips = self._read_index()
        self._tars = TarFiles(self.folder, names, sizes, sha256=self.manifest.sha256, remote=self.remote)
        if missing := self._tars.missing():
            raise ShardError(f"{self.folder} is incomplete: {', '.join(missing[:3])} missing of {len(names)} tars. Copy or make them again.")
        self.keys: list[str] = [clip["key"] for clip in self._clips]
        self.frames: NDArray[np.int64] = np.array([clip["frames"] for clip in self._clips], dtype=np.int64)
        """Frames of every clip."""
        self.shard_of: NDArray[np.int64] = np.array([clip["shard"] for clip in self._clips], dtype=np.int64)
        """Number of the tar that holds every clip."""
        self._positions = {key: number for number, key in enumerate(self.keys)}
        own = self._clips[0]["members"]
        self._derived = {f"{name}.npy": self._added(name) for name in self.manifest.features if f"{name}.npy" not in own}
        if tokens is not None:
            remote = RemoteFolder(str(tokens)) if is_remote(tokens) else None
            self._derived[TOKENS] = self._derive(Path(tokens) if remote is None else remote.folder, remote)
        self._forget()

    def _read_index(self) -> tuple[list[str], list[int], list[dict[str, Any]]]:
        """Names and bytes of the tars, and the clips' entries."""
        path = self.folder / "index.json"
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
            raise ShardError(f"{self.folder} holds no clips. {MAKE_SHARDS}")
        return names, sizes, index["clips"]

    def _added(self, feature: str) -> Derived:
        return self._derive(self.folder / FEATURES / feature, self.remote, address=f"{FEATURES}/{feature}/")

    def _derive(self, folder: Path, remote: RemoteFolder | None, *, address: str = "") -> Derived:
        clips_of = np.bincount(self.shard_of, minlength=len(self._tars.paths)).tolist()
        return Derived(folder, self.manifest, clips_of, remote=remote, address=address)

    def _forget(self) -> None:
        self._layouts: OrderedDict[tuple[int, str], ArrayLayout] = OrderedDict()
        self._metas: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_layouts", "_metas")}

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
        return list(self._tars.paths)

    @property
    def derived(self) -> dict[str, Derived]:
        """What was added to the clips, by member."""
        return dict(self._derived)

    def places(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(tar name, key, member) → (offset, size) of every member in the index."""
        return {
            (self._tars.paths[clip["shard"]].name, clip["key"], member): (place[0], place[1])
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
        return self._numbers(self._number(clip), POSE, (KEYPOINT_COUNT, 3), start, stop)

    def feature(self, clip: int | str, name: str, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "frame width"]:
        """Rows [start, stop) of a music feature, as float32."""
        if name not in self.manifest.features:
            raise ShardError(f"{self.folder} has no music feature {name!r}, only {', '.join(self.features) or 'none'}.")
        return self._numbers(self._number(clip), f"{name}.npy", (self.manifest.features[name]["width"],), start, stop)

    def tokens(self, clip: int | str, start: int = 0, stop: int | None = None) -> Int[np.ndarray, "frame part slot"]:
        """Motion tokens of frames [start, stop)."""
        maker, number = self._derived[TOKENS].manifest.maker, self._number(clip)
        rows = self._rows(number, TOKENS, (maker["parts"], maker["slots"]), start, stop, accepted=TOKEN_NUMBERS).astype(np.int64)
        if rows.max(initial=0) >= maker["codes"]:
            raise DamagedSampleError(self.keys[number], f"{TOKENS} holds {rows.max()}, the tokenizer has {maker['codes']} codes")
        return rows

    def has(self, clip: int | str, member: str) -> bool:
        """Whether the clip carries a member, such as `video.mp4`."""
        return member in self._derived or member in self._clips[self._number(clip)]["members"]

    def member(self, clip: int | str, name: str) -> bytes:
        """A whole member's bytes.

        Raises:
            ShardError: the clip does not have it.
        """
        number = self._number(clip)
        return self._read(number, name, *self._place(number, name))

    def clip(self, clip: int | str) -> ClipSample:
        """Everything of one clip."""
        number = self._number(clip)
        optional = {name: self.member(number, member) if self.has(number, member) else None for name, member in _OPTIONAL.items()}
        features = {name: self.feature(number, name) for name in self.manifest.features}
        return ClipSample(self.keys[number], self.pose(number), features, self.meta(number), **optional)

    def _number(self, clip: int | str) -> int:
        return self.position(clip) if isinstance(clip, str) else int(clip)

    def _place(self, number: int, name: str) -> tuple[int, int]:
        """Offset and size of a member in its tar."""
        try:
            derived = self._derived.get(name)
            offset, size = self._clips[number]["members"][name] if derived is None else derived.manifest.places[number]
        except KeyError:
            raise ShardError(f"Clip {self.keys[number]!r} of {self.folder} has no {name}.") from None
        return offset, size

    def _numbers(self, number: int, name: str, row: tuple[int, ...], start: int, stop: int | None) -> NDArray[np.float32]:
        rows = self._rows(number, name, row, start, stop, accepted=NUMBERS).astype(np.float32)
        with np.errstate(invalid="ignore"):
            total = rows.sum()  # one pass; a sum of finite numbers this small cannot overflow
        if not np.isfinite(total):
            raise DamagedSampleError(self.keys[number], f"{name} holds NaN or infinite values in frames [{start}, {stop})")
        return rows

    def _rows(self, number: int, name: str, row: tuple[int, ...], start: int, stop: int | None, *, accepted: tuple[str, ...]) -> NDArray[Any]:
        """Rows [start, stop) of an array as they are stored."""
        frames = int(self.frames[number])
        stop = frames if stop is None else stop
        if not 0 <= start <= stop <= frames:
            raise ValueError(f"Frames [{start}, {stop}) are outside clip {self.keys[number]!r} of {frames} frames.")
        layout = self._layout(number, name, (frames, *row), accepted)
        data = self._read(number, name, layout.offset + start * layout.row_bytes, (stop - start) * layout.row_bytes)
        return np.frombuffer(data, dtype=layout.dtype).reshape(stop - start, *row)

    def _layout(self, number: int, name: str, shape: tuple[int, ...], accepted: tuple[str, ...]) -> ArrayLayout:
        layout = self._layouts.get((number, name))
        if layout is None:
            offset, size = self._place(number, name)
            try:
                layout = parse_header(self._read(number, name, offset, min(size, HEADER_BYTES)), offset, size, accepted=accepted)
            except (ValueError, SyntaxError) as error:
                raise DamagedSampleError(self.keys[number], f"{name}: {error}") from error
            if layout.shape != shape:
                raise DamagedSampleError(self.keys[number], f"{name} has shape {layout.shape}, index and manifest say {shape}")
            _remember(self._layouts, (number, name), layout, 4 * CACHED_CLIPS)
        return layout

    def _read(self, number: int, name: str, offset: int, size: int) -> bytes:
        derived = self._derived.get(name)
        tars = self._tars if derived is None else derived.tars
        return tars.read(int(self.shard_of[number]), offset, size, key=self.keys[number])


_OPTIONAL = {"video": VIDEO, "mask": MASK, "audio": AUDIO}


def _remember(cache: "OrderedDict[Any, Value]", key: Any, value: Value, limit: int) -> None:
    """Keep a value; beyond the limit the oldest goes."""
    cache[key] = value
    if len(cache) > limit:
        cache.popitem(last=False)
