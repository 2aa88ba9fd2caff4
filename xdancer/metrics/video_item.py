"""What the video figures need of one clip."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from xdancer.errors import XDancerError


@dataclass(frozen=True)
class VideoItem:
    """One self-driven clip: what was rendered from a portrait and the true poses, and what is true. Pictures are RGB, 8 bit."""

    key: str
    portrait: UInt8[NDArray, "_ _ 3"]
    true: UInt8[NDArray, "frame height width 3"]
    generated: UInt8[NDArray, "_ _ _ 3"]
    mask: Bool[NDArray, "_ _ _"]
    """The person in the true frames."""
    pose: Float[NDArray, "_ 60 3"]
    """The poses of the true frames, in the coordinates of `PoseBatch`."""
    portrait_mask: Bool[NDArray, "_ _"] | None = None
    """The person in the portrait; without it the person region is the true frames' alone."""
    portrait_pose: Float[NDArray, "60 3"] | None = None
    """The pose in the portrait; without it the clip is no part of the clothes figures."""
    identity: str | None = None
    """Who it is; clips of one identity are never each other's distractors. Default: the key."""

    def __post_init__(self) -> None:
        size = self.true.shape[1:3]
        found = {
            "generated": self.generated.shape[:3], "mask": self.mask.shape, "pose": (len(self.pose), *size),
            "portrait": (len(self.true), *self.portrait.shape[:2]),
        }  # fmt: skip
        found |= {} if self.portrait_mask is None else {"portrait_mask": (len(self.true), *self.portrait_mask.shape)}
        for name, shape in found.items():
            if shape != self.true.shape[:3]:
                raise XDancerError(f"{self.key}: true video is {self.true.shape[:3]}, {name} {shape}; they need the same frames and size.")
