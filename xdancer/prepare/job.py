"""What one run is asked for, and what became of each video: plain data, so that a part made elsewhere can bring its own along."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xdancer.audio.encoder import feature_table
from xdancer.data.manifest import FeatureInfo
from xdancer.pose.detector import PoseDetector
from xdancer.prepare.settings import PrepareSettings, SongIdentity, SplitMode
from xdancer.prepare.shots import shot_finder
from xdancer.prepare.sources import Source
from xdancer.prepare.split import assign_splits


@dataclass(frozen=True)
class SplitChoice:
    """How clips are shared out to train, val and test."""

    by: SplitMode = "song"
    val: float = 0.1
    test: float = 0.1
    songs: SongIdentity = "music"
    """What makes two videos one song where no groups file says it: the same music, or an equal name."""

    def __post_init__(self) -> None:
        assign_splits({}, self.by, val=self.val, test=self.test)  # wrong shares are refused before the work


@dataclass(frozen=True)
class Job:
    """Equal jobs give equal shards."""

    sources: tuple[Source, ...]
    settings: dict[str, Any]
    """Plain data."""
    settings_digest: str
    """Of all that decides how a clip comes out."""
    features: dict[str, FeatureInfo]
    detector: str
    """Name and version."""
    device: str
    split: SplitChoice
    licence: str
    versions: dict[str, str]
    fingerprint: str
    """Of videos, songs, settings and split."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; where the videos lie is not part of it."""
        rows = [[source.name, source.song, source.digest, source.named] for source in self.sources]
        return {**asdict(self), "sources": rows}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Job":
        """The inverse.

        Raises:
            TypeError, KeyError, ValueError: not such data.
        """
        sources = tuple(Source(Path(name), name, song, digest, named) for name, song, digest, named in data["sources"])
        return cls(**{**data, "sources": sources, "split": SplitChoice(**data["split"])})


def describe_job(sources: Sequence[Source], settings: PrepareSettings, detector: PoseDetector, split: SplitChoice, licence: str) -> Job:
    """The job of these videos with these settings.

    Raises:
        XDancerError: a music feature or weights that cannot be had.
        MissingPackageError: shots are looked for and PySceneDetect is not installed.
    """
    table = feature_table(settings.features, device=settings.device)
    features: dict[str, FeatureInfo] = {entry: {"width": int(row["width"]), "version": str(row["version"])} for entry, row in table.items()}
    name = f"{detector.name} {detector.version}"
    digest = settings.digest(f"{name} {features} {shot_finder(settings)}")
    choice = f"{split.by} {split.val} {split.test} {split.songs}" if split.by == "song" else f"{split.by} {split.songs}"
    rows = [f"{source.name} {source.song} {source.named} {source.digest}" for source in sources]
    fingerprint = hashlib.sha256("\n".join([*rows, digest, choice, licence]).encode()).hexdigest()[:16]
    versions = {package: _version(package) for package in ("xdancer", "av", "numpy", "pillow")}
    plain = {name: _plain(value) for name, value in asdict(settings).items()}
    return Job(tuple(sources), plain, digest, features, name, detector.device, split, licence, versions, fingerprint)


@dataclass(frozen=True)
class CutRecord:
    """What became of one cut."""

    key: str
    start: float
    stop: float
    frames: int = 0
    """Of its clip; 0 if there is none."""
    reason: str = ""
    """Why there is none."""


@dataclass(frozen=True)
class VideoRecord:
    """What became of one video."""

    video: str
    cuts: tuple[CutRecord, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why the whole video was left out."""
    notes: tuple[str, ...] = ()
    quarantined: str = ""
    """Why it was put in quarantine; it has no clips then."""

    @property
    def clips(self) -> list[CutRecord]:
        """Its finished clips."""
        return [cut for cut in self.cuts if cut.frames]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "VideoRecord":
        """From `dataclasses.asdict`.

        Raises:
            TypeError, KeyError: not such data.
        """
        cuts = tuple(CutRecord(**cut) for cut in data["cuts"])
        return cls(**{**data, "cuts": cuts, "reasons": tuple(data["reasons"]), "notes": tuple(data["notes"])})


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
