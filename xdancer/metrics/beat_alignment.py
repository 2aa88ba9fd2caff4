"""How well a dance keeps the beat: protocols, nulls and intervals (PAPER.md: Metrics).

A motion beat is a strict local minimum of the body's mean speed. Three named protocols:

| name | smoothing | minima | value | kernel |
|---|---|---|---|---|
| `seconds` (default, ours) | Gaussian, σ = 1/12 s, any frame rate | strict | F1 of recall and precision | σ = 50 ms |
| `bailando60` (Bailando) | Gaussian, σ = 5 frames at 60 fps | strict | mean over music beats (recall) | σ = 3 frames at 60 fps |
| `aist60` (AIST++, FACT) | none, summed speed at 60 fps | order 10 | mean over motion beats (precision) | σ = 3 frames at 60 fps |

The last two interpolate positions linearly to 60 fps first. Speeds between frames t and t + 1 are stamped (t + ½) / fps: half a frame of
error at 30 fps multiplies the score of a perfect dance by exp(−(1/60)² / (2·.05²)) = .946. Random smooth motion scores .06–.28 by
`bailando60`, which is where all published values lie: read every value beside its shuffled-music null.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.metrics.motion_beats import PROTOCOLS, Protocol, Times, motion_beats

__all__ = [
    "PROTOCOLS", "BeatClip", "BeatReport", "BeatScore", "Protocol", "Times", "beat_report", "bootstrap_interval", "chance_value",
    "motion_beats", "null_values", "score_beats", "tempo_of", "z_score",
]  # fmt: skip

KERNEL = 0.05
"""Width σ of the Gaussian kernel on the distance of two beats, seconds (3 frames at 60 fps)."""
HARD = 0.05
"""Two beats within this distance match for the hard F1, seconds."""
TEMPO_GAP = 0.05
"""Songs of the null differ in tempo from the clip's own by at least this share."""


@dataclass(frozen=True)
class BeatScore:
    """One dance against one list of music beats; the Gaussian-kernel values, then the hard F1, then counts."""

    recall: float
    """Mean over music beats of exp(−d²/2σ²), d to the nearest motion beat."""
    precision: float
    """Mean over motion beats of the same kernel, d to the nearest music beat."""
    f1: float
    """Harmonic mean of recall and precision."""
    hard_f1: float
    """F1 of the shares of beats with a partner within ±50 ms."""
    motion_beats: int
    music_beats: int

    def value(self, protocol: Protocol) -> float:
        """The number that the protocol reports."""
        return {"seconds": self.f1, "bailando60": self.recall, "aist60": self.precision}[protocol]


@dataclass(frozen=True)
class BeatClip:
    """What the scores need of one clip."""

    motion: Times
    """Motion beats in seconds from the first frame, of one protocol (`motion_beats`)."""
    music: Times
    """Music beats in seconds from the first frame."""
    tempo: int | float
    """Beats per minute of the song."""
    duration: int | float
    """Length of the clip in seconds; music beats outside [0, duration) are not scored."""


@dataclass(frozen=True)
class BeatReport:
    """A set of clips under one protocol. Clips without motion beats, or without music beats, are counted and enter no mean."""

    protocol: str
    value: float
    """Mean over clips of what the protocol reports (`BeatScore.value`)."""
    low: float
    high: float
    """Bootstrap 95 % interval of `value` over clips."""
    recall: float
    precision: float
    f1: float
    hard_f1: float
    null: float
    """Mean value of the same motion against other songs, tempo differing by ≥ 5 %; NaN without such songs."""
    z: float
    """(value − null) in standard deviations of the set's mean under random assignment of other songs."""
    chance: float
    """Mean value of the same motion against random-phase clicks at the song's own tempo."""
    motion_beats_per_second: float
    music_beats_per_second: float
    clips: int
    """Clips scored."""
    clips_without_motion_beats: int
    clips_without_music_beats: int
    clips_with_null: int

    def as_dict(self, prefix: str = "") -> dict[str, Any]:
        """Flat JSON-ready dictionary."""
        return {prefix + name: value for name, value in asdict(self).items()}


def _nearest(times: Times, others: Times) -> Float[NDArray, " _"]:
    """Distance of each time to the nearest of the ascending others."""
    position = np.searchsorted(others, times)
    left = np.abs(times - others[np.maximum(position - 1, 0)])
    right = np.abs(times - others[np.minimum(position, len(others) - 1)])
    return np.minimum(left, right)


def _harmonic(recall: float, precision: float) -> float:
    return 2 * recall * precision / (recall + precision) if recall + precision > 0 else 0.0


def score_beats(motion: Times, music: Times, *, duration: int | float | None = None, kernel: float = KERNEL) -> BeatScore:
    """Score motion beats against music beats, both ascending and in seconds.

    Args:
        motion: result of `motion_beats`.
        music: beats of the song on the clip's time axis.
        duration: when given, music beats outside [0, duration) are not scored.
        kernel: σ in seconds.

    Returns:
        All values NaN when either list is empty (a clip without beats is counted by the caller, not scored 0).
    """
    if duration is not None:
        music = music[(music >= 0) & (music < duration)]
    if not len(motion) or not len(music):
        return BeatScore(*(float("nan"),) * 4, motion_beats=len(motion), music_beats=len(music))
    to_motion, to_music = _nearest(music, motion), _nearest(motion, music)
    recall = float(np.exp(-(to_motion**2) / (2 * kernel**2)).mean())
    precision = float(np.exp(-(to_music**2) / (2 * kernel**2)).mean())
    hard = _harmonic(float((to_motion <= HARD).mean()), float((to_music <= HARD).mean()))
    return BeatScore(recall, precision, _harmonic(recall, precision), hard, len(motion), len(music))


def tempo_of(beats: Times) -> float:
    """Beats per minute from the median distance of beats; NaN with fewer than two."""
    return 60.0 / float(np.median(np.diff(beats))) if len(beats) > 1 else float("nan")


def null_values(clip: BeatClip, songs: Sequence[tuple[Times, int | float]], protocol: Protocol = "seconds") -> Float[NDArray, " song"]:
    """Values of this motion against other songs (beats, tempo), leaving out tempos within 5 % of the clip's own and songs without beats."""
    others = [beats for beats, tempo in songs if abs(tempo / clip.tempo - 1) >= TEMPO_GAP]
    values = np.array([score_beats(clip.motion, beats, duration=clip.duration).value(protocol) for beats in others])
    return values[~np.isnan(values)]


def chance_value(clip: BeatClip, protocol: Protocol = "seconds", *, phases: int = 16) -> float:
    """Mean value of this motion against clicks at the song's own tempo, over evenly spread phases; NaN where the song has no tempo."""
    if not clip.tempo > 0:
        return float("nan")
    period = 60.0 / clip.tempo
    clicks = np.arange(np.ceil(clip.duration / period) + 1) * period
    values = [score_beats(clip.motion, clicks + (i + 0.5) / phases * period, duration=clip.duration).value(protocol) for i in range(phases)]
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def bootstrap_interval(values: Float[NDArray, " clip"], *, draws: int = 2000, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean under resampling of clips with replacement."""
    if not len(values):
        return float("nan"), float("nan")
    index = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[index].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _mean(values: Sequence[float]) -> float:
    known = np.asarray([value for value in values if not np.isnan(value)], dtype=np.float64)
    return float(known.mean()) if len(known) else float("nan")


def z_score(values: Sequence[float], null_means: Sequence[float], null_variances: Sequence[float]) -> float:
    """Difference of the means in standard deviations of the set's mean when every clip draws one other song independently."""
    spread = float(np.sqrt(np.sum(null_variances))) / len(null_means) if len(null_means) else 0.0
    return (_mean(values) - _mean(null_means)) / spread if spread > 0 else float("nan")


def beat_report(clips: Sequence[BeatClip], *, protocol: Protocol = "seconds", seed: int = 0) -> BeatReport:
    """Values, nulls, chance and interval of a set of clips, each the null of the others.

    Args:
        clips: with the motion beats of this very protocol.
        protocol: what to report.
        seed: of the bootstrap.
    """
    own = [score_beats(clip.motion, clip.music, duration=clip.duration) for clip in clips]
    used = [(clip, score) for clip, score in zip(clips, own, strict=True) if score.motion_beats and score.music_beats]
    songs = [(clip.music, clip.tempo) for clip in clips]
    nulls = [null_values(clip, songs, protocol) for clip, _ in used]
    kept = [i for i, null in enumerate(nulls) if len(null)]
    values = np.array([score.value(protocol) for _, score in used])
    seconds = sum(clip.duration for clip in clips) or float("nan")
    low, high = bootstrap_interval(values, seed=seed)
    return BeatReport(
        protocol=protocol, value=_mean(list(values)), low=low, high=high,
        recall=_mean([s.recall for _, s in used]), precision=_mean([s.precision for _, s in used]),
        f1=_mean([s.f1 for _, s in used]), hard_f1=_mean([s.hard_f1 for _, s in used]),
        null=_mean([float(nulls[i].mean()) for i in kept]),
        z=z_score([float(values[i]) for i in kept], [float(nulls[i].mean()) for i in kept], [float(nulls[i].var()) for i in kept]),
        chance=_mean([chance_value(clip, protocol) for clip, _ in used]),
        motion_beats_per_second=sum(s.motion_beats for s in own) / seconds, music_beats_per_second=sum(s.music_beats for s in own) / seconds,
        clips=len(used), clips_without_motion_beats=sum(not s.motion_beats for s in own),
        clips_without_music_beats=sum(not s.music_beats for s in own), clips_with_null=len(kept),
    )  # fmt: skip
