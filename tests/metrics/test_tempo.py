"""Tempos and octave errors of known beats."""

import numpy as np
import pytest

from xdancer.metrics.tempo import tempo_octave, tempo_of


def test_tempo_is_the_median_interval() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 3, 8, 9):
        beats = np.sort(rng.uniform(0, 10, size=count))
        assert tempo_of(beats) == 60 / float(np.median(np.diff(beats)))
    assert np.isnan([tempo_of(np.zeros(0)), tempo_of(np.ones(1)), tempo_of(np.ones(4))]).all()


def test_octaves_are_counted_within_eight_per_cent() -> None:
    true = np.full(8, 100.0)
    tracked = np.array([100.0, 107.9, 92.1, 200.0, 51.0, 150.0, np.nan, 0.0])
    octaves = tempo_octave(tracked, true)
    assert (octaves.same, octaves.double, octaves.half, octaves.other) == pytest.approx((3 / 6, 1 / 6, 1 / 6, 1 / 6))
    assert octaves.clips == 6
    assert tempo_octave(tracked, true, tolerance=0.01).same == pytest.approx(1 / 6)


def test_unknown_tempos_are_no_share() -> None:
    for true in (np.zeros(0), np.array([0.0]), np.array([np.nan])):
        octaves = tempo_octave(np.full(len(true), 120.0), true)
        assert octaves.clips == 0
        assert np.isnan([octaves.same, octaves.double, octaves.half, octaves.other]).all()
