"""Reading shards by position: only the bytes of the wanted window leave the disk."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from xdancer.data.derived import Derived
from xdancer.data.manifest import FEATURES, Manifest, complete_meta, meta_fault, read_manifest
from xdancer.data.member_files import CACHED_CLIPS, MemberFiles, read_index, remember
from xdancer.data.members import AUDIO, EMBEDDING, LATENTS, MASK, META, POSE, TOKENS, VIDEO, DamagedSampleError, decode_json
from xdancer.data.remote import RemoteFolder, is_remote
from xdancer.data.tars import TarFiles
from xdancer.errors import ShardError
from xdancer.skeleton import KEYPOINT_COUNT
from xdancer.types import ClipSample


class ShardReader:
    """Map-style access to one split in a folder or behind an http address (`RemoteFolder`), and to what was added to it (`Derived`).

    Several threads may read at once. Pickles without its open files, so it may travel to other processes.

    Args:
        folder: the split.
        tokens: folder or address with motion tokens of its clips, where they are wanted (`xdancer tokenize`).
        latents: folder with the latents and embeddings of its pictures, where they are wanted (`xdancer cache-latents`).

    Raises:
        ShardError: no shards there, another schema version, an incomplete folder.
    """

    def __init__(self, folder: Path | str, *, tokens: Path | str | None = None, latents: Path | None = None) -> None:
        self.remote = RemoteFolder(str(folder)) if is_remote(folder) else None
        self.folder = Path(folder) if self.remote is None else self.remote.fetch_index()
        self.manifest: Manifest = read_manifest(self.folder)
        names, sizes, clips = read_index(self.folder)
        tars = TarFiles(self.folder, names, sizes, sha256=self.manifest.sha256, remote=self.remote)
        if missing := tars.missing():
            raise ShardError(f"{self.folder} is incomplete: {', '.join(missing[:3])} missing of {len(names)} tars. Copy or make them again.")
        self.files = MemberFiles(clips, tars, {})
        """Where the members lie."""
        self.keys: list[str] = self.files.keys
        self.frames: NDArray[np.int64] = self.files.frames
        """Frames of every clip."""
        self.shard_of: NDArray[np.int64] = self.files.shard_of
        """Number of the tar that holds every clip."""
        self._positions = {key: number for number, key in enumerate(self.keys)}
        self._metas: OrderedDict[int, dict[str, Any]] = OrderedDict()
        for name in self.features:
            if not self.files.has(0, f"{name}.npy"):
                self._attach(f"{name}.npy", self.folder / FEATURES / name, self.remote, address=f"{FEATURES}/{name}/")
        if tokens is not None:
            remote = RemoteFolder(str(tokens)) if is_remote(tokens) else None
            self._attach(TOKENS, Path(tokens) if remote is None else remote.folder, remote)
        places = {} if latents is None else {member: latents / Path(member).stem for member in (LATENTS, EMBEDDING)}
        for member, place in places.items():
            if member == LATENTS or place.is_dir():
                self._attach(member, place, None)

    def _attach(self, member: str, folder: Path, remote: RemoteFolder | None, *, address: str = "") -> None:
        clips_of = np.bincount(self.shard_of, minlength=len(self.tars)).tolist()
        self.files.derived[member] = Derived(folder, self.manifest, clips_of, remote=remote, address=address)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_metas": OrderedDict()}

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def features(self) -> list[str]:
        """Music features that every clip has."""
        return list(self.manifest.features)

    @property
    def tars(self) -> list[Path]:
        """The tar files, by number."""
        return self.files.tars.paths

    @property
    def derived(self) -> dict[str, Derived]:
        """What was added to the clips, by member."""
        return self.files.derived

    def size_faults(self) -> list[str]:
        """Tars of the folder, its own and added ones, whose size is not the one that the index names."""
        folders = [self.files.tars, *(derived.tars for derived in self.files.derived.values() if derived.tars.remote is None)]
        found = [(path, size, path.stat().st_size) for tars in folders for path, size in zip(tars.paths, tars.sizes, strict=True)]
        return [f"{path} has {real:,} bytes, the index says {size:,}" for path, size, real in found if real != size]

    def places(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(tar name, key, member) → (offset, size) of every member in the index."""
        return {
            (self.tars[clip["shard"]].name, clip["key"], member): (place[0], place[1])
            for clip in self.files.clips
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
            remember(self._metas, number, complete_meta(meta), CACHED_CLIPS)
        return self._metas[number]

    def pose(self, clip: int | str, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "frame 60 3"]:
        """Poses of frames [start, stop)."""
        number = self._number(clip)
        out = np.empty(self.files.room(number, (KEYPOINT_COUNT, 3), start, stop), dtype=np.float32)
        self.files.fill(out, number, POSE, start)
        return out

    def feature(self, clip: int | str, name: str, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "frame width"]:
        """Rows [start, stop) of a music feature, as float32."""
        if name not in self.manifest.features:
            raise ShardError(f"{self.folder} has no music feature {name!r}, only {', '.join(self.features) or 'none'}.")
        number = self._number(clip)
        out = np.empty(self.files.room(number, (self.manifest.features[name]["width"],), start, stop), dtype=np.float32)
        self.files.fill(out, number, f"{name}.npy", start)
        return out

    @property
    def token_shape(self) -> tuple[int, int]:
        """Parts and slots of a frame's motion tokens."""
        maker = self.derived[TOKENS].manifest.maker
        return maker["parts"], maker["slots"]

    def tokens(self, clip: int | str, start: int = 0, stop: int | None = None) -> Int[np.ndarray, "frame part slot"]:
        """Motion tokens of frames [start, stop)."""
        number, codes = self._number(clip), self.derived[TOKENS].manifest.maker["codes"]
        out = np.empty(self.files.room(number, self.token_shape, start, stop), dtype=np.uint16)
        self.files.fill_ids(out, number, TOKENS, start)
        if out.max(initial=0) >= codes:
            raise DamagedSampleError(self.keys[number], f"{TOKENS} holds {out.max()}, the tokenizer has {codes} codes")
        return out.astype(np.int64)

    def picture_rows(self, clip: int | str, member: str, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "frame *row"]:
        """What a frozen network made of pictures [start, stop): `LATENTS` (mean, then deviation, by channel) or `EMBEDDING`, as float32."""
        number = self._number(clip)
        out = np.empty(self.files.room(number, tuple(self.derived[member].manifest.maker["row"]), start, stop), dtype=np.float32)
        self.files.fill(out, number, member, start)
        return out

    def has(self, clip: int | str, member: str) -> bool:
        """Whether the clip carries a member, such as `video.mp4`."""
        return self.files.has(self._number(clip), member)

    def member(self, clip: int | str, name: str) -> bytes:
        """A whole member's bytes.

        Raises:
            ShardError: the clip does not have it.
        """
        return self.files.read(self._number(clip), name)

    def clip(self, clip: int | str) -> ClipSample:
        """Everything of one clip."""
        number = self._number(clip)
        optional = {name: self.member(number, member) if self.has(number, member) else None for name, member in _OPTIONAL.items()}
        features = {name: self.feature(number, name) for name in self.manifest.features}
        return ClipSample(self.keys[number], self.pose(number), features, self.meta(number), **optional)

    def _number(self, clip: int | str) -> int:
        return self.position(clip) if isinstance(clip, str) else int(clip)


_OPTIONAL = {"video": VIDEO, "mask": MASK, "audio": AUDIO}
