"""Derived shards: one further member of every clip of a split (an added feature, motion tokens), in tars of their own.

A folder holds one tar for each of the split's, with the same name and the same clips in the same order, and `derived.json`. The split's own
tars are never touched, and a plain `webdataset.WebDataset` reads the derived ones, too.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xdancer.data.manifest import DERIVED, WIDEST_ROW, Manifest, read_json
from xdancer.data.remote import RemoteFolder
from xdancer.data.tars import TarFiles
from xdancer.data.transfer import beside, is_remote, within_folder
from xdancer.errors import ShardError

DERIVED_SCHEMA = 1
"""Raised whenever older readers would misread derived shards."""


@dataclass(frozen=True)
class DerivedManifest:
    """`derived.json`."""

    member: str
    """What every clip has here, such as `jukebox.npy`."""
    base: str
    """`base_digest` of the split."""
    maker: dict[str, Any]
    """What made it: width and version of a feature; fingerprint and config of a tokenizer."""
    shards: list[dict[str, Any]]
    """name, bytes and sha256 of every tar, by the number of the split's."""
    places: list[list[int]]
    """Offset and size of the member in its tar, by number of the clip."""
    schema: int = DERIVED_SCHEMA

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False) + "\n"

    def fault(self, base: Manifest, clips_of: list[int]) -> str | None:
        """Why it does not belong to a split with that manifest and that many clips in each tar, or None."""
        if self.base != base_digest(base):
            return "was made from other shards than those it is read with"
        if len(self.shards) != len(clips_of) or len(self.places) != sum(clips_of):
            return f"has {len(self.places)} clips in {len(self.shards)} tars, its split {sum(clips_of)} in {len(clips_of)}"
        return None


def base_digest(manifest: Manifest) -> str:
    """Name of a split's content: sha256 over the checksums of its tars."""
    return hashlib.sha256(json.dumps(manifest.sha256, sort_keys=True).encode()).hexdigest()


def derived_of(split: Path | str, place: str) -> Path | str:
    """Folder or address of what is derived from a split.

    Args:
        split: folder or address of the split.
        place: an ending of the split's folder, such as `.tokens` (data/train → data/train.tokens), or a folder that holds one for each split
            (tokens/a → tokens/a/train).
    """
    address = str(split).rstrip("/")
    if place.startswith(".") and "/" not in place:
        return beside(address, place) if is_remote(address) else Path(address + place)
    split_name = address.partition("/{}")[0].rpartition("/")[2]
    whole = within_folder(place.rstrip("/"), split_name)
    return whole if is_remote(whole) else Path(whole)


class Derived:
    """Derived shards of a split, open for reading.

    Args:
        folder: where they lie, or are fetched to.
        base: the split's manifest.
        clips_of: clips in each of the split's tars.
        remote: where they are fetched from; None for a folder of this machine.
        address: their folder behind `remote`, if not its root.

    Raises:
        ShardError: not there, damaged, of another schema, or made from other shards.
    """

    def __init__(self, folder: Path, base: Manifest, clips_of: list[int], *, remote: RemoteFolder | None = None, address: str = "") -> None:
        self.folder = folder
        if remote is not None:
            remote.fetch(address + DERIVED)
        self.manifest = read_derived(folder)
        fault = self.manifest.fault(base, clips_of)
        if fault is not None:
            raise ShardError(f"{folder} {fault}. Make it again.")
        names, sizes = [shard["name"] for shard in self.manifest.shards], [shard["bytes"] for shard in self.manifest.shards]
        sha256 = {shard["name"]: shard["sha256"] for shard in self.manifest.shards}
        self.tars = TarFiles(folder, names, sizes, sha256=sha256, remote=remote, address=address)
        if missing := self.tars.missing():
            raise ShardError(f"{folder} is incomplete: {', '.join(missing[:3])} missing of {len(names)} tars. Copy or make them again.")


def read_derived(folder: Path) -> DerivedManifest:
    """`derived.json` of a folder.

    Raises:
        ShardError: missing, damaged or of another schema.
    """
    if not (folder / DERIVED).is_file():
        raise ShardError(
            f"{folder} has no {DERIVED}: it was not made, or not to the end, by `xdancer tokenize`, `cache-latents` or `features`."
        )
    data = read_json(folder / DERIVED)
    try:
        if data["schema"] != DERIVED_SCHEMA:
            raise ShardError(f"{folder / DERIVED} has schema version {data['schema']!r}, this xdancer reads version {DERIVED_SCHEMA}.")
        manifest = DerivedManifest(**data)
        for shard in manifest.shards:
            if Path(shard["name"]).name != shard["name"] or not isinstance(shard["sha256"], str) or not isinstance(shard["bytes"], int):
                raise ValueError(f"{shard!r:.80} is no tar")
        row = manifest.maker.get("row", [])
        if not all(isinstance(length, int) and length >= 1 for length in row) or math.prod(row) > WIDEST_ROW:
            raise ValueError(f"rows of {row!r:.80} numbers")
        if not all(1 <= manifest.maker.get(name, 1) <= 2**16 for name in ("parts", "slots", "codes")):
            raise ValueError("impossible sizes of motion tokens")
        if not all(len(place) == 2 and all(isinstance(value, int) and value >= 0 for value in place) for place in manifest.places):
            raise ValueError("a place is an offset and a size")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ShardError(f"{folder / DERIVED} is damaged: {error!r:.200}. Make it again.") from error
    return manifest
