"""Beat tracking on click tracks, and on nothing."""

import numpy as np
import pytest

from xdancer.audio.beats import track_beats


@pytest.mark.parametrize("bpm", [97.0, 120.0, 133.0])
def test_clicks_are_found_at_their_tempo(bpm):
    rate = 44100
    sound = np.zeros(10 * rate, dtype=np.float32)
    clicks = np.arange(0.3, 9.5, 60 / bpm)
    tone = (np.exp(-np.arange(2000) / 200) * np.sin(np.arange(2000) * 0.3)).astype(np.float32)
    for click in clicks:
        at = int(click * rate)
        sound[at : at + len(tone)] = tone
    beats = track_beats(sound, rate)
    assert beats.tempo == pytest.approx(bpm, rel=0.015)
    distance = np.abs(beats.times[:, None] - clicks[None, 2:-1]).min(axis=0)
    assert distance.max() < 0.04
    assert (np.diff(beats.times) > 0).all()


def test_silence_has_no_beats():
    for sound in (np.zeros(44100, dtype=np.float32), np.zeros(0, dtype=np.float32)):
        beats = track_beats(sound, 44100)
        assert len(beats.times) == 0
        assert beats.tempo == 0
