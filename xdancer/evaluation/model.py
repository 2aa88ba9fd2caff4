"""Filling an evaluation folder from a model: dances to held-out songs and self-driven videos of held-out people."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xdancer.data.reader import ShardReader
from xdancer.device import Precision
from xdancer.errors import ShardError
from xdancer.evaluation.clips import Clip, read_clips, render_clip, swap_songs, training_mean, with_known_clothes, with_video
from xdancer.evaluation.folder import write_motion_item, write_training_mean, write_video_item
from xdancer.evaluation.tokenizer import write_decoded
from xdancer.metrics.lag_null import envelope_of_features
from xdancer.metrics.motion_table import MotionItem
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.rollout import pad_music
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.pipelines.dance import DancePipeline
from xdancer.pipelines.motion import Progress, Wishes, roll_out
from xdancer.types import PoseBatch
from xdancer.vqvae.model import VQVAE

BATCH = 20
"""Dances sampled together."""

Pose = Float[NDArray, "frame 60 3"]


def dance_clips(
    tokenizer: VQVAE, gpt: MotionGPT, data: Path, out: Path, *, clips: int, sampling: SamplingConfig, seed: int, precision: Precision = "fp32",
    progress: Progress | None = None,
) -> int:  # fmt: skip
    """Write `out/motion`: dances from each clip's first pose to its own song, and to another clip's song of another tempo; true poses through
    their tokens, and the use of the codes.

    Returns:
        How many clips were danced.

    Raises:
        ShardError: the shards are missing, or lack a music feature that the model reads.
    """
    chosen = read_clips(data, list(gpt.config.music_features), count=clips)
    others = swap_songs([max(clip.meta["tempo"], 1e-3) for clip in chosen])
    jobs = [(clip, clip) for clip in chosen] + [(clip, chosen[other]) for clip, other in zip(chosen, others, strict=True) if other is not None]
    dances: list[Pose] = []
    for begin in range(0, len(jobs), BATCH):
        dances += dance_pairs(tokenizer, gpt, jobs[begin : begin + BATCH], sampling, seed + begin, precision)
        if progress is not None:
            progress("dances", len(dances), len(jobs))
    swapped = {dancer.key: (song, dance) for (dancer, song), dance in zip(jobs[len(chosen) :], dances[len(chosen) :], strict=True)}
    for clip, dance in zip(chosen, dances[: len(chosen)], strict=True):
        song, other = swapped.get(clip.key, (None, None))
        write_motion_item(
            out,
            MotionItem(
                clip.key, generated=dance, true=clip.pose, beats=np.asarray(clip.meta["beats"], np.float64), tempo=clip.meta["tempo"],
                swapped=other, swapped_beats=None if song is None else np.asarray(song.meta["beats"], np.float64),
                envelope=envelope_of_features(clip.music["librosa"]) if "librosa" in clip.music else None,
            ),
        )  # fmt: skip
    write_decoded(chosen, tokenizer, out, device=next(tokenizer.parameters()).device)
    return len(chosen)


def dance_pairs(
    tokenizer: VQVAE, gpt: MotionGPT, pairs: list[tuple[Clip, Clip]], sampling: SamplingConfig, seed: int, precision: Precision,
    asked: Mapping[str, Tensor] | None = None,
) -> list[Pose]:  # fmt: skip
    """From each pair's first clip's first pose to the second clip's song, over its whole length; `asked` as in `stream_motion`."""
    device = next(gpt.parameters()).device
    starts = [PoseBatch.from_array(dancer.pose[:1]) for dancer, _ in pairs]
    start = PoseBatch(torch.cat([one.keypoints for one in starts]), torch.cat([one.confidence for one in starts])).to(device)
    songs: list[Mapping[str, Tensor]] = [
        {name: torch.from_numpy(rows).float().to(device) for name, rows in song.music.items()} for _, song in pairs
    ]
    frames = max(len(song.pose) for _, song in pairs)
    wishes = Wishes(sampling, asked=asked or {})
    sample = roll_out(tokenizer, gpt, pad_music(songs), start, frames=frames, wishes=wishes, seed=seed, precision=precision)
    return [sample.pose.to_array(item)[: len(song.pose)] for item, (_, song) in enumerate(pairs)]


def render_clips(
    pipeline: DancePipeline, data: Path, out: Path, *, train: Path | None, clips: int, frames: int, seed: int, progress: Progress | None = None
) -> int:
    """Write `out/video`: later frames of each clip rendered from its first frame and its own tokens; with `train`, the mean training frame.

    Returns:
        How many clips were rendered; 0 where the shards carry no videos with masks.

    Raises:
        ShardError: the shards are missing.
    """
    reader = ShardReader(data)
    keys = with_known_clothes(reader, with_video(reader))[:clips]
    if keys and train is not None:
        write_training_mean(out, training_mean(ShardReader(train)))
    made_by = {"model": pipeline.name, "seed": seed}
    size = (pipeline.renderer.config.height, pipeline.renderer.config.width)
    for done, key in enumerate(keys):
        meta = reader.meta(key)
        if (meta["height"], meta["width"]) != size:
            raise ShardError(
                f"{data}: clip {key} is {meta['width']}×{meta['height']}, the model renders {size[1]}×{size[0]}. Use shards of its size."
            )
        item = render_clip(pipeline.tokenizer, pipeline.renderer, reader, key, frames=frames, seed=seed, precision=pipeline.precision)
        write_video_item(out, item, made_by)
        if progress is not None:
            progress("videos", done + 1, len(keys))
    return len(keys)
