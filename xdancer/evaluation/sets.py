"""Figures of a set of dances beside a real set: motion, music, identity, and distances between the sets."""

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from xdancer.evaluation.pairs import PAIRED
from xdancer.evaluation.recording import Instruments, Recording, feature_set
from xdancer.metrics.beat_alignment import PROTOCOLS, BeatClip, BeatReport, beat_report, bootstrap_interval, score_beats
from xdancer.metrics.distance_report import DistanceReport, compare, kernel_name
from xdancer.metrics.diversity import diversity
from xdancer.metrics.feature_sets import Subject
from xdancer.metrics.frechet import SAMPLES_PER_DIMENSION, enough_for_frechet, frechet_distance, kernel_distance
from xdancer.metrics.lag_null import sync_score
from xdancer.metrics.motion_beats import motion_beats_of_clips
from xdancer.metrics.motion_quality import border_gap, foot_sliding, hand_score, pose_changes, shuffled_fingers
from xdancer.metrics.motion_table import KINETIC_FRAMES, KINETIC_WIDTH, kinetic_windows
from xdancer.metrics.pose import body_height, jerk, mean_speed
from xdancer.metrics.tempo import tempo_octave
from xdancer.types import FPS

Figures = dict[str, float | int | None]


@dataclass(frozen=True)
class ClipFigures:
    """Figures of single dances by key, for distributions, the worst and the best."""

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    """Figure → key → value."""

    def add(self, figure: str, key: str, value: float) -> None:
        if np.isfinite(value):
            self.values.setdefault(figure, {})[key] = float(value)

    def figures(self, names: Sequence[str], seed: int) -> Figures:
        """Mean over dances with its bootstrap 95 % interval and n, None where no dance has the figure."""
        found: Figures = {}
        for name in names:
            values = np.array(list(self.values.get(name, {}).values()))
            low, high = bootstrap_interval(values, seed=seed) if len(values) > 1 else (None, None)
            found |= {name: float(values.mean()) if len(values) else None, f"{name}_low": low, f"{name}_high": high, f"n/{name}": len(values)}
        return found


SINGLE: dict[str, Callable[[np.ndarray], float]] = {
    "speed": lambda pose: mean_speed(pose, fps=FPS) / body_height(pose),
    "jerk": lambda pose: jerk(pose, fps=FPS) / body_height(pose),
    "foot_sliding": lambda pose: foot_sliding(pose, fps=FPS).speed,
    "hand_score": lambda pose: hand_score(pose, fps=FPS).score,
    "hand_score_null": lambda pose: hand_score(shuffled_fingers(pose), fps=FPS).score,
}
"""Figures of one pose sequence, in body heights and seconds."""
HEARD = ("border_gap", "brake_sync", "brake_sync_percentile", "brake_sync_z", "id_sim", "id_sim_null", "frames_without_face")


def set_figures(
    recordings: Sequence[Recording], real: Sequence[Recording] | None, clips: ClipFigures, tools: Instruments
) -> tuple[Figures, list[DistanceReport], list[str]]:  # fmt: skip
    """All figures of a set, its distances to the real one with everything that they depend on, and remarks: why figures are None or leave out
    dances.

    Args:
        recordings: of the set.
        real: the pool that distances and diversity are taken against; None leaves them out.
        clips: takes the figures of single dances; holds those of pairs already.
        tools: with what they were measured.
    """
    unknown = Counter(reason for one in recordings for reason in _single(one, clips, tools.segment_frames))
    _strangers(recordings, clips)
    figures: Figures = {"n/dances": len(recordings), "n/with_pose": sum(one.pose is not None for one in recordings)}
    beats, remarks = _beat_figures(recordings, clips, tools.seed)
    remarks += [f"{reason}: {count} of {len(recordings)} dances" for reason, count in unknown.items()]
    figures |= beats | clips.figures([*SINGLE, *HEARD, *PAIRED], tools.seed)
    if real is None:
        return figures, [], remarks
    reports = _reports(recordings, real, tools)
    for report in reports:
        kernel = kernel_name(report.protocol, subject=report.subject)
        figures |= {
            report.name: report.frechet, kernel: report.kernel, f"{kernel}_low": report.kernel_low, f"{kernel}_high": report.kernel_high,
            f"n/{report.name}": report.n_generated, f"n/{kernel}": report.n_generated,
        }  # fmt: skip
    kinetic, why = _kinetic_figures(recordings, real, tools.seed)
    return figures | kinetic, reports, remarks + why


def _reports(recordings: Sequence[Recording], real: Sequence[Recording], tools: Instruments) -> list[DistanceReport]:
    """Distances of pictures and of drawn poses, where both sets have windows of them."""
    found = []
    for subject in get_args(Subject):
        own, pool = (feature_set(side, tools, subject) for side in (recordings, real))
        if own is not None and pool is not None and len(own.features) and len(pool.features):
            found.append(compare(own, pool, seed=tools.seed))
    return found


def _single(one: Recording, clips: ClipFigures, segment_frames: int | None) -> list[str]:
    """Figures of one dance; why some are unknown."""
    unknown = []
    if one.pose is not None and np.isfinite(body_height(one.pose)):
        for name, figure in SINGLE.items():
            clips.add(name, one.key, figure(one.pose))
        if segment_frames is not None:
            changes = pose_changes(one.pose)
            borders = range(segment_frames, len(one.pose), segment_frames)
            clips.add("border_gap", one.key, border_gap(changes, borders))
            unknown += [] if borders else [f"no border_gap: shorter than a segment of {segment_frames} frames"]
    elif one.pose is not None:
        unknown.append("no body height (nose, neck, hip, knee, ankle are not seen), so no speed, jerk, feet, hands and kinetic features")
    if one.pose is not None and "envelope" in one.arrays:
        score = sync_score(one.pose, one.arrays["envelope"], FPS)
        unknown += [f"no brake_sync: {score.reason}"] if score.reason else []
        clips.add("brake_sync", one.key, score.score)
        clips.add("brake_sync_percentile", one.key, score.percentile)
        clips.add("brake_sync_z", one.key, score.z)
    if "identity" in one.arrays:
        curve = one.arrays["identity"]
        seen = np.isfinite(curve)
        clips.add("id_sim", one.key, float(curve[seen].mean()) if seen.any() else float("nan"))
        clips.add("frames_without_face", one.key, float((~seen).mean()))
    return unknown


def _strangers(recordings: Sequence[Recording], clips: ClipFigures) -> None:
    """The null of the likeness: every dance's faces against the other dances' portraits."""
    portraits = {one.key: one.arrays["portrait_face"] for one in recordings if "portrait_face" in one.arrays}
    for one in recordings:
        others = [portrait for key, portrait in portraits.items() if key != one.key]
        if "face" in one.arrays and others:
            clips.add("id_sim_null", one.key, float(np.mean([one.arrays["face"] @ other for other in others])))


def _beat_figures(recordings: Sequence[Recording], clips: ClipFigures, seed: int) -> tuple[Figures, list[str]]:
    """Figures, and what the reports note, with the protocols that note it."""
    posed = [one for one in recordings if one.pose is not None]
    poses = [(one.pose[..., :2], one.pose[..., 2]) for one in posed if one.pose is not None]
    figures: Figures = {}
    notes: dict[str, list[str]] = {}
    for protocol in PROTOCOLS:
        found = [
            BeatClip(motion, one.arrays.get("beats", np.zeros(0)), one.tempo, one.frames / FPS)
            for one, motion in zip(posed, motion_beats_of_clips(poses, FPS, protocol=protocol), strict=True)
        ]
        report = beat_report(found, protocol=protocol, seed=seed)
        for note in report.notes if posed else ():
            notes.setdefault(note, []).append(protocol)
        name = "beat_f1" if protocol == "seconds" else f"bas_{protocol}"
        figures |= {
            name: report.value, f"{name}_low": report.low, f"{name}_high": report.high, f"{name}_null": report.null, f"{name}_z": report.z,
            f"{name}_percentile": report.percentile, f"{name}_chance": report.chance, f"n/{name}": report.clips,
        }  # fmt: skip
        if protocol == "seconds":
            figures |= _seconds_figures(report)
            for one, clip in zip(posed, found, strict=True):
                clips.add("beat_f1", one.key, score_beats(clip.motion, clip.music, duration=clip.duration).f1)
    tracked = [one for one in recordings if "tracked_tempo" in one.arrays]
    octaves = tempo_octave(np.array([one.arrays["tracked_tempo"][0] for one in tracked]), np.array([one.tempo for one in tracked]))
    figures |= {f"music_tempo_{name}": getattr(octaves, name) for name in ("same", "double", "half", "other")}
    figures |= {f"n/music_tempo_{name}": octaves.clips for name in ("same", "double", "half", "other")}
    sources = Counter(one.beats_from for one in recordings if "beats" in one.arrays)
    remarks = [f"music beats from {source}: {count} of {len(recordings)} dances" for source, count in sources.items()]
    remarks += [f"beats ({', '.join(protocols)}): {note}" for note, protocols in notes.items()]
    return {name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in figures.items()}, remarks


def _seconds_figures(report: BeatReport) -> Figures:
    """What the default protocol says beside F1; the shares of tempos tell octave errors apart."""
    tempo = report.motion_tempo
    return {
        "beat_f1_hard": report.hard_f1, "beat_recall": report.recall, "beat_precision": report.precision,
        "motion_beats_per_second": report.motion_beats_per_second, "music_beats_per_second": report.music_beats_per_second,
        "motion_tempo_same": tempo.same, "motion_tempo_double": tempo.double, "motion_tempo_half": tempo.half,
        "motion_tempo_other": tempo.other, "n/without_motion_beats": report.clips_without_motion_beats,
        "n/without_music_beats": report.clips_without_music_beats, "n/with_null": report.clips_with_null,
    }  # fmt: skip


def _kinetic_figures(recordings: Sequence[Recording], real: Sequence[Recording], seed: int) -> tuple[Figures, list[str]]:
    own, pool = (_kinetic(side) for side in (recordings, real))
    names = ("kernel_kinetic32", "kernel_kinetic32_low", "kernel_kinetic32_high")
    figures: Figures = dict.fromkeys((*names, "frechet_kinetic32", "div_kinetic", "div_kinetic_real"))
    figures |= {"n/kernel_kinetic32": len(own[1]), "n/div_kinetic": len(own[1])}
    dances = min(len(np.unique(side[1])) for side in (own, pool))
    if dances < 2:
        return figures, [f"no kinetic distances and no diversity: {dances} dances of the smaller set have a window of {KINETIC_FRAMES} frames"]
    figures |= dict(zip(names, kernel_distance(own[0], pool[0], clips=(own[1], pool[1]), seed=seed), strict=True))
    figures |= {"div_kinetic": diversity(own[0], pool[0]), "div_kinetic_real": diversity(pool[0], pool[0])}
    if not enough_for_frechet(own[0], pool[0]):
        least, needed = min(len(own[0]), len(pool[0])), SAMPLES_PER_DIMENSION * KINETIC_WIDTH
        return figures, [f"no frechet_kinetic32: {least} windows in the smaller set, {needed} are needed"]
    return figures | {"frechet_kinetic32": frechet_distance(own[0], pool[0])}, []


def _kinetic(recordings: Sequence[Recording]) -> tuple[np.ndarray, np.ndarray]:
    """Kinetic features of all windows, and the number of each one's recording; equal keys have equal numbers in all sets."""
    rows, numbers = [np.zeros((0, KINETIC_WIDTH))], list[int]()
    for one in recordings:
        height = float("nan") if one.pose is None else body_height(one.pose)
        if one.pose is not None and np.isfinite(height):
            rows.append(kinetic_windows(one.pose, height))
            numbers += [zlib.crc32(one.key.encode())] * len(rows[-1])
    return np.concatenate(rows), np.array(numbers, dtype=np.int64)
