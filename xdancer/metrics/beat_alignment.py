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

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.errors import XDancerError
from xdancer.metrics.beat_scores import HARD, KERNEL, BeatScore, cross_values, pair_values, score_beats, score_pairs
from xdancer.metrics.motion_beats import PROTOCOLS, Protocol, Times, motion_beats, motion_beats_of_clips
from xdancer.metrics.tempo import TempoOctaves, tempo_octave, tempo_of

__all__ = [
    "HARD", "KERNEL", "PROTOCOLS", "BeatClip", "BeatReport", "BeatScore", "Protocol", "TempoOctaves", "Times",
    "beat_report", "bootstrap_interval", "chance_value", "chance_values", "motion_beats", "motion_beats_of_clips", "null_values",
    "percentile_of", "score_beats", "tempo_octave", "tempo_of", "z_score",
]  # fmt: skip

TEMPO_GAP = 0.05
"""Songs of the null differ in tempo from the clip's own by at least this share."""
SHUFFLES = 200
"""Random assignments of other songs to the clips, for the null distribution of the set's mean."""
_BLOCK = 1000
"""Clips whose values against all songs are held at once."""


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

    def __post_init__(self) -> None:
        for name, times in (("Motion", self.motion), ("Music", self.music)):
            if not np.isfinite(times).all() or (np.diff(times) < 0).any():
                raise XDancerError(f"{name} beats {np.array2string(times, threshold=6)}: needs ascending finite seconds. Sort them, drop NaN.")
        if not (np.isfinite(self.duration) and self.duration >= 0):
            raise XDancerError(f"Clip of {self.duration} s: the duration must be finite and not negative. Pass frames / fps.")


@dataclass(frozen=True)
class BeatReport:
    """A set of clips under one protocol. Clips without motion beats, or without music beats, are counted and enter no mean."""

    protocol: str
    value: float
    """Mean over clips of what the protocol reports (`BeatScore.value`)."""
    low: float
    high: float
    """Bootstrap 95 % interval of `value` over clips; NaN below two clips."""
    recall: float
    precision: float
    f1: float
    hard_f1: float
    null: float
    """Mean value of the same motion against other songs, tempo differing by ≥ 5 %; NaN without such songs."""
    z: float
    """(value − null) in standard deviations of the set's mean under random assignment of other songs: the limit of many shuffles."""
    null_low: float
    null_high: float
    """Where 95 % of the set's means lie when every clip draws another song."""
    percentile: float
    """Per cent of these means that lie below the set's own (equal ones count half): 100 = better than every shuffle."""
    chance: float
    """Mean value of the same motion against random-phase clicks at the song's own tempo."""
    motion_beats_per_second: float
    music_beats_per_second: float
    clips: int
    """Clips scored."""
    clips_without_motion_beats: int
    clips_without_music_beats: int
    clips_with_null: int
    shuffles: int
    """Drawn assignments behind `null_low`, `null_high` and `percentile`."""
    motion_tempo: TempoOctaves
    """Tempo of the motion beats against `BeatClip.tempo`."""
    music_tempo: TempoOctaves
    """Tempo of the music beats against `BeatClip.tempo`: a tracker's errors where the tempo is the manifest's."""
    notes: tuple[str, ...] = ()
    """Why values are NaN, and which clips enter no mean."""

    def as_dict(self, prefix: str = "") -> dict[str, Any]:
        """Flat dictionary; the tempo shares as `motion_tempo_same` and so on."""
        flat: dict[str, Any] = {}
        for name, value in asdict(self).items():
            flat |= {f"{name}_{inner}": share for inner, share in value.items()} if isinstance(value, dict) else {name: value}
        return {prefix + name: value for name, value in flat.items()}


def _others(clip: BeatClip, tempos: Float[NDArray, " song"]) -> NDArray[np.bool_]:
    """Which songs differ enough in tempo; none for a clip of unknown tempo."""
    return np.abs(tempos / clip.tempo - 1) >= TEMPO_GAP if clip.tempo > 0 else np.zeros(len(tempos), bool)


def _tempos(songs: Sequence[tuple[Times, int | float]]) -> Float[NDArray, " song"]:
    return np.array([tempo for _, tempo in songs], dtype=np.float64)


def null_values(clip: BeatClip, songs: Sequence[tuple[Times, int | float]], protocol: Protocol = "seconds") -> Float[NDArray, " song"]:
    """Values of this motion against other songs (beats, tempo), leaving out tempos within 5 % of the clip's own and songs without beats."""
    others = [songs[i][0] for i in np.flatnonzero(_others(clip, _tempos(songs))).tolist()]
    values = pair_values([clip.motion] * len(others), others, np.full(len(others), float(clip.duration)), protocol)
    return values[~np.isnan(values)]


def _nulls(clips: Sequence[BeatClip], songs: Sequence[tuple[Times, int | float]], protocol: Protocol) -> Iterator[Float[NDArray, " _"]]:
    """`null_values` of every clip."""
    tempos = _tempos(songs)
    for start in range(0, len(clips), _BLOCK):
        block = clips[start : start + _BLOCK]
        durations = np.array([clip.duration for clip in block], dtype=np.float64)
        values = cross_values([clip.motion for clip in block], [beats for beats, _ in songs], durations, protocol)
        for clip, row in zip(block, values, strict=True):
            yield row[_others(clip, tempos) & ~np.isnan(row)]


def chance_values(clips: Sequence[BeatClip], protocol: Protocol = "seconds", *, phases: int = 16) -> Float[NDArray, " clip"]:
    """Per clip the mean value of its motion against clicks at the song's own tempo, over evenly spread phases; NaN where it has no tempo."""
    timed = np.array([0 < clip.tempo < np.inf for clip in clips], dtype=bool)
    pairs = [clip for clip, known in zip(clips, timed, strict=True) if known]
    songs: list[Times] = []
    for clip in pairs:
        period = 60.0 / clip.tempo
        clicks = np.arange(np.ceil(clip.duration / period) + 1) * period
        songs += list(clicks + (np.arange(phases)[:, None] + 0.5) / phases * period)
    durations = np.array([clip.duration for clip in pairs], dtype=np.float64)
    motion = [clip.motion for clip in pairs for _ in range(phases)]
    values = pair_values(motion, songs, np.repeat(durations, phases), protocol).reshape(-1, phases)
    known = ~np.isnan(values)
    means = np.full(len(clips), np.nan)
    means[timed] = np.where(known, values, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    return means


def chance_value(clip: BeatClip, protocol: Protocol = "seconds", *, phases: int = 16) -> float:
    """Mean value of this motion against clicks at the song's own tempo, over evenly spread phases; NaN where the song has no tempo."""
    return float(chance_values([clip], protocol, phases=phases)[0])


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


@dataclass(frozen=True)
class _Null:
    """The shuffled-music null of a set."""

    null: float
    z: float
    null_low: float
    null_high: float
    percentile: float
    clips_with_null: int
    shuffles: int


def percentile_of(value: float, draws: Float[NDArray, " draw"]) -> float:
    """Per cent of the draws below the value, equal ones (to 1e-12) by half."""
    equal = np.abs(draws - value) <= 1e-12
    return 100.0 * float(((draws < value) & ~equal).mean() + equal.mean() / 2)


def _null(
    clips: Sequence[BeatClip],
    values: Float[NDArray, " clip"],
    songs: Sequence[tuple[Times, int | float]],
    protocol: Protocol,
    *,
    shuffles: int,
    seed: int,
) -> _Null:
    """Exact mean and spread of the set's mean over all assignments of other songs, and a sample of such means."""
    rng = np.random.default_rng([seed, 1])
    own, means, variances, drawn = [], [], [], np.zeros(shuffles)
    for value, null in zip(values, _nulls(clips, songs, protocol) if shuffles else (), strict=bool(shuffles)):
        if len(null):
            own.append(float(value))
            means.append(float(null.mean()))
            variances.append(float(null.var()))
            drawn += null[rng.integers(len(null), size=shuffles)]
    if not own:
        return _Null(*(float("nan"),) * 5, clips_with_null=0, shuffles=0)
    drawn /= len(own)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return _Null(
        _mean(means), z_score(own, means, variances), float(low), float(high), percentile_of(float(np.mean(own)), drawn), len(own), shuffles
    )


def beat_report(
    clips: Sequence[BeatClip], *, protocol: Protocol = "seconds", seed: int = 0, shuffles: int = SHUFFLES, draws: int = 2000
) -> BeatReport:
    """Values, nulls, chance and interval of a set of clips, each the null of the others.

    Args:
        clips: with the motion beats of this very protocol.
        protocol: what to report.
        seed: of the bootstrap and of the shuffles.
        shuffles: random assignments of other songs; 0 leaves out the null altogether.
        draws: of the bootstrap; 0 leaves out the interval.
    """
    durations = np.array([clip.duration for clip in clips], dtype=np.float64)
    own = score_pairs([clip.motion for clip in clips], [clip.music for clip in clips], durations)
    used = [(clip, score) for clip, score in zip(clips, own, strict=True) if score.motion_beats and score.music_beats]
    scored = [clip for clip, _ in used]
    values = np.array([score.value(protocol) for _, score in used])
    null = _null(scored, values, [(clip.music, clip.tempo) for clip in clips], protocol, shuffles=shuffles, seed=seed)
    chances = chance_values(scored, protocol)
    low, high = bootstrap_interval(values, draws=draws, seed=seed) if draws and len(values) > 1 else (float("nan"),) * 2
    seconds = float(durations.sum()) or float("nan")
    tempos = np.array([clip.tempo for clip in clips], dtype=np.float64)
    return BeatReport(
        protocol=protocol, value=_mean(list(values)), low=low, high=high,
        recall=_mean([s.recall for _, s in used]), precision=_mean([s.precision for _, s in used]),
        f1=_mean([s.f1 for _, s in used]), hard_f1=_mean([s.hard_f1 for _, s in used]),
        chance=_mean(list(chances)),
        motion_beats_per_second=sum(s.motion_beats for s in own) / seconds, music_beats_per_second=sum(s.music_beats for s in own) / seconds,
        clips=len(used), clips_without_motion_beats=sum(not s.motion_beats for s in own),
        clips_without_music_beats=sum(not s.music_beats for s in own),
        motion_tempo=tempo_octave(np.array([tempo_of(clip.motion) for clip in clips]), tempos),
        music_tempo=tempo_octave(np.array([tempo_of(clip.music) for clip in clips]), tempos),
        notes=_notes(own, null, chances, asked=(bool(draws), bool(shuffles))), **asdict(null),
    )  # fmt: skip


def _notes(own: Sequence[BeatScore], null: _Null, chances: Float[NDArray, " scored"], *, asked: tuple[bool, bool]) -> tuple[str, ...]:
    """What a reader must know before believing the values; `asked`: for an interval, for a null."""
    still, silent = (sum(not getattr(score, name) for score in own) for name in ("motion_beats", "music_beats"))
    scored, unknown, alone = len(chances), int(np.isnan(chances).sum()), len(chances) - null.clips_with_null
    facts = {
        f"clips without motion beats, in no mean: {still} of {len(own)}": still,
        f"clips without music beats, in no mean: {silent} of {len(own)}": silent,
        "no clip has both motion beats and music beats: no value, null, chance or interval": not scored,
        "one clip: no interval over clips": scored == 1,
        "no interval was asked for (draws = 0)": scored and not asked[0],
        "no null was asked for (shuffles = 0)": scored and not asked[1],
        f"clips without a song of another tempo (5 % apart), in no null: {alone} of {scored}": alone and asked[1],
        "all other songs give the same value: no z": null.clips_with_null and np.isnan(null.z),
        f"clips without a tempo, in no chance: {unknown} of {scored}": unknown,
    }
    return tuple(note for note, true in facts.items() if true)
