"""Tempo of beats, and how often a tracker hears twice or half of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

TOLERANCE = 0.08
"""Two tempos within this share of each other are the same: at 30 fps the interval of 120 BPM is known to 7 %."""


@dataclass(frozen=True)
class TempoOctaves:
    """Shares of the clips by tracked tempo / true tempo; NaN without any clip of known tempo."""

    same: float
    """Ratio 1."""
    double: float
    """Ratio 2: a beat between every two."""
    half: float
    """Ratio ½: every second beat."""
    other: float
    clips: int
    """Clips whose tempo is known on both sides."""


def tempo_of(beats: Float[NDArray, " _"]) -> float:
    """Beats per minute from the median distance of beats; NaN with fewer than two, or where most are at one time."""
    if len(beats) < 2:
        return float("nan")
    gaps = np.sort(beats[1:] - beats[:-1])  # np.median, ten times as fast on few numbers
    interval = float(gaps[(len(gaps) - 1) // 2] + gaps[len(gaps) // 2]) / 2
    return 60.0 / interval if interval > 0 else float("nan")


def tempo_octave(tracked: Float[NDArray, " clip"], true: Float[NDArray, " clip"], *, tolerance: float = TOLERANCE) -> TempoOctaves:
    """How many clips have the tracked tempo at 1, 2, ½ of the true one (each ± `tolerance`), or elsewhere.

    Args:
        tracked: beats per minute of motion beats or of a tracker; NaN or 0 where unknown.
        true: beats per minute by the manifest; likewise.
        tolerance: largest |ratio / target − 1|.
    """
    known = np.isfinite(tracked) & np.isfinite(true) & (np.nan_to_num(tracked) > 0) & (np.nan_to_num(true) > 0)
    clips = int(known.sum())
    if not clips:
        return TempoOctaves(*(float("nan"),) * 4, clips=0)
    ratio = tracked[known] / true[known]
    shares = [float((np.abs(ratio / target - 1) <= tolerance).mean()) for target in (1.0, 2.0, 0.5)]
    return TempoOctaves(*shares, other=float((np.abs(ratio[:, None] / (1.0, 2.0, 0.5) - 1) > tolerance).all(axis=1).mean()), clips=clips)
