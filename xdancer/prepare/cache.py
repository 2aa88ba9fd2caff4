"""Finished clips on disk between the cutting and the shards, so that an interrupted run loses at most the clip in work."""

import json
import zipfile
from pathlib import Path

import numpy as np

from xdancer.errors import XDancerError
from xdancer.files import whole
from xdancer.types import ClipSample

BLOBS = ("video", "audio", "mask")
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What reading a damaged file raises."""


class ClipCache:
    """`FOLDER/KEY-SETTINGS.npz` per finished clip. Cuts without a clip are not remembered: another start tries them again."""

    def __init__(self, folder: Path, settings_digest: str) -> None:
        self.folder, self.settings_digest = folder, settings_digest

    def path(self, key: str) -> Path:
        return self.folder / f"{key}-{self.settings_digest}.npz"

    def frames(self, key: str) -> int | None:
        """Frames of a finished clip, None if there is none (or its file is damaged)."""
        try:
            with self.path(key).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return int(stored["frames"])
        except DAMAGE:
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

    def store(self, sample: ClipSample) -> None:
        """Keep a finished clip."""
        arrays = {f"feature_{name}": value for name, value in sample.features.items()}
        arrays |= {name: np.frombuffer(data, np.uint8) for name in BLOBS if (data := getattr(sample, name)) is not None}
        arrays |= {"pose": sample.pose, "meta": np.array(json.dumps(sample.meta, allow_nan=False)), "frames": np.array(sample.frames)}
        target = self.path(sample.key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole(target) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        except OSError as error:
            raise XDancerError(
                f"{target}: cannot be written ({error.strerror or error}). Free space and start again; finished clips are kept."
            ) from error
