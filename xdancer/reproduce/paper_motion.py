"""One row of the paper's motion tables: a model, the truth or a null, against the true training dances."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from xdancer.checkpoint import embedded_tokenizer, load_model
from xdancer.evaluation.clips import Clip, read_clips, swap_songs
from xdancer.evaluation.folder import write_json
from xdancer.evaluation.items import Item, digest
from xdancer.evaluation.model import BATCH, dance_pairs
from xdancer.evaluation.null_rows import posed_null
from xdancer.evaluation.recording import Recording
from xdancer.files import whole
from xdancer.metrics.feature_sets import window_features
from xdancer.metrics.frechet import kernel_distance
from xdancer.metrics.lag_null import envelope_of_features
from xdancer.metrics.motion_footage import draw_motion
from xdancer.metrics.motion_table import MotionItem, evaluate_motion, kinetic_windows, known
from xdancer.metrics.pose import body_height
from xdancer.metrics.video_networks import VideoNetwork, make_features
from xdancer.metrics.video_table import PROTOCOL
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.reproduce.measure import cut
from xdancer.types import FPS

Pose = Float[NDArray, "_ 60 3"]
Null = Literal["ground_truth", "frozen", "smooth", "other_song"]
"""`frozen` and `smooth` as in `xdancer evaluate --null`; `other_song`: the true dance, scored against another clip's music."""
ONSETS = "librosa"
"""The music feature whose first column is the onset strength."""
SAMPLING = SamplingConfig(temperature=1.5, top_p=0.985, smoothing=1.0)
"""Slots that are drawn together average to small movements at temperature 1; 1.5 brings most of the speed back (docs/experiments.md)."""


@dataclass(frozen=True)
class DanceFeatures:
    """Window features of some dances, with the number of the dance that each window comes from."""

    drawn: Float[NDArray, "window 64"]
    """`alex16` of the drawn poses: what the paper's motion FVD reads through I3D."""
    drawn_of: Int[NDArray, " window"]
    kinetic: Float[NDArray, "kinetic_window 54"]
    """Kinetic features in body heights, 32 frames."""
    kinetic_of: Int[NDArray, " kinetic_window"]

    @staticmethod
    def of(dances: Sequence[Pose], sizes: Sequence[Pose]) -> "DanceFeatures":
        """Features of the dances; `sizes` are the poses whose body heights are the unit."""
        network, drawn, kinetic = make_features(PROTOCOL.network), list[Any](), list[Any]()
        for number, (dance, true) in enumerate(zip(dances, sizes, strict=True)):
            drawn.append(_drawn(dance, network))
            height = body_height(true)
            kinetic.append(kinetic_windows(dance, height) if np.isfinite(height) else np.zeros((0, 54)))
            if number % 10 == 9:
                print(f"features of dances {number + 1}/{len(dances)}", flush=True)
        return DanceFeatures(np.concatenate(drawn), _numbers(drawn), np.concatenate(kinetic), _numbers(kinetic))

    @staticmethod
    def load(path: Path) -> "DanceFeatures":
        """Features that `write_reference` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return DanceFeatures(*(file[name] for name in ("drawn", "drawn_of", "kinetic", "kinetic_of")))


def _numbers(parts: Sequence[Float[NDArray, "_ feature"]]) -> Int[NDArray, " window"]:
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _drawn(dance: Pose, network: VideoNetwork) -> Float[NDArray, "window 64"]:
    return window_features(draw_motion(dance), float(FPS), network, PROTOCOL, seed=0, clips=None).astype(np.float64)


def write_reference(*, data: Path, out: Path, clips: int, frames: int) -> None:
    """Features of true training dances, against which all rows are measured.

    Args:
        data: training shards.
        out: the .npz to write.
        clips: how many.
        frames: first frames of each.
    """
    dances = [clip.pose[:frames] for clip in read_clips(data, [], count=clips)]
    found = DanceFeatures.of(dances, dances)
    with whole(out) as temporary, temporary.open("wb") as stream:
        np.savez(stream, drawn=found.drawn, drawn_of=found.drawn_of, kinetic=found.kinetic, kinetic_of=found.kinetic_of)


@torch.no_grad()
def measure_motion(
    *, data: Path, reference: Path, figures: Path, clips: int, frames: int, seed: int, run: Path | None = None, null: Null = "ground_truth"
) -> None:  # fmt: skip
    """Figures of a row's dances to held-out songs, the same clips for every row and seed.

    Args:
        data: held-out shards.
        reference: what `write_reference` wrote.
        figures: the .json to write.
        clips: how many, each with its own song.
        frames: length of each dance.
        seed: of sampling and nulls.
        run: run folder of stage 2; without it the row is a null.
        null: what stands in place of a model.
    """
    items = _danced(data, run, clips, frames, seed) if run is not None else null_items(read(data, clips, frames), null, seed)
    found = evaluate_motion(items, seed=seed) | distances(items, DanceFeatures.load(reference), seed=seed)
    write_json(figures, cast(dict[str, Any], found) | {"clips": [item.key for item in items]})


def read(data: Path, clips: int, frames: int) -> list[Clip]:
    """The first frames of held-out clips, with the music features that tell its onsets."""
    return [cut(clip, frames, 0) for clip in read_clips(data, [ONSETS], count=clips)]


def _danced(data: Path, run: Path, clips: int, frames: int, seed: int) -> list[MotionItem]:
    gpt = load_model(run / "last.ckpt", MotionGPT)
    tokenizer = embedded_tokenizer(run / "last.ckpt")[0]
    lookahead = gpt.config.music_lookahead_frames
    features = list(dict.fromkeys([*gpt.config.music_features, ONSETS]))
    chosen = [cut(clip, frames, lookahead) for clip in read_clips(data, features, count=clips)]
    dances = list[Pose]()
    for begin in range(0, len(chosen), BATCH):
        dances += dance_pairs(tokenizer, gpt, [(clip, clip) for clip in chosen[begin : begin + BATCH]], SAMPLING, seed + begin, "fp32")
        print(f"dances {len(dances)}/{len(chosen)}", flush=True)
    return [_item(clip, dance, clip) for clip, dance in zip(chosen, dances, strict=True)]


def _item(clip: Clip, dance: Pose, song: Clip) -> MotionItem:
    """A song shorter than the dance begins again; its beats do not."""
    beats = np.asarray(song.meta["beats"], np.float64)
    heard = None
    if ONSETS in song.music:
        heard = np.resize(envelope_of_features(song.music[ONSETS]), max(len(dance), len(clip.pose)))
    return MotionItem(
        clip.key, generated=dance, true=clip.pose, beats=beats[beats < len(dance) / FPS], tempo=song.meta["tempo"], envelope=heard
    )


def null_items(clips: Sequence[Clip], null: Null, seed: int) -> list[MotionItem]:
    """The true dances, or what stands in their place; with another song the clips that have none of another tempo are left out."""
    if null == "other_song":
        others = swap_songs([max(clip.meta["tempo"], 1e-3) for clip in clips])
        return [_item(clip, clip.pose, clips[other]) for clip, other in zip(clips, others, strict=True) if other is not None]
    return [_item(clip, clip.pose if null == "ground_truth" else _null_pose(clip, null, seed), clip) for clip in clips]


def _null_pose(clip: Clip, null: Literal["frozen", "smooth"], seed: int) -> Pose:
    found = Recording(clip.key, len(clip.pose), float(FPS), {"pose": clip.pose}, tempo=clip.meta["tempo"])
    made = posed_null(null, (Item(clip.key, digest(clip.pose.tobytes())), found), [], seed=seed)
    assert made is not None
    assert made.pose is not None
    return made.pose


def distances(items: Sequence[MotionItem], reference: DanceFeatures, *, seed: int = 0) -> dict[str, float | int | None]:
    """Kernel distances of the dances to the training dances, each with its interval over clips.

    Keys: `motion/kernel_drawn_alex16`, `motion/kernel_kinetic32`, both with `_low` and `_high`; `n/motion_windows`, `n/motion_reference`. None
    where a side has no two dances with a window.
    """
    found = DanceFeatures.of([item.generated for item in items], [item.true for item in items])
    values: dict[str, float | int | None] = {"n/motion_windows": len(found.drawn), "n/motion_reference": len(reference.drawn)}
    for name, side in (("drawn_alex16", "drawn"), ("kinetic32", "kinetic")):
        (made, made_of), (true, true_of) = ((getattr(one, side), getattr(one, f"{side}_of")) for one in (found, reference))
        enough = min(len(np.unique(made_of)), len(np.unique(true_of))) > 1
        triple = kernel_distance(made, true, clips=(made_of, -1 - true_of), seed=seed) if enough else (np.nan,) * 3
        values |= {f"motion/kernel_{name}{end}": known(value) for end, value in zip(("", "_low", "_high"), triple, strict=True)}
    return values
