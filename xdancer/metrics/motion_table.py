"""Figures of generated dances beside those of the ground truth and of the nulls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.metrics.beat_alignment import PROTOCOLS, BeatClip, BeatReport, Protocol, beat_report, motion_beats, score_beats, tempo_of
from xdancer.metrics.diversity import diversity, kinetic_features, windows
from xdancer.metrics.frechet import enough_for_frechet, frechet_distance, kernel_distance
from xdancer.metrics.lag_null import Synchrony
from xdancer.metrics.pose import body_height, broken_share, frozen, jerk, mean_speed
from xdancer.types import FPS

Table = dict[str, float | int | None]
KINETIC_FRAMES, KINETIC_WIDTH = 32, 54
"""Frames per window and numbers of the kinetic features."""
_NAMES = {"seconds": "beat_f1", "bailando60": "bas_bailando60", "aist60": "bas_aist60"}


@dataclass(frozen=True)
class MotionItem:
    """One generated dance with the true one to the same song, both at 30 fps and in the coordinates of `PoseBatch`."""

    key: str
    generated: Float[NDArray, "generated_frame 60 3"]
    """Not teacher-forced: sampled from one pose."""
    true: Float[NDArray, "true_frame 60 3"]
    beats: Float[NDArray, " _"]
    """Music beats in seconds from the first frame: the manifest's, exact on the embedded set."""
    tempo: float | int
    """Beats per minute."""
    swapped: Float[NDArray, "swapped_frame 60 3"] | None = None
    """Optional: the dance from the same first pose to another song."""
    swapped_beats: Float[NDArray, " _"] | None = None
    """The beats of that other song."""
    envelope: Float[NDArray, " envelope_frame"] | None = None
    """Optional: onset strength of the music at the frames (`lag_null.onset_envelope`), at least as long as both dances."""


def beat_clip(pose: Float[NDArray, "frame 60 3"], beats: Float[NDArray, " _"], tempo: float | int, protocol: Protocol) -> BeatClip:
    """What the beat scores need of one dance at 30 fps."""
    found = motion_beats(pose[..., :2], pose[..., 2], FPS, protocol=protocol)
    return BeatClip(found, beats.astype(np.float64), tempo if tempo > 0 else tempo_of(beats), len(pose) / FPS)


def known(value: float) -> float | None:
    """The number, or None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def evaluate_motion(items: Sequence[MotionItem], *, table: str = "gpt", seed: int = 0) -> Table:
    """Beat, speed and diversity figures of a set of dances; every clip should have its own song, the others' are its null.

    Keys, each as `gpt/KEY`; definitions in PAPER.md's words and in `beat_alignment`, `pose`, `diversity`:

    - `beat_f1` (protocol `seconds`, mean over clips with motion beats), `beat_f1_low` and `_high` (bootstrap 95 %), `beat_f1_null` (other
      songs, tempo ≥ 5 % apart), `beat_f1_z`, `beat_f1_chance` (random-phase clicks), `beat_f1_ground_truth`,
      `beat_f1_ground_truth_null`, `beat_f1_hard` (±50 ms), `beat_f1_hard_ground_truth`, `beat_recall`, `beat_precision`
    - `bas_bailando60`, `bas_aist60`, each with `_null` and `_ground_truth`
    - where items carry the music's envelope: `brake_sync`, `brake_sync_percentile` (.5 by chance), `brake_sync_z` (of the set, standard normal
      by chance), each with `_ground_truth` (`lag_null`)
    - `speed_ratio` (mean speed of all generated clips / of all true ones), `frozen_share` (clips below 10 % of their true clip's speed),
      `jerk_ratio`, `broken_share` (frames that show no body any more) with `_ground_truth`
    - `motion_beats_per_second`, `music_beats_per_second`, `beats_per_second_ratio` (the first by the second)
    - `div_kinetic`, `div_kinetic_ground_truth`; `kernel_kinetic32` with `_low` and `_high`; `frechet_kinetic32`
    - where items carry a swapped song: `beat_f1_swapped_fed` (against the fed song), `beat_f1_swapped_own` (against the pose's own song)

    Counts: `n/gpt` (clips), `n/gpt_without_motion_beats`, `n/gpt_with_null`, `n/gpt_windows` (of the kinetic features), `n/gpt_swapped`,
    `n/gpt_with_envelope`.

    Returns:
        Every key, always; None where a value cannot be known (no clip with beats, no song of another tempo, fewer than 540 windows for the
        Fréchet distance, no swapped songs).
    """
    values: dict[str, float] = {}
    counts = {"": len(items)}
    for protocol in PROTOCOLS:
        generated, true = (
            beat_report([beat_clip(pose, item.beats, item.tempo, protocol) for pose, item in dances], protocol=protocol, seed=seed)
            for dances in ([(item.generated, item) for item in items], [(item.true, item) for item in items])
        )
        values |= _beat_rows(generated, true)
        if protocol == "seconds":
            counts |= {"_without_motion_beats": generated.clips_without_motion_beats, "_with_null": generated.clips_with_null}
    kinetic, windows_used = _kinetic_rows(items, seed)
    swapped, swapped_used = _swapped_rows(items)
    sync, heard = _sync_rows(items)
    values |= _speed_rows(items) | kinetic | swapped | sync
    counts |= {"_windows": windows_used, "_swapped": swapped_used, "_with_envelope": heard}
    return {f"{table}/{name}": known(value) for name, value in values.items()} | {f"n/{table}{name}": count for name, count in counts.items()}


def _beat_rows(generated: BeatReport, true: BeatReport) -> dict[str, float]:
    name = _NAMES[generated.protocol]
    values = {name: generated.value, f"{name}_null": generated.null, f"{name}_ground_truth": true.value}
    if generated.protocol != "seconds":
        return values
    music = generated.music_beats_per_second
    return values | {
        f"{name}_low": generated.low, f"{name}_high": generated.high, f"{name}_z": generated.z, f"{name}_chance": generated.chance,
        f"{name}_ground_truth_null": true.null, f"{name}_hard": generated.hard_f1, f"{name}_hard_ground_truth": true.hard_f1,
        "beat_recall": generated.recall, "beat_precision": generated.precision,
        "motion_beats_per_second": generated.motion_beats_per_second, "music_beats_per_second": music,
        "beats_per_second_ratio": generated.motion_beats_per_second / music if music else float("nan"),
    }  # fmt: skip


def _sync_rows(items: Sequence[MotionItem]) -> tuple[dict[str, float], int]:
    """`brake_sync` of the dances whose music is known, and how many these are."""
    sides = {"": Synchrony(), "_ground_truth": Synchrony()}
    names = {"score": "brake_sync", "percentile": "brake_sync_percentile", "set_z": "brake_sync_z"}
    heard = [item for item in items if item.envelope is not None]
    if not heard:
        return {name + ending: float("nan") for ending in sides for name in names.values()}, 0
    for item in heard:
        for pose, metric in zip((item.generated, item.true), sides.values(), strict=True):
            assert item.envelope is not None
            metric.update(pose, item.envelope[: len(pose)].astype(np.float64), FPS)
    found = {ending: metric.compute() for ending, metric in sides.items()}
    return {name + ending: values[key] for ending, values in found.items() for key, name in names.items()}, len(heard)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _speed_rows(items: Sequence[MotionItem]) -> dict[str, float]:
    def ratio(figure: Callable[[NDArray[np.float32]], float]) -> float:
        true = _mean([figure(item.true) for item in items])
        return _mean([figure(item.generated) for item in items]) / true if true else float("nan")

    return {
        "speed_ratio": ratio(mean_speed),
        "frozen_share": _mean([float(frozen(item.generated, item.true)) for item in items]),
        "jerk_ratio": ratio(jerk),
        "broken_share": _mean([broken_share(item.generated, item.true) for item in items]),
        "broken_share_ground_truth": _mean([broken_share(item.true, item.true) for item in items]),
    }


def kinetic_windows(pose: Float[NDArray, "frame 60 3"], height: float) -> Float[NDArray, "window 54"]:
    """Kinetic features of the consecutive 32-frame windows of a dance, in true body heights."""
    rows = [kinetic_features(window, fps=FPS, height=height) for window in windows(pose, KINETIC_FRAMES)]
    return np.array(rows).reshape(-1, KINETIC_WIDTH)


def _kinetic_rows(items: Sequence[MotionItem], seed: int) -> tuple[dict[str, float], int]:
    names = (
        "div_kinetic",
        "div_kinetic_ground_truth",
        "kernel_kinetic32",
        "kernel_kinetic32_low",
        "kernel_kinetic32_high",
        "frechet_kinetic32",
    )
    pairs = [(item, body_height(item.true)) for item in items]
    generated, true = (
        [kinetic_windows(getattr(item, side), height) for item, height in pairs if np.isfinite(height)] for side in ("generated", "true")
    )
    rows = [np.concatenate(side) if side else np.zeros((0, KINETIC_WIDTH)) for side in (generated, true)]
    used = len(rows[1])
    clips = [np.repeat(np.arange(len(side)), [len(clip) for clip in side]) for side in (generated, true)]
    if min(len(np.unique(side)) for side in clips) < 2:
        return dict.fromkeys(names, float("nan")), used
    distances = kernel_distance(rows[0], rows[1], clips=(clips[0], clips[1]), seed=seed)
    frechet = frechet_distance(rows[0], rows[1]) if enough_for_frechet(rows[0], rows[1]) else float("nan")
    return dict(zip(names, (diversity(rows[0], rows[1]), diversity(rows[1], rows[1]), *distances, frechet), strict=True)), used


def _swapped_rows(items: Sequence[MotionItem]) -> tuple[dict[str, float], int]:
    fed, own = [], []
    for item in items:
        if item.swapped is None or item.swapped_beats is None:
            continue
        clip = beat_clip(item.swapped, item.beats, item.tempo, "seconds")
        fed.append(score_beats(clip.motion, item.swapped_beats.astype(np.float64), duration=clip.duration).f1)
        own.append(score_beats(clip.motion, clip.music, duration=clip.duration).f1)
    return {"beat_f1_swapped_fed": _mean(fed), "beat_f1_swapped_own": _mean(own)}, len(fed)
