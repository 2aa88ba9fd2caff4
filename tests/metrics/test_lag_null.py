"""Brake synchrony: closed forms of the envelope and the lag null, music-locked and free motion, degenerate clips, sums over clips."""

import warnings

import numpy as np
import pytest
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from xdancer.errors import XDancerError
from xdancer.metrics import lag_null as ln
from xdancer.metrics.lag_null import (
    REASONS,
    Synchrony,
    braking_envelope,
    envelope_of_features,
    lag_curve,
    lag_null,
    onset_envelope,
    rhythm,
    speed_falls,
    sync_score,
)

FRAMES = 240
BEATS = np.array([0.4, 0.93, 1.5, 1.96, 2.61, 3.04, 3.7, 4.12, 4.75, 5.3, 5.71, 6.4, 6.83, 7.4])
"""Uneven: no lag but 0 repeats them."""


def clicks(times: NDArray[np.float64], frames: int = FRAMES, fps: float = 30.0) -> Float[NDArray, " frame"]:
    """An onset envelope with a bump of σ = 20 ms at every time."""
    return np.exp(-((np.arange(frames)[:, None] / fps - times) ** 2) / (2 * 0.02**2)).sum(axis=1)


def dance(stops: NDArray[np.float64], frames: int = FRAMES, fps: float = 30.0, seed: int = 0) -> Float[NDArray, "frame 60 3"]:
    """Joints that run to a new place ever faster and stop there at these times."""
    rng = np.random.default_rng(seed)
    time = np.arange(-1.0, frames / fps + 1, 1 / 480)
    hits = np.r_[-2.0, stops, frames / fps + 2]
    places = rng.standard_normal((len(hits), 18, 2))
    last = np.searchsorted(hits, time, side="right") - 1
    done = ((time - hits[last]) / (hits[last + 1] - hits[last]))[:, None, None] ** 2
    body = gaussian_filter1d(places[last] + done * (places[last + 1] - places[last]), 5, axis=0)
    pose = np.zeros((frames, 60, 3), dtype=np.float32)
    pose[:, :18, :2] = body[np.round((np.arange(frames) / fps + 1) * 480).astype(int)]
    pose[:, :18, 2] = 1.0
    return pose


def free(seed: int) -> Float[NDArray, "frame 60 3"]:
    """Smooth noise."""
    pose = np.zeros((FRAMES, 60, 3), dtype=np.float32)
    pose[..., :2] = gaussian_filter1d(np.random.default_rng(seed).standard_normal((FRAMES + 60, 60, 2)), 5, axis=0)[30:-30]
    pose[:, :18, 2] = 1.0
    return pose


def songs(count: int, seed: int) -> list[Float[NDArray, " frame"]]:
    """Onset envelopes of songs that know nothing of each other."""
    rng = np.random.default_rng(seed)
    return [clicks(np.cumsum(rng.uniform(0.35, 0.7, 30)) - 1.0) for _ in range(count)]


def test_falls_of_a_speed_by_hand() -> None:
    speed = np.array([0.0, 4.0, 3.0, 1.0, 2.0, 2.0, 1.0])[:, None]
    falls = speed_falls(speed)
    np.testing.assert_allclose(falls.drop, [3, 1])
    np.testing.assert_allclose(falls.centre, [(1 * 2 + 2 * 3) / 3, 6])  # frames: the difference of pairs k and k + 1 lies at frame k + 1
    np.testing.assert_allclose(falls.stop, [3.5, 6.5])


def test_the_envelope_peaks_at_the_stops_and_knows_no_unit() -> None:
    envelope = braking_envelope(dance(BEATS))
    assert np.isclose(envelope, braking_envelope(dance(BEATS) * np.array([7.0, 7.0, 1.0], dtype=np.float32)) / 7, rtol=1e-4).all()
    peaks = np.array([envelope[round(beat * 30) - 4 : round(beat * 30) + 5].argmax() - 4 for beat in BEATS[1:-1]])
    assert np.abs(peaks).max() <= 2  # half way between braking and standing


def test_a_dance_on_its_music_beats_all_lags() -> None:
    score = sync_score(dance(BEATS), clicks(BEATS))
    assert score.percentile == 1.0
    assert score.score > 0.7
    assert score.z > 3
    assert abs(score.best_lag_seconds) <= 1 / 15
    assert not score.reason


@pytest.mark.parametrize("frames_late", [-2, 2])
def test_the_lag_is_positive_where_the_dance_is_late(frames_late: int) -> None:
    motion = clicks(BEATS + frames_late / 30)
    assert lag_null(motion, clicks(BEATS), 30.0).best_lag_seconds == pytest.approx(frames_late / 30)


@pytest.mark.parametrize("fps", [24.0, 29.97, 60.0])
def test_other_frame_rates(fps: float) -> None:
    frames = int(8 * fps)
    score = sync_score(dance(BEATS, frames, fps), clicks(BEATS, frames, fps), fps)
    assert score.percentile == 1.0
    assert abs(score.best_lag_seconds) < 0.07


def test_the_curve_is_the_plain_circular_correlation() -> None:
    rng = np.random.default_rng(1)
    motion, music = rng.standard_normal((2, 50))
    direct = [np.mean(np.roll(motion, -lag) * music) for lag in range(50)]
    np.testing.assert_allclose(lag_curve(motion, music), direct, atol=1e-12)


def test_half_a_beat_off_is_worse_than_most_lags() -> None:
    even = np.arange(0.25, 8, 0.5)
    assert sync_score(dance(even + 0.25), clicks(even)).percentile < 0.3


@pytest.mark.parametrize("period", [0.4, 0.5, 0.7])
def test_the_same_beat_for_ever_is_as_good_one_beat_later(period: float) -> None:
    """The failure case of the docstring: a metronome with itself, against the uneven beats with themselves."""
    metronome = clicks(np.arange(-5 * period, 12, period))
    score = lag_null(metronome, metronome, 30.0)
    assert score.score == pytest.approx(1)
    assert score.z < 2 < lag_null(clicks(BEATS), clicks(BEATS), 30.0).z


def test_motion_without_music_is_at_chance() -> None:
    values = [sync_score(free(i), song).percentile for i, song in enumerate(songs(120, 5))]
    assert abs(np.mean(values) - 0.5) < 3 / np.sqrt(12 * 120)
    assert 0.02 < np.mean(np.array(values) > 0.9) < 0.2


def test_own_song_against_other_songs() -> None:
    own = sync_score(dance(BEATS), clicks(BEATS)).score
    assert all(sync_score(dance(BEATS), song).score < own for song in songs(10, 2))


def test_unseen_moments_are_bridged() -> None:
    pose = dance(BEATS)
    pose[50:60, 4], pose[100:104, :18, 2] = np.nan, 0.0
    pose[:150, 7, 2] = 0.1  # seen in 90 of 240 frames: left out
    assert ln.joint_velocities(pose, 30.0).shape == (FRAMES - 1, 17, 2)
    assert sync_score(pose, clicks(BEATS)).percentile == 1.0


def test_clips_that_cannot_be_judged_say_why() -> None:
    still, blind = dance(BEATS), dance(BEATS)
    still[:], blind[..., 2] = still[:1], 0.2
    music = clicks(BEATS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = [(dance(BEATS)[:119], music[:119]), (blind, music), (still, music), (dance(BEATS), music * 0)]
        found = [sync_score(pose, song) for pose, song in pairs]
        assert sync_score(dance(BEATS)[:1], music[:1]).reason == REASONS[0]
    assert [score.reason for score in found] == list(REASONS)
    assert all(np.isnan([score.score, score.percentile, score.z, score.best_lag_seconds]).all() for score in found)
    assert rhythm(np.ones(100), 30.0) is None


def test_bad_input_is_refused() -> None:
    with pytest.raises(XDancerError, match=r"motion has 240 frames, the music's envelope 239"):
        sync_score(dance(BEATS), clicks(BEATS)[:-1])
    with pytest.raises(XDancerError, match="not finite"):
        sync_score(dance(BEATS), np.full(FRAMES, np.nan))
    with pytest.raises(XDancerError, match=r"0 frames at 30\.0 per second"):
        onset_envelope(np.zeros(10, dtype=np.float32), 44100, 0)


def test_onsets_are_where_the_sound_is_and_those_of_the_features() -> None:
    from xdancer.audio.librosa_features import LibrosaEncoder

    rng = np.random.default_rng(0)
    sound = 1e-3 * rng.standard_normal(8 * 44100).astype(np.float32)
    for beat in BEATS:
        at = round(beat * 44100)
        sound[at : at + 2000] += np.exp(-np.arange(2000) / 200) * rng.standard_normal(2000)
    envelope = onset_envelope(sound, 44100, FRAMES)
    table = envelope_of_features(LibrosaEncoder()(sound, 44100, FRAMES))
    np.testing.assert_allclose(envelope[:-4], table[:-4], atol=1e-2)
    fine = onset_envelope(sound, 44100, 480, 60.0)
    np.testing.assert_allclose(fine[::2][:-4], envelope[:-4], atol=1e-2)
    for beat in BEATS[1:-1]:
        near = np.abs(np.arange(480) / 60 - beat) < 0.12
        assert abs((fine * near * (np.arange(480) / 60 - beat)).sum() / (fine * near).sum()) < 0.02
    assert not onset_envelope(np.zeros(44100, dtype=np.float32), 44100, 30).any()


def test_the_metric_adds_up_and_counts() -> None:
    whole, first, second = Synchrony(), Synchrony(), Synchrony()
    clips = [(free(i), song) for i, song in enumerate(songs(5, 7))] + [
        (dance(BEATS)[:60], clicks(BEATS)[:60]),
        (dance(BEATS), np.zeros(FRAMES)),
    ]
    for number, (pose, song) in enumerate(clips):
        whole.update(pose, song)
        (first if number % 2 else second).update(pose, song)
    values = whole.compute()
    scores = [sync_score(pose, song) for pose, song in clips[:5]]
    assert values["percentile"] == pytest.approx(np.mean([score.percentile for score in scores]))
    assert values["set_z"] == pytest.approx((values["percentile"] - 0.5) * np.sqrt(60))
    assert (values["clips"], values["clips_too_short"], values["clips_without_music"], values["clips_without_motion"]) == (5, 1, 1, 0)
    first.sums, first.counts = first.sums + second.sums, first.counts + second.counts  # what two processes do
    assert first.compute() == pytest.approx(values)
    assert first.sums.dtype.itemsize == 8
    assert first.higher_is_better


def test_no_clip_and_one_clip() -> None:
    metric = Synchrony()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns of compute before update
        empty = metric.compute()
    assert np.isnan(empty["percentile"])
    assert np.isnan(empty["set_z"])
    assert empty["clips"] == 0
    metric.update(dance(BEATS), clicks(BEATS))
    one = metric.compute()
    assert one["percentile"] == 1.0
    assert one["set_z"] == pytest.approx(np.sqrt(3))
    assert one["clips"] == 1
