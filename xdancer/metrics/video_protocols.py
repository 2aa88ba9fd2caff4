"""Named ways to cut videos into the windows that a Fréchet or kernel distance is taken on.

Two values can be compared only if network, frames, stride, resize, crop, frame rate and the choice of clips were the same: all of that is one
`VideoProtocol`, and its name stands in the name of every value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from xdancer.errors import XDancerError
from xdancer.metrics.video_networks import NETWORKS, VideoNetwork

Resize = Literal["bilinear", "bilinear, antialiased", "bicubic, antialiased"]
Crop = Literal["none", "centre square"]
FPS_TOLERANCE = 0.005
"""Relative: 29.97 counts as 30, its frames are taken one by one."""


@dataclass(frozen=True)
class VideoProtocol:
    """How videos become windows, and how many of them there should be."""

    name: str
    network: str
    """The features' name."""
    size: int
    """Side of the square windows, the network's input size."""
    frames: int = 16
    """Per window."""
    stride: int = 1
    """Frames of the video from one frame of a window to the next."""
    hop: int | None = None
    """Frames from the start of one window to the next, all windows of a video being taken; None: starts are drawn."""
    clips_per_video: int | None = None
    """Windows of each video where starts are drawn; None: all that `hop` gives. More are drawn where there are too few videos for `clips`."""
    clips: int | None = None
    """Windows wanted in each set; None: as many as there are."""
    minimum: int = 2
    """Windows in each set below which the Fréchet value is refused."""
    resize: Resize = "bilinear"
    crop: Crop = "none"
    """Without a crop the picture is squeezed into the square."""
    via: int | None = None
    """Side of a square that frames pass through as 8-bit pictures before `size`, with antialiasing."""
    fps: float | None = None
    """Frame rate that videos are brought to, each moment by its nearest frame; None: frames as they are."""

    def __post_init__(self) -> None:
        if (self.hop is None) == (self.clips_per_video is None):
            raise ValueError(
                f"{self.name}: a protocol has either hop (all windows) or clips_per_video (drawn), got {self.hop}, {self.clips_per_video}."
            )
        if min(self.frames, self.stride, self.size, self.hop or 1, self.clips_per_video or 1, self.clips or 1) < 1 or self.minimum < 2:
            raise ValueError(f"{self.name}: frames, stride, size, hop and clips are at least 1, minimum at least 2, got {self}.")

    @property
    def span(self) -> int:
        """Frames of the video that a window stretches over."""
        return (self.frames - 1) * self.stride + 1

    def with_network(self, features: VideoNetwork) -> "VideoProtocol":
        """The same windows at another network's size; the network's name stands in the name of the value."""
        return replace(self, network=features.name, size=features.size)


PROTOCOLS = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            VideoProtocol(
                "xdancer16", "alex16", 128, hop=16, resize="bilinear, antialiased", fps=30.0, minimum=640,
            ),
            VideoProtocol("disco16", "i3d", 224, hop=1, resize="bicubic, antialiased"),
            VideoProtocol("fidvid16", "resnet3d50", 112, hop=1, resize="bicubic, antialiased"),
            VideoProtocol("styleganv2048", "i3d", 224, clips_per_video=1, clips=2048, crop="centre square"),
            VideoProtocol("cd-fvd", "videomae", 224, clips_per_video=1, clips=2048, crop="centre square", via=256),
        )
    }
)  # fmt: skip
"""Protocol by name.

- `xdancer16`: ours, the default; windows of 16 consecutive frames at 30 fps without overlap, squeezed to 128×128; from 640 windows on.
- `disco16`: FVD as DisCo evaluates it (tool/metrics): a window at every frame, squeezed to 224×224 by PIL's bicubic filter without clipping, so
  that values may leave [-1, 1] at hard edges. DisCo's script drops a few starts at the seams of its worker processes; all are taken here.
- `fidvid16`: the same windows for FID-VID, 112×112. (DisCo fills up videos of other lengths with their last frame; its windows have 16 frames.)
- `styleganv2048`: fvd2048_16f of StyleGAN-V: one window of each of up to 2048 videos, its start drawn, centre square, plain bilinear to
  224×224. StyleGAN-V starts windows of generated folders at frame 0 and stores frames at its data set's resolution first: store them so
  for values to compare.
- `cd-fvd`: content-debiased FVD: likewise, shorter side to 256 with antialiasing, 8 bit, centre square, then bilinear to 224×224. The library
  takes each real video once, here both sets have 2048 windows where there are enough frames.
"""


def protocol_named(name: str) -> VideoProtocol:
    """The protocol of that name.

    Raises:
        XDancerError: no such protocol.
    """
    if name not in PROTOCOLS:
        raise XDancerError(f"{name}: unknown protocol. Choose {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]


def check_network(features: VideoNetwork, protocol: VideoProtocol) -> None:
    """Refuse a network that the protocol was not made for.

    Raises:
        XDancerError: another network, number of frames or size.
    """
    if (features.name, features.size) != (protocol.network, protocol.size):
        raise XDancerError(
            f"{protocol.name} is taken on {protocol.network} at {protocol.size}×{protocol.size} ({NETWORKS[protocol.network].features}), "
            f"got {features.name} at {features.size}×{features.size}. Choose that network or another protocol."
            if protocol.network in NETWORKS
            else f"{protocol.name} is taken on {protocol.network} at {protocol.size}, got {features.name} at {features.size}."
        )
    if features.window != protocol.frames:
        raise XDancerError(
            f"{protocol.name} has windows of {protocol.frames} frames, {features.name} with these weights reads {features.window}."
        )


def clip_share(protocol: VideoProtocol, *, video: int, videos: int) -> int | None:
    """How many windows one of several videos gives, so that together they are the protocol's number; None: all that it has.

    Args:
        protocol: of the set.
        video: its index.
        videos: in the set.
    """
    if protocol.clips_per_video is None or protocol.clips is None:
        return protocol.clips_per_video
    share, more = divmod(protocol.clips, videos)
    return share + (video < more)


def starts_of(frames: int, protocol: VideoProtocol, *, seed: int | Sequence[int] = 0, clips: int | None = None) -> list[int]:
    """First frames of the windows of a video, ascending; empty where it is shorter than a window.

    Args:
        frames: of the video, at the protocol's frame rate.
        protocol: what is cut.
        seed: of drawn starts; several numbers count as one seed.
        clips: windows where starts are drawn, by default the protocol's; each start occurs once, so a short video gives fewer.
    """
    possible = max(frames - protocol.span + 1, 0)
    if protocol.hop is not None:
        return list(range(0, possible, protocol.hop))
    wanted = protocol.clips_per_video if clips is None else clips
    assert wanted is not None
    return sorted(np.random.default_rng(seed).permutation(possible)[:wanted].tolist())


def frame_indices(frames: int, fps: float, protocol: VideoProtocol) -> NDArray[np.int64]:
    """Which frames of a video stand for its moments at the protocol's frame rate: the nearest ones, from the first to the last.

    Raises:
        XDancerError: a frame rate that is no positive number.
    """
    if not (np.isfinite(fps) and fps > 0):
        raise XDancerError(f"A video at {fps} fps has no frame rate to work with. Give its frame rate.")
    if protocol.fps is None or abs(fps / protocol.fps - 1) <= FPS_TOLERANCE or not frames:
        return np.arange(frames)
    moments = np.arange(int((frames - 1) * protocol.fps / fps + 1e-6) + 1)
    return np.floor(moments * fps / protocol.fps + 0.5).astype(np.int64)


def windows_of(
    frames: UInt8[NDArray, "frame height width 3"],
    fps: float,
    protocol: VideoProtocol,
    seed: int | Sequence[int] = 0,
    *,
    clips: int | None = None,
) -> Iterator[Float[Tensor, "frame 3 size size"]]:
    """The windows of one video, RGB in [-1, 1]; none where it is shorter than a window. Frames are resized once, a window's worth at a time.

    Args:
        frames: RGB, 8 bit.
        fps: of the frames.
        protocol: how they are cut and resized.
        seed: of drawn starts; give each video its own.
        clips: see `starts_of`.

    Raises:
        XDancerError: a frame rate that is no positive number.
    """
    indices = frame_indices(len(frames), fps, protocol)
    held: dict[int, Tensor] = {}
    for start in starts_of(len(indices), protocol, seed=seed, clips=clips):
        wanted = [int(indices[start + step * protocol.stride]) for step in range(protocol.frames)]
        held = {index: held[index] if index in held else _square(frames[index], protocol) for index in wanted}
        yield torch.stack([held[index] for index in wanted])


def _square(frame: UInt8[NDArray, "height width 3"], protocol: VideoProtocol) -> Float[Tensor, "3 size size"]:
    """One frame as the network reads it."""
    picture = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
    if protocol.via is not None:
        height, width = picture.shape[2:]
        shorter = min(height, width)
        size = tuple(-(-side * protocol.via // shorter) for side in (height, width))
        picture = functional.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)
        picture = (picture + 1e-3).floor()  # cut off as the library does; whole values stay whole in spite of rounding
    if protocol.crop == "centre square":
        height, width = picture.shape[2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[..., top : top + side, left : left + side]
    mode, _, filtered = protocol.resize.partition(", ")
    size = (protocol.size, protocol.size)
    picture = functional.interpolate(picture, size=size, mode=mode, antialias=bool(filtered), align_corners=False)
    return picture[0] / 127.5 - 1
