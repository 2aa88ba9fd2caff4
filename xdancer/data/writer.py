"""Writing shards: standard WebDataset tars, an index of member offsets and a manifest; all or nothing."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from xdancer.data.manifest import SCHEMA_VERSION, FeatureInfo, Manifest, check_replaceable, complete_meta, meta_fault
from xdancer.data.members import AUDIO, FLOAT32_FEATURES, MASK, META, POSE, VIDEO, check_key, encode_array, encode_json
from xdancer.data.tar_output import TarOutput, sha256_of
from xdancer.data.tar_scan import tar_members
from xdancer.errors import ShardError
from xdancer.files import replace_folder
from xdancer.skeleton import KEYPOINT_COUNT
from xdancer.types import ClipSample

Features = Mapping[str, FeatureInfo] | Mapping[str, dict[str, Any]]
"""Width and version by name, as in a manifest or from `xdancer.audio.encoder.feature_table`."""


class ShardWriter:
    """Context manager that writes one split.

    Everything goes to a hidden folder beside the target, which takes the target's name only when the last byte is written; after an
    error or a full disk nothing of it remains. The same clips give the same bytes.

    Args:
        folder: the split's folder, such as `data/train`; must not hold shards unless `overwrite`.
        split: its name in the manifest.
        features: music features that every clip has (`xdancer.audio.encoder.feature_table`).
        licence: terms of the source material.
        samples_per_shard: clips per tar.
        overwrite: replace shards that lie there, once the new ones are complete; a folder with other files is refused.
        notes: kept in the manifest.

    Raises:
        ShardError: the folder is taken, a clip is invalid (the message names its key), nothing was written, or the disk is full.
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: str,
        features: Features,
        licence: str,
        samples_per_shard: int = 64,
        overwrite: bool = False,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder).absolute()
        self.split, self.licence, self.samples_per_shard, self.overwrite = split, licence, samples_per_shard, overwrite
        self.features: dict[str, FeatureInfo] = {
            name: {"width": int(info["width"]), "version": str(info["version"])} for name, info in features.items()
        }
        self.notes = dict(notes or {})
        self.temporary = self.folder.with_name(f".{self.folder.name}.partial")
        self._clips: dict[str, dict[str, Any]] = {}
        self._shards: list[dict[str, Any]] = []
        self._counts = dict.fromkeys(("frames", "video", "mask", "audio"), 0)
        self._in_shard = 0
        self._tar: TarOutput | None = None

    def __enter__(self) -> "ShardWriter":
        check_replaceable(self.folder)
        if self.folder.exists() and any(self.folder.iterdir()) and not self.overwrite:
            raise ShardError(f"{self.folder} already holds shards. Choose another --out.")
        try:
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary.mkdir(parents=True)
        except OSError as error:
            raise self._failed(error) from error
        return self

    def write(self, sample: ClipSample) -> None:
        """Add one clip."""
        members = encode_sample(sample, self.features)
        if sample.key in self._clips:
            raise ShardError(f"Clip key {sample.key!r} was written twice; keys are unique in a data set.")
        try:
            if self._tar is None:
                self._open_shard()
            assert self._tar is not None
            self._tar.write(sample.key, members)
            self._in_shard += 1
            if self._in_shard == self.samples_per_shard:
                self._close_shard()
        except OSError as error:
            raise self._failed(error) from error
        self._clips[sample.key] = {"key": sample.key, "shard": len(self._shards) - 1, "frames": sample.frames}
        self._counts["frames"] += sample.frames
        for name in ("video", "mask", "audio"):
            self._counts[name] += getattr(sample, name) is not None

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                if not self._clips:
                    raise ShardError(f"No clips to write to {self.folder}: shards need at least one.")
                check_replaceable(self.folder)  # once more: hours may have passed
                self._commit()
        except OSError as error:
            raise self._failed(error) from error
        finally:
            if self._tar is not None:
                self._tar.abandon()
                self._tar = None
            shutil.rmtree(self.temporary, ignore_errors=True)

    def _open_shard(self) -> None:
        name = f"shard-{len(self._shards):06d}.tar"
        self._shards.append({"name": name, "bytes": 0})
        self._tar = TarOutput(self.temporary / name)
        self._in_shard = 0

    def _close_shard(self) -> None:
        assert self._tar is not None
        self._shards[-1]["bytes"] = self._tar.finish()
        self._tar = None

    def _commit(self) -> None:
        if self._tar is not None:
            self._close_shard()
        digests = {}
        for shard in self._shards:
            path = self.temporary / shard["name"]
            digests[shard["name"]] = sha256_of(path)
            for key, member, place in list_members(path):
                self._clips[key].setdefault("members", {})[member] = place
        counts = {"clips": len(self._clips), "shards": len(self._shards), **self._counts}
        manifest = Manifest(self.split, self.features, self.licence, counts, digests, notes=self.notes)
        index = {"schema": SCHEMA_VERSION, "shards": self._shards, "clips": list(self._clips.values())}
        (self.temporary / "index.json").write_text(json.dumps(index, separators=(",", ":")) + "\n", encoding="utf-8")
        (self.temporary / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
        replace_folder(self.temporary, self.folder)

    def _failed(self, error: OSError) -> ShardError:
        reason = error.strerror or str(error)
        return ShardError(
            f"Cannot write shards to {self.folder}: {reason}. No part of them was left; free space and start again, or choose another --out."
        )


def encode_sample(sample: ClipSample, features: Features) -> dict[str, bytes]:
    """The members of a clip as they lie in a tar.

    Raises:
        ShardError: the clip would poison training or cannot be stored; names it.
    """
    check_sample(sample, features)
    members = {POSE: encode_array(sample.pose.astype(np.float32))}
    for name in features:
        with np.errstate(over="ignore"):
            stored = np.asarray(sample.features[name]).astype(np.float32 if name in FLOAT32_FEATURES else np.float16)
        if not np.isfinite(stored).all():
            raise ShardError(f"Clip {sample.key!r}: feature {name!r} does not fit {stored.dtype} (not finite). Leave the clip out.")
        members[f"{name}.npy"] = encode_array(stored)
    try:
        members[META] = encode_json(complete_meta(sample.meta))
    except (ValueError, TypeError) as error:
        raise ShardError(f"Clip {sample.key!r}: metadata cannot be written as JSON: {error}.") from error
    for name, data in ((VIDEO, sample.video), (MASK, sample.mask), (AUDIO, sample.audio)):
        if data is not None:
            members[name] = data
    return members


def check_sample(sample: ClipSample, features: Features) -> None:
    """Refuse a clip that would poison training.

    Raises:
        ShardError: bad key or metadata, wrong shapes, NaN, confidence outside [0, 1], missing or extra features; names the clip.
    """
    check_key(sample.key)
    fault = meta_fault(sample.meta)
    if fault is not None:
        raise ShardError(f"Clip {sample.key!r}: metadata {fault}.")
    pose = np.asarray(sample.pose)
    if pose.ndim != 3 or pose.shape[1:] != (KEYPOINT_COUNT, 3) or len(pose) == 0:
        raise ShardError(f"Clip {sample.key!r}: pose has shape {pose.shape}, needed is (frames, {KEYPOINT_COUNT}, 3).")
    if not np.isfinite(pose).all():
        frame = int(np.flatnonzero(~np.isfinite(pose).all(axis=(1, 2)))[0])
        raise ShardError(f"Clip {sample.key!r}: pose holds NaN or infinite values (first in frame {frame}). Repair or leave out the clip.")
    if pose[..., 2].min() < 0 or pose[..., 2].max() > 1:
        raise ShardError(f"Clip {sample.key!r}: confidence spans [{pose[..., 2].min():.3g}, {pose[..., 2].max():.3g}], needed is [0, 1].")
    if set(sample.features) != set(features):
        raise ShardError(f"Clip {sample.key!r} has features {sorted(sample.features)}, the split has {sorted(features)}.")
    for name, info in features.items():
        array = np.asarray(sample.features[name])
        if array.shape != (len(pose), info["width"]):
            raise ShardError(f"Clip {sample.key!r}: feature {name!r} has shape {array.shape}, needed is ({len(pose)}, {info['width']}).")


def list_members(path: Path) -> list[tuple[str, str, list[int]]]:
    """(key, member, [offset, size]) of every file in a tar, in order."""
    entries = [(entry.name.partition("."), [entry.offset, entry.size]) for entry in tar_members(path)]
    return [(name[0], name[2], place) for name, place in entries]
