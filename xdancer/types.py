"""What passes through the doors between rooms: frozen dataclasses, one per border, shapes in the types, checks on entry."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from xdancer.skeleton import KEYPOINT_COUNT

FPS = 30
"""Every per-frame quantity of the system (pose, music features, tokens, video) is sampled at this rate."""


@dataclass(frozen=True)
class ClipSample:
    """One clip as it lies in a shard: arrays on the CPU, video and audio still encoded."""

    key: str
    """Unique within the data set; only letters, digits, `_` and `-`."""
    pose: NDArray[np.float32]
    """(frame, 60, 3): x, y in the coordinates of `PoseBatch`, confidence in [0, 1]."""
    features: Mapping[str, NDArray[Any]]
    """Music features by encoder name, each (frame, width)."""
    meta: Mapping[str, Any]
    """JSON object; keys in `xdancer.data.manifest.ClipMeta`."""
    video: bytes | None = None
    """H.264 mp4 at 30 fps, one picture per frame, no sound."""
    audio: bytes | None = None
    """AAC m4a, starting at the clip's first frame."""
    mask: bytes | None = None
    """H.264 mp4 of the person mask (white = person), one picture per frame."""

    @property
    def frames(self) -> int:
        return len(self.pose)


@dataclass(frozen=True)
class PoseBatch:
    """Whole-body poses. Origin at the image centre, unit = half the image height, x right, y down."""

    keypoints: Float[Tensor, "batch frame keypoint 2"]
    confidence: Float[Tensor, "batch frame keypoint"]

    def __post_init__(self) -> None:
        if self.keypoints.shape != (*self.confidence.shape, 2) or self.confidence.shape[-1] != KEYPOINT_COUNT:
            raise ValueError(
                f"PoseBatch needs keypoints (batch, frame, {KEYPOINT_COUNT}, 2) with confidence (batch, frame, {KEYPOINT_COUNT}), "
                f"got {tuple(self.keypoints.shape)} and {tuple(self.confidence.shape)}."
            )

    def to(self, device: torch.device | str) -> "PoseBatch":
        return replace(self, keypoints=self.keypoints.to(device), confidence=self.confidence.to(device))

    def frames(self, index: slice) -> "PoseBatch":
        """The poses of some frames."""
        return PoseBatch(self.keypoints[:, index], self.confidence[:, index])

    @staticmethod
    def from_array(pose: NDArray[np.float32]) -> "PoseBatch":
        """A batch of one clip from its (frame, 60, 3) array."""
        tensor = torch.from_numpy(np.ascontiguousarray(pose, dtype=np.float32))[None]
        return PoseBatch(tensor[..., :2], tensor[..., 2])

    def to_array(self, item: int = 0) -> NDArray[np.float32]:
        """(frame, 60, 3) of one item of the batch."""
        return torch.cat([self.keypoints[item], self.confidence[item, ..., None]], dim=-1).detach().cpu().float().numpy()


@dataclass(frozen=True)
class MusicFeatures:
    """Music features by encoder name, one row per video frame."""

    features: Mapping[str, Float[Tensor, "batch frame _"]]
    beats: Bool[Tensor, "batch frame"]
    """True on the frames that hold a music beat."""

    def __post_init__(self) -> None:
        for name, value in self.features.items():
            if value.shape[:2] != self.beats.shape:
                raise ValueError(f"Music feature {name!r} has shape {tuple(value.shape)}, beats {tuple(self.beats.shape)}: they must agree.")

    def to(self, device: torch.device | str) -> "MusicFeatures":
        return MusicFeatures({name: value.to(device) for name, value in self.features.items()}, self.beats.to(device))


@dataclass(frozen=True)
class MotionTokens:
    """Motion tokens, parts in the order of `BodyPart`."""

    ids: Int[Tensor, "batch frame part slot"]

    def __post_init__(self) -> None:
        if self.ids.ndim != 4:
            raise ValueError(f"MotionTokens needs ids (batch, frame, part, slot), got {tuple(self.ids.shape)}.")

    def to(self, device: torch.device | str) -> "MotionTokens":
        return MotionTokens(self.ids.to(device))


def _moved(batch: Any, names: tuple[str, ...], device: torch.device | str) -> Any:
    """The batch with some of its fields on a device; those that are None stay so."""
    return replace(batch, **{name: None if getattr(batch, name) is None else getattr(batch, name).to(device) for name in names})


@dataclass(frozen=True)
class DanceBatch:
    """Stage 2: a stretch of dance whose last frames are the segment to predict, with the music of all of it.

    The dance is given as poses or as their tokens. Its frame axis is `[history … , segment]`; `music` runs on for `lookahead` further
    frames. `context_index` names the frames of the history that become motion context.
    """

    pose: PoseBatch | None
    music: MusicFeatures
    context_index: Int[Tensor, "batch context"]
    """Positions on the frame axis of the dance, all inside the history, ascending."""
    has_context: Bool[Tensor, " batch"]
    """False where the clip has no frames before the segment (the history is padding)."""
    segment_frames: int
    """How many frames at the end of the dance are the segment."""
    style: Int[Tensor, " batch"] | None = None
    """Number of each clip's style in a list that the data module was given; -1 where the clip's style is none of them."""
    tokens: MotionTokens | None = None
    """Instead of `pose`: tokens of the same frames, from tokenised shards; -1 in the padding."""

    def __post_init__(self) -> None:
        if (self.pose is None) == (self.tokens is None):
            raise ValueError(f"DanceBatch needs either pose or tokens, got {'both' if self.pose is not None else 'neither'}.")

    @property
    def frames(self) -> int:
        """Frames of history and segment together."""
        if self.tokens is not None:
            return self.tokens.ids.shape[1]
        assert self.pose is not None
        return self.pose.confidence.shape[1]

    def to(self, device: torch.device | str) -> "DanceBatch":
        return _moved(self, ("pose", "music", "context_index", "has_context", "style", "tokens"), device)


@dataclass(frozen=True)
class VideoLatents:
    """What stage 3's frozen networks make of a sample's pictures, computed before training."""

    reference: Float[Tensor, "batch channel rows columns"]
    """Of the portrait: the posterior's mean."""
    frames: Float[Tensor, "batch frame channel rows columns"]
    """Mean."""
    deviation: Float[Tensor, "batch frame channel rows columns"]
    """Standard deviation of the posterior around `frames`."""
    embedding: Float[Tensor, "batch width"] | None = None
    """Image embedding of the portrait."""

    def to(self, device: torch.device | str) -> "VideoLatents":
        return _moved(self, ("reference", "frames", "deviation", "embedding"), device)


@dataclass(frozen=True)
class VideoBatch:
    """Stage 3: a portrait and the frames to render, RGB in [-1, 1]. With `latents`, training pictures are left out (0 × 0)."""

    reference: Float[Tensor, "batch 3 height width"]
    reference_pose: PoseBatch
    """One frame: the pose in the portrait."""
    frames: Float[Tensor, "batch frame 3 height width"]
    pose: PoseBatch
    """Poses of `pose_frames ≥ frame` consecutive frames around the pictures; `frame_index` says where the pictures are."""
    frame_index: Int[Tensor, "batch frame"]
    reference_mask: Float[Tensor, "batch 1 height width"] | None = None
    mask: Float[Tensor, "batch frame 1 height width"] | None = None
    tokens: MotionTokens | None = None
    """Tokens of the same frames as `pose`, where the shards hold them; else the module tokenises."""
    clip: Int[Tensor, " batch"] | None = None
    """Number of the clip inside its split: windows of one clip are no independent samples."""
    latents: VideoLatents | None = None

    def to(self, device: torch.device | str) -> "VideoBatch":
        names = ("reference", "reference_pose", "frames", "pose", "frame_index", "reference_mask", "mask", "tokens", "clip", "latents")
        return _moved(self, names, device)


@dataclass(frozen=True)
class MotionSample:
    """A generated dance."""

    tokens: MotionTokens
    pose: PoseBatch
    seed: int | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoSample:
    """Rendered frames, RGB in [-1, 1]."""

    frames: Float[Tensor, "batch frame 3 height width"]
