"""The beat's phase in closed form, and on clicks that the librosa feature hears too."""

import numpy as np
import pytest

from xdancer.audio.beat_phase import phase_rows
from xdancer.audio.encoder import encode_music, make_encoder
from xdancer.audio.librosa_features import BEAT_COLUMN

RATE = 22050


def clicks(interval: float, seconds: float = 8.0, start: float = 0.4) -> np.ndarray:
    sound = np.zeros(int(seconds * RATE), dtype=np.float32)
    tone = (np.exp(-np.arange(2000) / 250) * np.sin(np.arange(2000) * 0.1)).astype(np.float32)
    for beat in np.arange(start, seconds - 0.1, interval):
        sound[int(beat * RATE) : int(beat * RATE) + len(tone)] += 0.8 * tone
    return sound


def test_between_beats_the_phase_is_linear_and_goes_on_outside_them():
    beats = np.array([5, 15, 35])
    rows = phase_rows(beats, 60)
    t = np.arange(60)
    interval = np.where(t < 15, 10, 20)
    since = np.where(t < 15, (t - 5) % 10, (t - 15) % 20)
    np.testing.assert_allclose(rows[:, 0], np.sin(2 * np.pi * since / interval), atol=1e-6)
    np.testing.assert_allclose(rows[:, 1], np.cos(2 * np.pi * since / interval), atol=1e-6)
    np.testing.assert_allclose(rows[:, 2], since / 30, atol=1e-6)
    np.testing.assert_allclose(rows[:, 3], (interval - since) / 30, atol=1e-6)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[beats], [[0, 1, 0, 10 / 30], [0, 1, 0, 20 / 30], [0, 1, 0, 20 / 30]], atol=1e-6)


def test_slow_beats_are_clipped_to_a_second():
    rows = phase_rows(np.array([0, 90]), 90)
    assert rows[:, 2:].max() == 1
    np.testing.assert_allclose(rows[30:61, 2:], 1)
    assert rows[29, 2] < 1


@pytest.mark.parametrize("beats", [[], [7]])
def test_fewer_than_two_beats_are_no_phase(beats):
    assert not phase_rows(np.array(beats, dtype=np.int64), 20).any()


def test_on_clicks_it_agrees_with_the_librosa_feature_and_the_truth():
    """120 BPM at 30 frames a second: a beat every 15 frames, up to the tracker's frame of delay."""
    music = encode_music(clicks(0.5), RATE, 240, ["librosa", "beat_phase"])
    heard = np.flatnonzero(music["librosa"][:, BEAT_COLUMN])
    rows = music["beat_phase"]
    assert len(heard) >= 12
    np.testing.assert_allclose(rows[heard, :3], np.tile([0.0, 1.0, 0.0], (len(heard), 1)), atol=1e-6)
    on_beat = np.flatnonzero(rows[:, 2] == 0)
    np.testing.assert_array_equal(on_beat[(on_beat >= heard[0]) & (on_beat <= heard[-1])], heard)
    true_phase = (np.arange(240) / 30 - 0.4) / 0.5
    distance = np.abs(np.angle(np.exp(1j * (np.arctan2(rows[:, 0], rows[:, 1]) - 2 * np.pi * true_phase))))
    assert distance.max() < 2 * np.pi * 2 / 15  # two frames of fifteen
    np.testing.assert_allclose(rows[:, 2] + rows[:, 3], 0.5, atol=0.07)


def test_silence_has_no_phase():
    assert not make_encoder("beat_phase")(np.zeros(RATE, dtype=np.float32), RATE, 30).any()
    assert make_encoder("beat_phase").version.startswith("phase4-1+librosa")
