"""One row of the paper's video tables: held-out people danced by a model or replaced by a null, and people in their own later poses."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from xdancer.checkpoint import embedded_tokenizer, load_model
from xdancer.data.reader import ShardReader
from xdancer.errors import StageMismatchError, XDancerError
from xdancer.evaluation.clips import Clip, render_clip, training_mean, with_video
from xdancer.evaluation.folder import write_json
from xdancer.media import read_video
from xdancer.metrics.face_net import make_face_net
from xdancer.metrics.reconstruction import null_rows, person_region, unit_pictures
from xdancer.metrics.tables import evaluate_video
from xdancer.metrics.video_item import VideoItem
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.rollout import pad_music
from xdancer.pipelines.dance import to_pictures, to_tensor
from xdancer.pipelines.motion import Wishes, roll_out
from xdancer.reproduce.measure import cut
from xdancer.reproduce.paper_motion import SAMPLING
from xdancer.types import MotionSample, MotionTokens, PoseBatch
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.video_diffusion.sampling import render_video
from xdancer.vqvae.model import VQVAE

Null = Literal["copy", "mean", "grey"]
Pictures = UInt8[NDArray, "frame height width 3"]
Mean = UInt8[NDArray, "height width 3"]


def measure_self_driven(*, data: Path, run: Path, figures: Path, clips: int, frames: int, seed: int) -> None:
    """Held-out people in their own later poses.

    Args:
        data: held-out shards; the training shards lie beside them.
        run: run folder of stage 3.
        figures: the .json to write.
        clips: how many.
        frames: length of each video.
        seed: of the rendering.
    """
    path, reader = run / "last.ckpt", ShardReader(data)
    tokenizer, renderer = embedded_tokenizer(path)[0], load_model(path, VideoDiffusion)
    keys = with_video(reader)[:clips]
    items = (render_clip(tokenizer, renderer, reader, key, frames=frames, seed=seed) for key in keys)
    _write(figures, items, keys, data, seed)


@torch.no_grad()
def measure_generated(
    *, data: Path, figures: Path, clips: int, frames: int, seed: int, motion: Path | None = None, renderer: Path | None = None,
    null: Null | None = None,
) -> None:  # fmt: skip
    """Held-out people that dance from their first frame to their own song, or a null in their place; the true frames are the same clips' first.

    Args:
        data: held-out shards; the training shards lie beside them.
        figures: the .json to write.
        clips: how many.
        frames: length of each video.
        seed: of dances and rendering.
        motion: run folder of stage 2.
        renderer: run folder of stage 3, trained on the same tokenizer.
        null: copy the portrait, the mean training frame, or a grey person on the true background.

    Raises:
        XDancerError: neither two runs nor a null; StageMismatchError: the runs have different tokenizers.
    """
    reader = ShardReader(data)
    keys = with_video(reader)[:clips]
    if motion is not None and renderer is not None and null is None:
        items = _danced(reader, keys, motion / "last.ckpt", renderer / "last.ckpt", frames, seed)
    elif null is not None and motion is renderer is None:
        mean = training_mean(ShardReader(data.parent / "train")) if null == "mean" else None
        items = (_null_item(reader, key, null, frames, mean) for key in keys)
    else:
        raise XDancerError(f"--motion {motion}, --renderer {renderer}, --null {null}: give both runs, or a null.")
    _write(figures, items, keys, data, seed)


def _write(figures: Path, items: Iterator[VideoItem], keys: Sequence[str], data: Path, seed: int) -> None:
    mean = training_mean(ShardReader(data.parent / "train"))
    found = evaluate_video(_counted(items, len(keys)), None, face_net=make_face_net(), training_mean=mean, seed=seed)
    write_json(figures, cast(dict[str, Any], found) | {"clips": list(keys)})


def _counted(items: Iterator[VideoItem], total: int) -> Iterator[VideoItem]:
    for number, item in enumerate(items, start=1):
        yield item
        print(f"videos {number}/{total}", flush=True)


def _danced(reader: ShardReader, keys: Sequence[str], motion: Path, renderer: Path, frames: int, seed: int) -> Iterator[VideoItem]:
    gpt, model = load_model(motion, MotionGPT), load_model(renderer, VideoDiffusion)
    (tokenizer, of_motion), (_, of_renderer) = embedded_tokenizer(motion), embedded_tokenizer(renderer)
    if of_motion != of_renderer:
        raise StageMismatchError(f"{motion} was trained on another tokenizer than {renderer}. Train both on one.")
    songs = [_song(reader, key, frames, gpt) for key in keys]
    dances = _dances(tokenizer, gpt, songs, max(len(song.pose) for song in songs), seed)
    for number, key in enumerate(keys):
        tokens = MotionTokens(dances.tokens.ids[number : number + 1])
        pose = dances.pose.to_array(number)[: len(songs[number].pose)]
        yield _rendered(reader, key, model, tokenizer, tokens, pose, songs[number], seed)


def _song(reader: ShardReader, key: str, frames: int, gpt: MotionGPT) -> Clip:
    music = {name: reader.feature(key, name) for name in gpt.config.music_features}
    return cut(Clip(key, reader.pose(key), reader.meta(key), music), frames, gpt.config.music_lookahead_frames)


def _dances(tokenizer: VQVAE, gpt: MotionGPT, songs: Sequence[Clip], frames: int, seed: int) -> MotionSample:
    starts = [PoseBatch.from_array(song.pose[:1]) for song in songs]
    start = PoseBatch(torch.cat([one.keypoints for one in starts]), torch.cat([one.confidence for one in starts]))
    music = pad_music([{name: torch.from_numpy(rows).float() for name, rows in song.music.items()} for song in songs])
    return roll_out(tokenizer, gpt, music, start, frames=frames, wishes=Wishes(SAMPLING), seed=seed)


def _rendered(
    reader: ShardReader, key: str, renderer: VideoDiffusion, tokenizer: VQVAE, tokens: MotionTokens, pose: Float[NDArray, "frame 60 3"],
    song: Clip, seed: int,
) -> VideoItem:  # fmt: skip
    """The person of the first frame in a generated dance; motion decoder and pose guider are given the same one."""
    true, mask = _true(reader, key, len(pose))
    pictures = render_video(
        renderer, reference=to_tensor(true[:1]), reference_pose=PoseBatch.from_array(song.pose[:1]),
        codes=tokenizer.codes(MotionTokens(tokens.ids[:, : len(pose)])), pose=PoseBatch.from_array(pose),
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    return _item(reader, key, true, mask, to_pictures(pictures[0].float()), pose)


def _null_item(reader: ShardReader, key: str, null: Null, frames: int, mean: Mean | None) -> VideoItem:
    true, mask = _true(reader, key, frames)
    target, person = unit_pictures(true), person_region(torch.from_numpy(mask), torch.from_numpy(mask[0]))
    still = None if mean is None else unit_pictures(mean[None])[0]
    made = to_pictures(null_rows(target[0], target, person, still)[null])
    shown = reader.pose(key, 0, len(true))
    return _item(reader, key, true, mask, made, np.repeat(shown[:1], len(true), axis=0) if null == "copy" else shown)


def _true(reader: ShardReader, key: str, frames: int) -> tuple[Pictures, NDArray[np.bool_]]:
    count = min(frames, int(reader.frames[reader.position(key)]))
    true, mask = (read_video(reader.member(key, name), count=count).frames for name in ("video.mp4", "mask.mp4"))
    return true, mask[..., 0] >= 128


def _item(
    reader: ShardReader, key: str, true: Pictures, mask: NDArray[np.bool_], made: Pictures, pose: Float[NDArray, "frame 60 3"]
) -> VideoItem:
    """`pose` says where the person stands in the generated frames: there clothes and faces are looked for. In the true frames it does not."""
    return VideoItem(
        key, portrait=true[0], true=true, generated=np.ascontiguousarray(made), mask=mask, pose=pose, portrait_mask=mask[0],
        portrait_pose=reader.pose(key, 0, 1)[0], identity=reader.meta(key).get("identity"),
    )  # fmt: skip
