"""What decides how a clip comes out; clips made with equal settings from equal videos are equal."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from xdancer.audio.encoder import FEATURE_WIDTHS
from xdancer.device import DeviceName
from xdancer.errors import XDancerError
from xdancer.pose.detector import DetectorName

SplitMode = Literal["song", "frames"]
SongIdentity = Literal["music", "name"]
People = Literal["largest", "each"]
CLIP_VERSION = 4
"""Raised whenever a clip of the same video comes out differently."""


@dataclass(frozen=True)
class PrepareSettings:
    """Settings of one run of `xdancer prepare`."""

    width: int = 512
    """Of the clips' pictures, in pixels (paper: 512)."""
    height: int = 896
    """Of the clips' pictures, in pixels (paper: 896)."""
    min_seconds: float = 5.0
    """Shorter videos, and shorter stretches with a person, are left out (paper: 5)."""
    max_seconds: float = 20.0
    """Longer videos are cut into equal clips."""
    margin: float = 0.08
    """Room around the union of all keypoints, as a share of its height; half as much again above the head."""
    min_person: int = 100
    """The union of all keypoints must be at least this high, in pixels of the video."""
    min_side: int = 120
    """Shorter side of the video, in pixels (the paper gives no number)."""
    min_sharpness: float = 3.0
    """Variance of the Laplacian inside the person's box, at the clip's size (the paper gives no measure)."""
    max_people: int = 4
    """Seen together in a tenth of the pictures (paper: 1)."""
    min_box_share: float = 0.02
    """Area of the box around the body, as a share of the picture's (paper: 0.275)."""
    max_camera_motion: float = 20.0
    """Deviation of the background's grey levels (0 … 255) over the clip (paper: 20)."""
    features: tuple[str, ...] = ("librosa", "musicnn")
    detector: DetectorName = "mediapipe"
    pose_weights: Path | None = None
    person_weights: Path | None = None
    device: DeviceName = "auto"
    people: People = "largest"
    """Of several people the one who fills the most of the pictures, or a clip of each."""
    source_fps: float | None = None
    """True frame rate of videos whose containers lie; None trusts the time stamps."""
    audio_offset: float = 0.0
    """Seconds by which the sound is delayed against what the files say; negative where it comes too late."""
    shot_threshold: float = 3.0
    """A picture that differs from the one before this many times as much as its neighbours do begins a new shot; 0: all is one shot."""

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if value < 32 or value % 2:
                raise XDancerError(f"--{name} {value}: must be even and at least 32.")
        if not 1 <= self.min_seconds <= self.max_seconds:
            raise XDancerError(f"--min-seconds {self.min_seconds:g} --max-seconds {self.max_seconds:g}: needed is 1 ≤ min ≤ max.")
        for name in ("min_side", "min_sharpness", "max_people", "min_box_share", "max_camera_motion", "min_person"):
            if not getattr(self, name) >= 0:
                raise XDancerError(f"--{name.replace('_', '-')} {getattr(self, name):g}: must not be negative.")
        if not 0 <= self.margin <= 1:
            raise XDancerError(f"--margin {self.margin:g}: a share of the person's height, between 0 and 1.")
        if self.source_fps is not None and not 1 <= self.source_fps <= 1000:
            raise XDancerError(f"--source-fps {self.source_fps:g}: must lie in 1 … 1000.")
        if not abs(self.audio_offset) <= 60:
            raise XDancerError(f"--audio-offset {self.audio_offset:g}: seconds, between -60 and 60.")
        if not 0 <= self.shot_threshold <= 255:
            raise XDancerError(f"--shot-threshold {self.shot_threshold:g}: between 0 (no shots are looked for) and 255.")
        unknown = [name for name in self.features if name not in FEATURE_WIDTHS]
        if unknown or not self.features:
            raise XDancerError(f"--features {','.join(unknown)}: unknown music feature. Choose among {', '.join(FEATURE_WIDTHS)}.")

    def digest(self, detector_version: str) -> str:
        """Changes with everything that changes a clip: weights by their content, not the device."""
        weights = [path and file_digest(path) for path in (self.pose_weights, self.person_weights)]
        facts = {
            **asdict(self), "pose_weights": weights[0], "person_weights": weights[1], "device": None,
            "detector_version": detector_version, "clip_version": CLIP_VERSION,
        }  # fmt: skip
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """sha256 of a file.

    Raises:
        XDancerError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise XDancerError(f"{path}: cannot be read ({error.strerror or error}). Check its permissions.") from error
