"""The bulk scores are `score_beats`, pair by pair, to 1e-12."""

import numpy as np
import pytest
from numpy.typing import NDArray

from xdancer.metrics.beat_scores import BeatScore, cross_values, pair_values, score_beats, score_pairs
from xdancer.metrics.motion_beats import PROTOCOLS

Lists = list[NDArray[np.float64]]


def lists(number: int, *, seed: int) -> Lists:
    """Ascending times from -1 to 10 s, equal ones among them; every fifth list is empty."""
    rng = np.random.default_rng(seed)
    return [np.sort(np.round(rng.uniform(-1, 10, size=rng.integers(1, 30) if i % 5 else 0), 1)) for i in range(number)]


def as_row(score: BeatScore) -> list[float]:
    return [score.recall, score.precision, score.f1, score.hard_f1, score.motion_beats, score.music_beats]


@pytest.mark.parametrize("lengths", [[8.0], [0.0, 0.05, 3.0, 8.0, 20.0]])
def test_bulk_equals_one_by_one(lengths: list[float]) -> None:
    motion, music = [times[times >= 0] for times in lists(23, seed=0)], lists(23, seed=1)
    durations = np.resize(lengths, 23)
    pairs = list(zip(motion, music, durations.tolist(), strict=True))
    expected = np.array([as_row(score_beats(a, b, duration=until)) for a, b, until in pairs])
    np.testing.assert_allclose([as_row(score) for score in score_pairs(motion, music, durations)], expected, atol=1e-12)
    assert 0 < np.isnan(expected[:, 0]).sum() < 23
    for protocol in PROTOCOLS:
        values = [score_beats(a, b, duration=until).value(protocol) for a, b, until in pairs]
        np.testing.assert_allclose(pair_values(motion, music, durations, protocol), values, atol=1e-12)
        square = [
            [score_beats(a, b, duration=until).value(protocol) for b in music] for a, until in zip(motion, durations.tolist(), strict=True)
        ]
        np.testing.assert_allclose(cross_values(motion, music, durations, protocol), square, atol=1e-12)


def test_beats_far_apart_score_zero_not_nan() -> None:
    motion, music = np.array([0.0]), np.array([9.0])
    assert cross_values([motion], [music], np.array([10.0])).item() == score_beats(motion, music).f1 == 0.0


@pytest.mark.parametrize(("motion", "music"), [([], []), ([np.zeros(0)], [np.zeros(0)]), ([np.ones(1)], []), ([], [np.ones(1)])])
def test_nothing_gives_nothing(motion: Lists, music: Lists) -> None:
    values = cross_values(motion, music, np.full(len(motion), 5.0))
    assert values.shape == (len(motion), len(music))
    assert np.isnan(values).all()
