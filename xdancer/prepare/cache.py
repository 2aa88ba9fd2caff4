"""Finished work on disk between the cutting and the shards, so that an interrupted run loses at most the clips in work."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xdancer.errors import XDancerError
from xdancer.files import write_bytes
from xdancer.prepare.sources import Cut, Source
from xdancer.types import ClipSample

BLOBS = ("video", "audio", "mask")
DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class Rejection:
    """Why a cut became no clip."""

    reason: str
    """Empty where there was nothing to expect."""
    final: bool = True
    """Another try would end alike; what was unexpected is tried again by the next start."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What was measured on it, as in a clip's `quality`."""
    picture: str = ""
    """A small JPEG from its middle, in base64."""


@dataclass(frozen=True)
class Plan:
    """The cuts of a video, or why there are none."""

    cuts: tuple[Cut, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What looks odd about the video."""
    music: str = ""
    """Fingerprint of its sound (`songs.hear`)."""


def pack_clip(sample: ClipSample) -> bytes:
    """A clip as the bytes of one file (`numpy.savez`, nothing pickled)."""
    arrays = {f"feature_{name}": value for name, value in sample.features.items()}
    arrays |= {name: np.frombuffer(data, np.uint8) for name in BLOBS if (data := getattr(sample, name)) is not None}
    arrays |= {"pose": sample.pose, "meta": np.array(json.dumps(sample.meta, allow_nan=False)), "frames": np.array(sample.frames)}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


class ClipCache:
    """`FOLDER/KEY-SETTINGS.npz` for each finished clip, `.json` for a cut that became none; `plan-VIDEO-SETTINGS.json` for the cuts."""

    def __init__(self, folder: Path, settings_digest: str) -> None:
        self.folder, self.settings_digest = folder, settings_digest

    def path(self, key: str) -> Path:
        return self.folder / f"{key}-{self.settings_digest}.npz"

    def outcome(self, key: str) -> int | Rejection | None:
        """Frames of a finished clip, why there is none, or None where that is not known yet (or its file is damaged)."""
        try:
            with self.path(key).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return int(stored["frames"])
        except DAMAGE:
            rejection = self.rejection(key)
            return rejection if rejection is not None and rejection.final else None

    def rejection(self, key: str) -> Rejection | None:
        """Why there is no clip, as far as known."""
        row = _read(self.path(key).with_suffix(".json"))
        try:
            return None if row is None else Rejection(**row)
        except TypeError:
            return None

    def load(self, key: str) -> ClipSample:
        """A finished clip.

        Raises:
            XDancerError: its file is damaged; it is removed, so that another start makes the clip anew.
        """
        path = self.path(key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                features = {name.removeprefix("feature_"): stored[name] for name in stored.files if name.startswith("feature_")}
                blobs = {name: stored[name].tobytes() if name in stored.files else None for name in BLOBS}
                return ClipSample(key=key, pose=stored["pose"], features=features, meta=json.loads(str(stored["meta"])), **blobs)
        except DAMAGE as error:
            path.unlink(missing_ok=True)
            raise XDancerError(f"{path}: damaged, and removed ({error}). Start again: only this clip is made anew.") from error

    def store(self, key: str, made: bytes | Rejection) -> None:
        """Keep what became of a cut."""
        if isinstance(made, bytes):
            self._write(self.path(key), made)
        else:
            self._write(self.path(key).with_suffix(".json"), json.dumps(asdict(made), allow_nan=False).encode())

    def plan(self, source: Source) -> Plan | None:
        """The cuts of a video that were planned before."""
        row = _read(self._plan_path(source))
        try:
            if row is None:
                return None
            return Plan(tuple(Cut(source, **cut) for cut in row["cuts"]), notes=tuple(row["notes"]), music=str(row["music"]))
        except (TypeError, KeyError):
            return None

    def store_plan(self, source: Source, plan: Plan) -> None:
        """Keep the cuts of a video; a video without any is looked at again by the next start."""
        if plan.cuts:
            cuts = [{name: value for name, value in asdict(cut).items() if name != "source"} for cut in plan.cuts]
            self._write(self._plan_path(source), json.dumps({"cuts": cuts, "notes": plan.notes, "music": plan.music}, allow_nan=False).encode())

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Clips that are not there, or damaged."""
        return [key for key in keys if not isinstance(self.outcome(key), int)]

    def _plan_path(self, source: Source) -> Path:
        return self.folder / f"plan-{source.digest[:16]}-{self.settings_digest}.json"

    def _write(self, target: Path, content: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(target, content)
        except OSError as error:
            raise XDancerError(
                f"{target}: cannot be written ({error.strerror or error}). Free space and start again; finished clips are kept."
            ) from error


def _read(path: Path) -> dict[str, Any] | None:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if isinstance(row, dict) else None
