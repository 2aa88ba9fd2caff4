"""Motion beats against music beats: one pair, many pairs, every dance against every song (definitions: `beat_alignment`).

`score_beats` is the definition. `score_pairs` and `cross_values` give the same numbers to 1e-12 without a Python loop over beats: all lists lie
one after the other, and one search finds every nearest beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from xdancer.metrics.motion_beats import Protocol, Times

KERNEL = 0.05
"""Width σ of the Gaussian kernel on the distance of two beats, seconds (3 frames at 60 fps)."""
HARD = 0.05
"""Two beats within this distance match for the hard F1, seconds."""


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


class _Lists:
    """Ascending lists of times, one after the other."""

    def __init__(self, lists: Sequence[Times], until: Float[NDArray, " list"] | None = None) -> None:
        """All lists, or what lies of each in [0, until)."""
        count = np.array([len(times) for times in lists], dtype=np.int64)
        self.times = np.concatenate([np.zeros(0), *lists])
        self.owner = np.repeat(np.arange(len(lists)), count)
        if until is not None:
            inside = (self.times >= 0) & (self.times < until[self.owner])
            self.times, self.owner = self.times[inside], self.owner[inside]
            count = np.bincount(self.owner, minlength=len(lists))
        self.count = count
        self.first = np.cumsum(count) - count

    def mean(self, values: Float[NDArray, " time"]) -> Float[NDArray, " list"]:
        """Per list the mean of one value per time; NaN for an empty list."""
        sums = np.bincount(self.owner, weights=values, minlength=len(self.count))
        return _ratio(sums.astype(np.float64), self.count)  # of nothing, bincount gives integers

    def nearest(self, asked: "_Lists") -> Float[NDArray, " asked"]:
        """Distance of each time of `asked` to the nearest of the list of the same number here; anything where that is empty."""
        if not len(self.times) or not len(asked.times):
            return np.full(len(asked.times), np.inf)
        span = np.ptp(np.concatenate([self.times, asked.times])) + 1.0  # every list on an axis of its own; found, not measured there
        position = np.searchsorted(self.times + self.owner * span, asked.times + asked.owner * span)
        first = self.first[asked.owner]
        last = np.maximum(first + self.count[asked.owner] - 1, 0)
        left, right = (self.times[np.minimum(np.maximum(at, first), last)] for at in (position - 1, position))
        return np.minimum(np.abs(asked.times - left), np.abs(asked.times - right))


def _ratio(sums: Float[NDArray, "*any"], counts: Int[NDArray, "*any"]) -> Float[NDArray, "*any"]:
    return np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)


def _harmonics(recall: Float[NDArray, "*any"], precision: Float[NDArray, "*any"]) -> Float[NDArray, "*any"]:
    total = recall + precision
    unknown = np.where(np.isnan(total), np.nan, 0.0)
    return np.divide(2 * recall * precision, total, out=unknown, where=total > 0)


def score_pairs(
    motion: Sequence[Times], music: Sequence[Times], durations: Float[NDArray, " pair"], *, kernel: float = KERNEL
) -> list[BeatScore]:
    """`score_beats` of every pair of lists at once.

    Args:
        motion: motion beats of each pair.
        music: music beats of each pair.
        durations: of each pair, as `duration` there.
        kernel: σ in seconds.
    """
    dance, song = _Lists(motion), _Lists(music, durations)
    columns = (*_columns(dance, song, kernel), dance.count, song.count)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [BeatScore(recall, precision, f1, hard, beats, clicks) for recall, precision, f1, hard, beats, clicks in rows]


def pair_values(
    motion: Sequence[Times],
    music: Sequence[Times],
    durations: Float[NDArray, " pair"],
    protocol: Protocol = "seconds",
    *,
    kernel: float = KERNEL,
) -> Float[NDArray, " pair"]:
    """`score_pairs`, of which only `BeatScore.value`."""
    recall, precision, f1, _ = _columns(_Lists(motion), _Lists(music, durations), kernel)
    return {"seconds": f1, "bailando60": recall, "aist60": precision}[protocol]


def _columns(dance: _Lists, song: _Lists, kernel: float) -> Float[NDArray, "4 pair"]:
    """Recall, precision, F1 and hard F1; NaN without beats."""
    directions = ((song, dance.nearest(song)), (dance, song.nearest(dance)))
    soft = [lists.mean(np.exp(-(apart**2) / (2 * kernel**2))) for lists, apart in directions]
    hard = [lists.mean((apart <= HARD).astype(np.float64)) for lists, apart in directions]
    both = (dance.count > 0) & (song.count > 0)
    return np.where(both, np.stack([soft[0], soft[1], _harmonics(soft[0], soft[1]), _harmonics(hard[0], hard[1])]), np.nan)


def cross_values(
    motion: Sequence[Times],
    music: Sequence[Times],
    durations: Float[NDArray, " clip"],
    protocol: Protocol = "seconds",
    *,
    kernel: float = KERNEL,
) -> Float[NDArray, "clip song"]:
    """Value of every dance against every song, `score_beats(motion[i], music[j], duration=durations[i]).value(protocol)`; NaN without beats.

    Takes 16 bytes per clip and song; the work is that of one exponential per beat, clip and song (and direction, for `seconds`).
    """
    music = [beats[beats >= 0] for beats in music]
    inside = np.stack([np.searchsorted(beats, durations) for beats in music], axis=1) if music else np.zeros((len(motion), 0), np.int64)
    empty = (np.array([len(beats) for beats in motion], dtype=np.int64)[:, None] == 0) | (inside == 0)
    recall = _recalls(motion, music, durations, inside, kernel) if protocol != "aist60" else None
    precision = _precisions(motion, music, inside, kernel) if protocol != "bailando60" else None
    if recall is None or precision is None:
        values = precision if recall is None else recall
        assert values is not None
    else:
        values = _harmonics(recall, precision)
    return np.where(empty, np.nan, values)


def _closest(anchors: Times, times: Times) -> Int[NDArray, " _"]:
    """Index of the nearest anchor for each of the times; both ascending."""
    borders = np.searchsorted(times, (anchors[1:] + anchors[:-1]) / 2)
    return np.repeat(np.arange(len(anchors)), np.diff(borders, prepend=0, append=len(times)))


def _recalls(
    motion: Sequence[Times], music: Sequence[Times], durations: Float[NDArray, " clip"], inside: Int[NDArray, "clip song"], kernel: float
) -> Float[NDArray, "clip song"]:
    """Mean kernel over the music beats, of all songs at once in the order of time."""
    songs = _Lists(music)
    order = np.argsort(songs.times, kind="stable")
    times, owner = songs.times[order], songs.owner[order]
    sums = np.zeros(inside.shape)
    for row, (beats, end) in enumerate(zip(motion, np.searchsorted(times, durations), strict=True)):
        if len(beats) and end:
            apart = times[:end] - beats[_closest(beats, times[:end])]
            sums[row] = np.bincount(owner[:end], weights=np.exp(-(apart**2) / (2 * kernel**2)), minlength=len(music))
    return _ratio(sums, inside)


def _precisions(
    motion: Sequence[Times], music: Sequence[Times], inside: Int[NDArray, "clip song"], kernel: float
) -> Float[NDArray, "clip song"]:
    """Mean kernel over the motion beats, of all dances at once in the order of time."""
    dances = _Lists(motion)
    order = np.argsort(dances.times, kind="stable")
    times, owner = dances.times[order], dances.owner[order]
    sums = np.zeros(inside.shape)
    for column, beats in enumerate(music):
        if not len(beats) or not len(times):
            continue
        last = inside[:, column] - 1
        nearest = _closest(beats, times)
        if last.min() < len(beats) - 1:  # the end of a clip cuts the song: then its last beat before is the nearest
            nearest = np.minimum(nearest, last[owner])
        apart = times - beats[nearest]
        sums[:, column] = np.bincount(owner, weights=np.exp(-(apart**2) / (2 * kernel**2)), minlength=len(motion))
    return _ratio(sums, np.broadcast_to(dances.count[:, None], sums.shape))
