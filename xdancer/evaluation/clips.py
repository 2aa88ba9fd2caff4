"""Held-out clips as the evaluation uses them: what motion needs of one, whose song it is given instead, how its video is rendered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from xdancer.data.reader import ShardReader
from xdancer.device import Precision, autocast
from xdancer.media import read_video
from xdancer.metrics.beat_alignment import TEMPO_GAP
from xdancer.metrics.reconstruction import clothes_colours
from xdancer.metrics.video_item import VideoItem
from xdancer.pipelines.dance import to_pictures, to_tensor
from xdancer.types import PoseBatch
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.video_diffusion.sampling import render_video
from xdancer.vqvae.model import VQVAE

MEAN_CLIPS = 64
"""Training clips whose middle frame enters the training mean."""


@dataclass(frozen=True)
class Clip:
    """A held-out clip as far as motion goes."""

    key: str
    pose: Float[NDArray, "frame 60 3"]
    meta: dict[str, Any]
    music: dict[str, Float[NDArray, "row _"]]


def read_clips(data: Path, features: Sequence[str], *, count: int) -> list[Clip]:
    """The first `count` clips of a split."""
    reader = ShardReader(data)
    return [
        Clip(reader.keys[i], reader.pose(i), reader.meta(i), {name: reader.feature(i, name) for name in features})
        for i in range(min(count, len(reader)))
    ]


def swap_songs(tempos: Sequence[float]) -> list[int | None]:
    """For each clip the next clip (cyclically) whose tempo differs by ≥ 5 %; None where there is none."""
    chosen: list[int | None] = []
    for index, tempo in enumerate(tempos):
        others = ((index + step) % len(tempos) for step in range(1, len(tempos)))
        chosen.append(next((other for other in others if abs(tempos[other] / tempo - 1) >= TEMPO_GAP), None))
    return chosen


def with_video(reader: ShardReader) -> list[str]:
    """Keys of the clips that carry a video and a person mask."""
    return [key for key in reader.keys if reader.has(key, "video.mp4") and reader.has(key, "mask.mp4")]


def with_known_clothes(reader: ShardReader, keys: Sequence[str]) -> list[str]:
    """The clips in order, those whose first frame hides top or trousers (such a portrait cannot be told by its clothes) behind the others."""

    def hidden(key: str) -> bool:
        portrait = read_video(reader.member(key, "video.mp4"), count=1).frames
        return not np.isfinite(clothes_colours(portrait, reader.pose(key, 0, 1))).all()

    return sorted(keys, key=hidden)


@torch.no_grad()
def render_clip(
    tokenizer: VQVAE, renderer: VideoDiffusion, reader: ShardReader, key: str, *, frames: int, seed: int, precision: Precision = "fp32"
) -> VideoItem:
    """Self-driven: the clip's first frame is the portrait, `frames` frames from its middle on are rendered from their own tokens."""
    pose, begin = reader.pose(key), int(reader.frames[reader.position(key)]) // 2
    count = min(frames, len(pose) - begin)
    portrait, true, portrait_mask, mask = (
        read_video(reader.member(key, name), start=start, count=length).frames
        for name in ("video.mp4", "mask.mp4")
        for start, length in ((0, 1), (begin, count))
    )
    driving, device = pose[begin : begin + count], next(renderer.parameters()).device
    wanted = PoseBatch.from_array(driving).to(device)
    tokens = tokenizer.encode(wanted)
    shown = wanted if renderer.config.guided_by == "pose" else tokenizer.decode(tokens)
    with autocast(device, precision):
        pictures = render_video(
            renderer, reference=to_tensor(portrait).to(device), reference_pose=PoseBatch.from_array(pose[:1]).to(device),
            codes=tokenizer.codes(tokens), pose=shown, generator=torch.Generator(device).manual_seed(seed),
        )  # fmt: skip
    generated = to_pictures(pictures[0].float())
    return VideoItem(
        key, portrait=portrait[0], true=true, generated=generated, mask=mask[..., 0] >= 128, pose=driving,
        portrait_mask=portrait_mask[0, ..., 0] >= 128, portrait_pose=pose[0], identity=reader.meta(key).get("identity"),
    )  # fmt: skip


def training_mean(reader: ShardReader) -> UInt8[NDArray, "height width 3"]:
    """The mean of the middle frames of training clips."""
    return np.round(np.mean(np.stack(list(_middles(reader))), axis=0)).astype(np.uint8)


def _middles(reader: ShardReader) -> Iterator[NDArray[np.uint8]]:
    for key in [key for key in reader.keys if reader.has(key, "video.mp4")][:MEAN_CLIPS]:
        yield read_video(reader.member(key, "video.mp4"), start=int(reader.frames[reader.position(key)]) // 2, count=1).frames[0]
