"""Making derived shards: clip by clip, tar by tar, continued where an earlier run stopped; what stands is never touched."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from xdancer.data.derived import DerivedManifest, base_digest, read_derived
from xdancer.data.manifest import DERIVED, FEATURES, FeatureInfo
from xdancer.data.members import AUDIO, FLOAT32_FEATURES, encode_array
from xdancer.data.reader import ShardReader
from xdancer.data.tar_output import sha256_of, write_tar
from xdancer.data.writer import list_members
from xdancer.errors import ShardError
from xdancer.files import replace_folder, whole, write_bytes, write_text

WORK = ".work"
"""Inside an unfinished folder: finished clips of the tar in the making, what the finished tars hold, and the recipe of it all."""
Progress = Callable[[int, int], None]
"""Called with the clips done and their number."""


@dataclass(frozen=True)
class ClipSource:
    """One clip of a split, as the computation of a derived member reads it; nothing is read before it is asked for."""

    reader: ShardReader
    number: int

    @property
    def key(self) -> str:
        return self.reader.keys[self.number]

    @property
    def frames(self) -> int:
        """Pictures of the clip, 30 per second: rows that its features have."""
        return int(self.reader.frames[self.number])

    @property
    def meta(self) -> dict[str, Any]:
        """`ClipMeta`; do not change it."""
        return self.reader.meta(self.number)

    @property
    def pose(self) -> Float[np.ndarray, "frame 60 3"]:
        return self.reader.pose(self.number)

    @property
    def audio(self) -> bytes:
        """The clip's sound (AAC in m4a), for `xdancer.media.read_audio`.

        Raises:
            ShardError: the clip has none.
        """
        if not self.reader.has(self.number, AUDIO):
            raise ShardError(f"Clip {self.key!r} of {self.reader.folder} has no sound. Make its shards with sound, or leave it out.")
        return self.reader.member(self.number, AUDIO)


def add_feature(
    folder: Path,
    name: str,
    info: FeatureInfo,
    compute: Callable[[ClipSource], Float[np.ndarray, "frame width"]],
    *,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> bool:
    """Add a music feature to the clips of a split: `FOLDER/features/NAME` and an entry in the manifest, written last.

    Poses, video, sound and other features are not touched or copied; afterwards `ShardReader.feature` finds the feature like any other.
    Interrupted, the same call continues behind the last finished clip; until it is complete, readers see the split as it was.

    Args:
        folder: the split, on this machine.
        name: of the feature, such as `jukebox`.
        info: its width and the version of what computes it; another version is another feature.
        compute: rows of a clip, (`ClipSource.frames`, width), finite.
        progress: called after every clip.
        overwrite: replace a feature of that name, if it was added and not written with the clips.

    Returns:
        Whether there was anything to do: False if the feature stands already with the same version.

    Raises:
        ShardError: the split has a feature of that name and another version, or `compute` gave something else than such rows.
    """
    reader = ShardReader(folder)
    found = reader.manifest.features.get(name)
    if found is not None and not overwrite:
        if found == info:
            return False
        raise ShardError(f"{folder} has {name} of version {found['version']}, not {info['version']}. Pass --overwrite to replace it.")
    if found is not None and f"{name}.npy" not in reader.derived:
        raise ShardError(f"{folder} was written with {name}, which is part of its tars. Make the shards again with the wanted features.")

    def encode(clip: ClipSource) -> bytes:
        return encode_feature(compute(clip), clip, name, info)

    others = {other: entry for other, entry in reader.manifest.features.items() if other != name}
    if found is not None:  # while it is replaced the split does without it: never an old entry with new numbers
        write_text(reader.folder / "manifest.json", replace(reader.manifest, features=others).to_json())
    derive(reader, reader.folder / FEATURES / name, f"{name}.npy", dict(info), encode, progress=progress, overwrite=overwrite)
    write_text(reader.folder / "manifest.json", replace(reader.manifest, features={**others, name: info}).to_json())
    return True


def encode_feature(rows: Float[np.ndarray, "frame width"], clip: ClipSource, name: str, info: FeatureInfo) -> bytes:
    """A clip's feature as it lies in a tar.

    Raises:
        ShardError: of another shape, or not finite as stored; names the clip.
    """
    if rows.shape != (clip.frames, info["width"]):
        raise ShardError(f"Clip {clip.key!r}: feature {name!r} has shape {rows.shape}, needed is ({clip.frames}, {info['width']}).")
    with np.errstate(over="ignore"):
        stored = np.asarray(rows).astype(np.float32 if name in FLOAT32_FEATURES else np.float16)
    if not np.isfinite(stored).all():
        raise ShardError(f"Clip {clip.key!r}: feature {name!r} does not fit {stored.dtype} (not finite). Leave the clip out.")
    return encode_array(stored)


def derive(
    reader: ShardReader, folder: Path, member: str, maker: Mapping[str, Any], encode: Callable[[ClipSource], bytes], *,
    progress: Progress | None = None, overwrite: bool = False,
) -> bool:  # fmt: skip
    """Write one further member of every clip of a split to a folder of its own, which takes its name when the last byte is written.

    Finished clips and tars wait in a hidden folder beside it; the next call with the same `maker` takes them over, one with another `maker`
    drops them.

    Returns:
        False if the folder stands already, made alike.

    Raises:
        ShardError: the folder holds something else.
    """
    recipe = {"member": member, "base": base_digest(reader.manifest), "maker": json.loads(json.dumps(dict(maker)))}
    if _stands(folder, recipe, overwrite=overwrite):
        return False
    partial, report = _resume(folder, recipe), progress or (lambda done, total: None)
    shards: list[dict[str, Any]] = []
    places: dict[int, Any] = {}
    for tar, clips in _by_tar(reader):
        if not _record(partial, tar).is_file():
            for clip in clips:
                part = partial / WORK / clip.key
                if not part.is_file():
                    write_bytes(part, encode(clip))
                places[clip.number] = ()  # known when the tar is packed
                report(len(places), len(reader))
            _pack(partial, tar, clips, member)
        else:
            report(len(places) + len(clips), len(reader))
        record = json.loads(_record(partial, tar).read_text())
        places |= dict(zip((clip.number for clip in clips), record.pop("places"), strict=True))
        shards.append(record)
    manifest = DerivedManifest(shards=shards, places=[places[clip] for clip in range(len(reader))], **recipe)
    write_text(partial / DERIVED, manifest.to_json())
    replace_folder(partial, folder)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return True


def _stands(folder: Path, recipe: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Whether the folder is complete and made alike; anything else than derived shards in it is refused."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / DERIVED).is_file():
        raise ShardError(f"{folder} holds something else than derived shards, which is never overwritten. Choose another place.")
    if overwrite:
        return False
    found = read_derived(folder)
    if found.base != recipe["base"]:
        raise ShardError(f"{folder} was made from other shards. Pass --overwrite to make it anew, or choose another place.")
    for name, value in recipe["maker"].items():
        if found.maker.get(name) != value:
            raise ShardError(
                f"{folder} was made with {name} {found.maker.get(name)!s:.12}, not {value!s:.12}. Pass --overwrite to replace it, or choose "
                "another place."
            )
    return True


def _resume(folder: Path, recipe: Mapping[str, Any]) -> Path:
    """The hidden folder of unfinished work, with what an earlier run of the same recipe left there."""
    partial = folder.with_name(f".{folder.name}.partial")
    path = partial / WORK / "recipe.json"
    if not path.is_file() or json.loads(path.read_text()) != recipe:
        shutil.rmtree(partial, ignore_errors=True)
        path.parent.mkdir(parents=True)
        write_text(path, json.dumps(recipe))
    return partial


def _by_tar(reader: ShardReader) -> Iterator[tuple[str, list[ClipSource]]]:
    """Name and clips of every tar, in the order in which they lie there."""
    for number, path in enumerate(reader.tars):
        yield path.name, [ClipSource(reader, int(clip)) for clip in np.flatnonzero(reader.shard_of == number)]


def _record(partial: Path, tar: str) -> Path:
    """Says that a tar is complete, and what is in it."""
    return partial / WORK / f"{tar}.json"


def _pack(partial: Path, tar: str, clips: list[ClipSource], member: str) -> None:
    """Finished clips → a finished tar."""
    parts = [partial / WORK / clip.key for clip in clips]
    with whole(partial / tar) as temporary:
        size = write_tar(temporary, ((part.name, {member: part.read_bytes()}) for part in parts))
        places = [place for _, _, place in list_members(temporary)]
        digest = sha256_of(temporary)
    write_text(_record(partial, tar), json.dumps({"name": tar, "bytes": size, "sha256": digest, "places": places}))
    for part in parts:
        part.unlink()
