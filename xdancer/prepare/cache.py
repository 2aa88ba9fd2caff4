"""Finished clips on disk between the cutting and the shards, so that an interrupted run loses at most the clip in work."""

import json
from pathlib import Path

import numpy as np

from xdancer.errors import XDancerError
from xdancer.files import whole
from xdancer.types import ClipSample

BLOBS = ("video", "audio", "mask")


class ClipCache:
    """`FOLDER/KEY-SETTINGS.npz` per cut: its clip, or why there is none."""

    def __init__(self, folder: Path, settings_digest: str) -> None:
        self.folder, self.settings_digest = folder, settings_digest

    def path(self, key: str) -> Path:
        return self.folder / f"{key}-{self.settings_digest}.npz"

    def outcome(self, key: str) -> dict[str, object] | None:
        """{"frames": n} of a clip, {"reason": …} of a rejected cut, None if it was not finished (or its file is damaged)."""
        try:
            with np.load(self.path(key), allow_pickle=False) as stored:
                return json.loads(str(stored["outcome"]))
        except (OSError, ValueError, KeyError, EOFError):
            return None

    def load(self, key: str) -> ClipSample:
        """A finished clip."""
        with np.load(self.path(key), allow_pickle=False) as stored:
            features = {name.removeprefix("feature_"): stored[name] for name in stored.files if name.startswith("feature_")}
            blobs = {name: stored[name].tobytes() if name in stored.files else None for name in BLOBS}
            return ClipSample(key=key, pose=stored["pose"], features=features, meta=json.loads(str(stored["meta"])), **blobs)

    def store(self, sample: ClipSample) -> None:
        """Keep a finished clip."""
        arrays = {f"feature_{name}": value for name, value in sample.features.items()}
        arrays |= {name: np.frombuffer(data, np.uint8) for name in BLOBS if (data := getattr(sample, name)) is not None}
        arrays |= {"pose": sample.pose, "meta": np.array(json.dumps(sample.meta, allow_nan=False))}
        self._write(sample.key, {"frames": sample.frames}, arrays)

    def reject(self, key: str, reason: str) -> None:
        """Keep why a cut has no clip."""
        self._write(key, {"reason": reason}, {})

    def _write(self, key: str, outcome: dict[str, object], arrays: dict[str, np.ndarray]) -> None:
        target = self.path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole(target) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, outcome=np.array(json.dumps(outcome)), **arrays)
        except OSError as error:
            raise XDancerError(
                f"{target}: cannot be written ({error.strerror or error}). Free space and start again; finished clips are kept."
            ) from error
