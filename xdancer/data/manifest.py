"""What a shard folder says about itself: `manifest.json`, and the metadata that every clip carries in `KEY.meta.json`."""

import itertools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from xdancer.errors import ShardError
from xdancer.strict import read_json_file
from xdancer.types import FPS

SCHEMA_VERSION = 1
"""Raised whenever older readers would misread the shards."""
WIDEST_ROW = 2**24
"""Numbers that a frame has in one array at most: latents of 4096² pictures."""
LARGEST_SIDE = 32768
"""Pixels of a clip's width or height at most."""
KEYPOINT_LAYOUT = "openpose18+hands42"
SHARD_FILES = re.compile(r"manifest\.json|index\.json|shard-\d+\.tar")
"""The files of a split's folder."""
FEATURES, DERIVED = "features", "derived.json"
"""Sub-folder of a split with a folder for each feature added to it, and the file that describes one."""
MAKE_SHARDS = "Make shards with `xdancer prepare VIDEO_DIR --out data` or `xdancer embedded --out data/demo`."
"""The next step in every message about missing shards."""


class ClipMeta(TypedDict):
    """`KEY.meta.json`. Seconds count from the first frame of the clip."""

    source: str
    """Where the clip comes from: file name and time range, or generator and seed."""
    song: str
    """Song group; splits never share one."""
    width: int
    height: int
    beats: list[float]
    """Music beats in s, ascending."""
    tempo: float
    """BPM; 0 if there are no beats."""
    aspect: NotRequired[float]
    """width / height; filled in by the writer."""
    fps: NotRequired[int]
    """30; filled in by the writer."""
    span: NotRequired[list[float]]
    """First and last moment (s) in the source video."""
    style: NotRequired[str | None]
    identity: NotRequired[str | None]
    phrase: NotRequired[str | None]
    detector: NotRequired[str]
    """Name and version of what found the pose; `exact` for generated clips."""
    confidence: NotRequired[str]
    """`absent` where the poses came from a file without confidences: those in the pose are then 1 (there) or 0 (missing), not measured."""
    quality: NotRequired[dict[str, Any]]
    licence: NotRequired[str]


class FeatureInfo(TypedDict):
    """One music feature of a shard folder."""

    width: int
    version: str


def meta_fault(meta: Mapping[str, Any]) -> str | None:
    """What a clip's metadata lacks (a required key, or a possible value of it), or None."""
    for name in ("source", "song"):
        if not isinstance(meta.get(name), str) or not meta[name]:
            return f"needs a text {name!r}, got {meta.get(name)!r:.60}"
    for name in ("width", "height"):
        if not isinstance(meta.get(name), int) or not 1 <= meta[name] <= LARGEST_SIDE:
            return f"needs a whole number {name!r} from 1 to {LARGEST_SIDE} (pixels), got {meta.get(name)!r:.60}"
    beats = meta.get("beats")
    if not isinstance(beats, list) or not all(isinstance(beat, int | float) and math.isfinite(beat) for beat in beats):
        return f"needs a list of beat times in seconds 'beats', got {beats!r:.60}"
    if any(later < earlier for earlier, later in itertools.pairwise(beats)):
        return "needs ascending beat times"
    if not isinstance(meta.get("tempo"), int | float) or not math.isfinite(meta["tempo"]):
        return f"needs a number 'tempo' (BPM), got {meta.get('tempo')!r:.60}"
    if meta.get("fps", FPS) != FPS:
        return f"says {meta['fps']!r:.60} frames per second, shards hold {FPS}"
    return None


def complete_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of sound metadata with `aspect` and `fps` filled in; other keys pass through."""
    return {**meta, "fps": FPS, "aspect": meta["width"] / meta["height"]}


@dataclass(frozen=True)
class Manifest:
    """`manifest.json` of one split."""

    split: str
    features: dict[str, FeatureInfo]
    """Music features that every clip has."""
    licence: str
    """Terms of the source material."""
    counts: dict[str, int]
    """clips, frames, shards, and how many clips carry video, mask and audio."""
    sha256: dict[str, str]
    """By tar file name."""
    fps: int = FPS
    keypoints: str = KEYPOINT_LAYOUT
    schema: int = SCHEMA_VERSION
    notes: dict[str, Any] = field(default_factory=dict)
    """What the maker of the data wants to keep (seed, command, report)."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a split folder, checked against what this version reads.

    Raises:
        ShardError: missing, damaged, of another schema version, frame rate or keypoint layout.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ShardError(f"No shards in {folder}: {_what_is_there(folder)}. {MAKE_SHARDS}")
    data = read_json(path)
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA_VERSION:
        raise ShardError(
            f"{path} has shard schema version {found!r}, this xdancer reads version {SCHEMA_VERSION}. "
            "Make the shards again, or use the xdancer version that wrote them."
        )
    try:
        manifest = Manifest(**data)
        for name in ("features", "counts", "sha256", "notes"):
            if not isinstance(getattr(manifest, name), dict):
                raise TypeError(f"{name!r} is no table")
        for name, info in manifest.features.items():
            if not isinstance(info, dict) or not isinstance(info.get("width"), int) or not 1 <= info["width"] <= WIDEST_ROW:
                raise TypeError(f"feature {name!r} has no width from 1 to {WIDEST_ROW}")
    except TypeError as error:
        raise ShardError(f"{path} is damaged: {error}. Make the shards again.") from error
    if manifest.fps != FPS or manifest.keypoints != KEYPOINT_LAYOUT:
        raise ShardError(
            f"{path} holds {manifest.fps!r} frames per second with keypoints {manifest.keypoints!r}; "
            f"this xdancer reads {FPS} with {KEYPOINT_LAYOUT!r}. Make the shards again."
        )
    return manifest


def splits_in(folder: Path) -> list[Path]:
    """The folder itself if it is a split, else the splits in it.

    Raises:
        ShardError: there is none.
    """
    folder = Path(folder)
    found = [folder] if (folder / "manifest.json").is_file() else sorted(path.parent for path in folder.glob("*/manifest.json"))
    if not found:
        if re.match(r"[a-z0-9]+:/[^/]", folder.as_posix()):  # what Path makes of an address
            raise ShardError(f"{folder}: is an address, and this command reads folders. `xdancer doctor ADDRESS` looks at remote shards.")
        state = "neither it nor its sub-folders have a manifest.json" if folder.is_dir() else _what_is_there(folder)
        raise ShardError(f"No shards in {folder}: {state}. {MAKE_SHARDS}")
    return found


def check_replaceable(folder: Path) -> None:
    """Refuse to replace anything but shards: a folder may be absent, empty, or hold a split with features added to it and nothing else.

    Raises:
        ShardError: names what else is there.
    """
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir())
        foreign = [name for name in names if not SHARD_FILES.fullmatch(name) and not _added_features(folder / name)]
        if names and not foreign and not _is_manifest(folder / "manifest.json"):
            foreign = names
    else:
        foreign = [folder.name] if folder.exists() else []
    if foreign:
        raise ShardError(
            f"{folder} holds what is no shards ({', '.join(foreign[:3])}{', …' * (len(foreign) > 3)}), which is never overwritten. "
            "Choose another --out, or move it away."
        )


def _added_features(folder: Path) -> bool:
    """Whether this is a split's folder of added features, finished or not."""
    if folder.name != FEATURES or not folder.is_dir():
        return False
    return all(path.name.startswith(".") or (path / DERIVED).is_file() for path in folder.iterdir())


def _is_manifest(path: Path) -> bool:
    try:
        return "schema" in read_json(path)
    except (ShardError, TypeError):
        return False


def read_json(path: Path) -> Any:
    """A JSON file; NaN and infinities are refused.

    Raises:
        ShardError: missing, not JSON, nested too deeply or too large.
    """
    try:
        return read_json_file(path)
    except (OSError, ValueError) as error:
        raise ShardError(f"Cannot read {path}: {error}. The folder is incomplete or damaged; make or copy the shards again.") from error


def _what_is_there(folder: Path) -> str:
    if not folder.is_dir():
        return "it is a file, not a folder" if folder.is_file() else "the folder does not exist"
    splits = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
    if splits:
        return f"this is a folder of splits ({', '.join(splits)}); name one of them"
    return "it has no manifest.json" if any(folder.iterdir()) else "the folder is empty"
