"""The way to a given pose: a causal model does not know what is locked ahead of it, so the last second before is chosen among several.

Two steps, both on the last `frames` frames of the way. First candidates: a few frames at a time `candidates` continuations are drawn, and the
one goes on from which the pose can still be reached at the dance's own speed. Then motion warping (Witkin and Popović 1995): what is still
missing is added to the poses little by little, and the poses become tokens again.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from xdancer.motion_gpt.decoding import Decoder
from xdancer.motion_gpt.sampling import SamplingConfig, sample_segment
from xdancer.motion_gpt.window import Window, repeated
from xdancer.types import MotionTokens, PoseBatch

DETOUR = 0.1
"""A dance comes nearer to a pose at about this share of its keypoints' mean step; the rest is other movement, and the trembling of tokens."""
LEAP = 3.0
"""A step larger than this many mean ones is a leap that no body makes."""


@runtime_checkable
class PoseCodec(Protocol):
    """Tokens of poses and poses of tokens: stage 1."""

    def encode(self, pose: PoseBatch) -> MotionTokens: ...

    def decode(self, tokens: MotionTokens) -> PoseBatch: ...


@dataclass(frozen=True)
class Arrival:
    """How locked frames are approached."""

    codec: PoseCodec
    candidates: int = 8
    """Continuations drawn at a time."""
    frames: int = 30
    """Length of the way, 30 a second."""
    step: int = 6
    """Frames after which the best continuation is chosen."""
    warp: bool = True
    """Whether the poses are bent to end where they should."""

    def __post_init__(self) -> None:
        if min(self.candidates, self.frames, self.step) < 1:
            raise ValueError(f"candidates {self.candidates}, frames {self.frames}, step {self.step}: each at least 1.")


def approach(
    window: Window, target: int, arrival: Arrival, *, sampling: SamplingConfig, generator: torch.Generator | None
) -> Int[Tensor, "batch frame part slot"]:
    """Tokens from the window's last frame up to frame `target`, which is locked; the window has them afterwards."""
    goal = arrival.codec.decode(MotionTokens(window.edit.rows(target, target + 1).tokens.to(window.past)))
    decoder, found = Decoder(window.gpt), list[Tensor]()
    while window.known < target:
        stop = min(window.known + arrival.step, target, window.stop)
        ids = _best(window, stop, goal, arrival, frames_left=target - stop, decoder=decoder, sampling=sampling, generator=generator)
        found.append(ids)
        window.append(ids)
    way = torch.cat(found, dim=1)
    if arrival.warp:
        way = window.edit.apply(_warped(way, goal, arrival.codec), begin=target - way.shape[1])
        window.replace_last(way)
    return way


def _best(
    window: Window, stop: int, goal: PoseBatch, arrival: Arrival, *, frames_left: int, decoder: Decoder, sampling: SamplingConfig,
    generator: torch.Generator | None,
) -> Int[Tensor, "batch frame part slot"]:  # fmt: skip
    """The frames up to `stop` of the continuation with the least fault: how far its end is out of reach, and how far it leaps."""
    count, given = arrival.candidates, window.known - window.begin
    locked = window.locked()
    ids = sample_segment(
        window.gpt, repeated(window.segment(), count), given=given, frames=stop - window.begin, sampling=sampling,
        locked=None if locked is None else locked.repeat_interleave(count, dim=0), generator=generator, decoder=decoder,
    )  # fmt: skip
    pose = arrival.codec.decode(MotionTokens(ids))
    goals, weight = (value[:, 0].repeat_interleave(len(ids) // len(value), dim=0) for value in (goal.keypoints, goal.confidence))
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-3)
    step = ((pose.keypoints[:, 1:] - pose.keypoints[:, :-1]).norm(dim=-1) * weight[:, None]).sum(-1)  # (dance, frame)
    distance = ((pose.keypoints[:, -1] - goals).norm(dim=-1) * weight).sum(-1)
    speed, largest = step.nanmean(1).nan_to_num(0.0), F.pad(step, (0, 1))[:, max(given - 1, 0) :].amax(1)
    fault = (distance - DETOUR * speed * frames_left).clamp_min(0) + (largest - LEAP * speed).clamp_min(0)
    fault = fault.unflatten(0, (-1, count))
    chosen = fault.argmin(1) + torch.arange(len(fault), device=ids.device) * count
    return ids[chosen, given:]


def _warped(way: Int[Tensor, "batch frame part slot"], goal: PoseBatch, codec: PoseCodec) -> Int[Tensor, "batch frame part slot"]:
    """The way bent so that its end meets the goal: nothing at its first frame, all of the missing distance at the goal's."""
    pose = codec.decode(MotionTokens(way))
    share = torch.arange(1, way.shape[1] + 1, device=way.device, dtype=pose.keypoints.dtype) / (way.shape[1] + 1)
    ease: Float[Tensor, " frame"] = share * share * (3 - 2 * share)
    missing = goal.keypoints - pose.keypoints[:, -1:]
    return codec.encode(PoseBatch(pose.keypoints + ease[:, None, None] * missing, pose.confidence)).ids
