"""Which recordings hold the same music: chroma fingerprints, compared at every lag without comparing every pair.

A fingerprint is the chroma over time. To find pairs and lags that are worth comparing, stretches of 3 s are hashed by the signs of random
projections (Charikar 2002): of n recordings only those that share two keys at one lag are looked at, which takes time in n log n. They are
compared by the cosine of what begins to sound in each pitch class: of songs with the same chords at nearly the same tempo the chroma is alike,
its onsets are less so.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray

from xdancer.audio.librosa_loader import load_librosa
from xdancer.audio.waveform import is_silent, resample

SAMPLE_RATE, WINDOW, HOP = 11025, 4096, 512
FRAME_RATE = SAMPLE_RATE / HOP
"""21.5 rows a second."""
RISE = 3
"""Rows over which a pitch class grows."""
LASTING = 2.0
"""Seconds over which what stays the same is taken away."""
LEAST_SECONDS = 4.0
"""Shorter stretches in common say nothing."""
SAME = 0.7
"""From this cosine on it is the same music; docs/experiments.md has how far both kinds of pairs lie from it."""

STRETCH, STRIDE, STEP = 64, 4, 2
"""Rows of a hashed stretch, every how many of them are used, and rows from one stretch to the next."""
TABLES, BITS, HITS = 12, 18, 2
"""Hash tables, signs of a key, and keys that two recordings must share at one lag."""
LAGS = 8
"""So many lags of a pair are compared: music repeats itself."""
CROWD = 8
"""Stretches with one key of which all pairs are looked at; of more only neighbours, which is enough to join them."""

Fingerprint = UInt8[np.ndarray, "_ 12"]
"""log(1 + 100 · energy) of the pitch classes in 1/`LEVELS`, C first."""
LEVELS = 16
Rows = Float[np.ndarray, "_ 12"]


@dataclass(frozen=True)
class SameMusic:
    """Two recordings of the same music."""

    first: str
    second: str
    score: float
    """Cosine over what they share."""
    offset: float
    """Seconds in the first where the second begins."""


def fingerprint(waveform: Float[np.ndarray, " sample"], sample_rate: int) -> Fingerprint:
    """Rows of 12 pitch classes at `FRAME_RATE`; none for silence and for less than `LEAST_SECONDS`."""
    sound = resample(waveform, sample_rate, SAMPLE_RATE)
    if is_silent(sound) or len(sound) < LEAST_SECONDS * SAMPLE_RATE:
        return np.zeros((0, 12), np.uint8)
    librosa = load_librosa()
    bank = librosa.filters.chroma(sr=SAMPLE_RATE, n_fft=WINDOW, tuning=0.0, norm=None, octwidth=None)
    chroma = np.log1p(100 * (bank @ np.abs(librosa.stft(sound / np.abs(sound).max(), n_fft=WINDOW, hop_length=HOP)))).T
    return np.round(LEVELS * chroma).clip(0, 255).astype(np.uint8)


def harmony(chroma: Fingerprint) -> Rows:
    """The chroma without loudness and without what lasts (key, timbre, equaliser)."""
    return _levelled(chroma.astype(np.float32))


def onsets(chroma: Fingerprint) -> Rows:
    """How much each pitch class grows, levelled alike."""
    values = chroma.astype(np.float32)
    return _levelled(np.pad(np.maximum(values[RISE:] - values[:-RISE], 0), ((min(RISE, len(values)), 0), (0, 0))))


def _levelled(rows: Rows) -> Rows:
    if not len(rows):
        return rows
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows = rows - _running_mean(rows, round(LASTING * FRAME_RATE) | 1)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / (length + 0.3 * length.mean() + 1e-9)).astype(np.float32)


def similarity(one: Rows, other: Rows, lag: int) -> float:
    """Cosine of the rows (`onsets`) that lie on one another when `other` begins at row `lag` of `one`; −1 if they are too few."""
    first, second = one[max(lag, 0) :], other[max(-lag, 0) :]
    rows = min(len(first), len(second))
    if rows < LEAST_SECONDS * FRAME_RATE:
        return -1.0
    a, b = first[:rows], second[:rows]
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-9))


def best_lag(one: Fingerprint, other: Fingerprint) -> tuple[float, int]:
    """The greatest similarity of two fingerprints over all lags, and its lag in rows."""
    first, second = onsets(one), onsets(other)
    least = int(LEAST_SECONDS * FRAME_RATE)
    lags = range(least - len(other), len(one) - least + 1)
    return max(((similarity(first, second, lag), lag) for lag in lags), default=(-1.0, 0))


def find_same_music(prints: Mapping[str, Fingerprint]) -> list[SameMusic]:
    """Pairs of the same music, enough of them to join all recordings of it, in the order of the names."""
    names = sorted(prints)
    joined, found = Groups(len(names)), []
    rows = cache(lambda number: onsets(prints[names[number]]))
    for first, second, lag in _candidates([prints[name] for name in names]):
        if joined.together(first, second):
            continue
        score, lag = max((similarity(rows(first), rows(second), lag + shift), lag + shift) for shift in range(-STEP, STEP + 1))
        if score >= SAME:
            joined.join(first, second)
            found.append(SameMusic(names[first], names[second], round(score, 3), round(lag / FRAME_RATE, 2)))
    return sorted(found, key=lambda pair: (pair.first, pair.second))


class Groups:
    """Disjoint sets of numbers."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, member: int) -> int:
        """The number that stands for a member's set: its smallest."""
        while self.parent[member] != member:
            self.parent[member] = self.parent[self.parent[member]]
            member = self.parent[member]
        return member

    def together(self, one: int, other: int) -> bool:
        """Whether two are in one set."""
        return self.root(one) == self.root(other)

    def join(self, one: int, other: int) -> None:
        """Make one set of two."""
        low, high = sorted((self.root(one), self.root(other)))
        self.parent[high] = low


def _running_mean(values: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    padded = np.pad(values, ((width // 2 + 1, width // 2), (0, 0)), mode="edge").cumsum(axis=0)
    return (padded[width:] - padded[:-width]) / width


def _keys(rows: Rows, directions: Float[np.ndarray, "dimension key"]) -> Int[np.ndarray, "stretch table"]:
    """Of each stretch its key in every table; of music that stands still none would be its own, so it has none."""
    if len(rows) < STRETCH:
        return np.zeros((0, TABLES), np.int64)
    stretches = np.lib.stride_tricks.sliding_window_view(rows, STRETCH, axis=0)[::STEP, :, ::STRIDE].reshape(-1, directions.shape[0])
    signs = (stretches @ directions > 0).reshape(-1, TABLES, BITS)
    return signs @ (1 << np.arange(BITS))


def _candidates(prints: list[Fingerprint]) -> Iterator[tuple[int, int, int]]:
    """Pairs that share `HITS` keys at one lag, those of most keys first; a pair at most at `LAGS` lags."""
    directions = np.random.default_rng(0).standard_normal((12 * STRETCH // STRIDE, TABLES * BITS), dtype=np.float32)
    keys = [_keys(harmony(chroma), directions) for chroma in prints]
    owner = np.repeat(np.arange(len(prints)), [len(one) for one in keys])
    place = np.concatenate([np.arange(len(one)) for one in keys]) if keys else np.zeros(0, np.int64)
    table = np.concatenate(keys) if keys else np.zeros((0, TABLES), np.int64)
    codes = [_shared(table[:, number], owner, place, len(prints)) for number in range(TABLES)]
    code, hits = np.unique(np.concatenate(codes), return_counts=True)
    beside = np.append(np.diff(code) == 1, False)
    hits = hits + np.where(beside, np.append(hits[1:], 0), 0)  # a lag between two steps falls on both
    chosen = hits >= HITS
    code, hits = code[chosen], hits[chosen]
    order = np.lexsort((code, -hits))
    seen = Counter[int]()
    for number in order.tolist():
        pair, lag = divmod(int(code[number]), 2 * _FAR)
        seen[pair] += 1
        if seen[pair] <= LAGS:
            yield *divmod(pair, len(prints)), (lag - _FAR) * STEP


_FAR = 1 << 20
"""Steps beyond any lag: a day."""


def _shared(keys: NDArray[np.int64], owner: NDArray[np.int64], place: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pairs of stretches with one key as (first · count + second) · 2 · `_FAR` + `_FAR` + lag, first < second."""
    order = np.lexsort((owner, keys))
    keys, owner, place = keys[order], owner[order], place[order]
    size = np.diff(np.append(np.flatnonzero(np.append(True, np.diff(keys) != 0)), len(keys))) if len(keys) else np.zeros(0, np.int64)
    crowded = np.repeat(size > CROWD, size)
    first = np.append(True, (np.diff(keys) != 0) | (np.diff(owner) != 0))[: len(keys)]  # of a recording that repeats itself
    found = []
    for chosen, reach in ((~crowded, CROWD), (crowded & first, 3)):
        key, who, where = keys[chosen], owner[chosen], place[chosen]
        for step in range(1, reach):
            ahead = np.flatnonzero((key[step:] == key[:-step]) & (who[step:] != who[:-step]))
            found.append((who[ahead] * count + who[ahead + step]) * (2 * _FAR) + _FAR + where[ahead] - where[ahead + step])
    return np.concatenate(found)
