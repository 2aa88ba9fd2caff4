"""Songs: a kick on every beat, heard by librosa; style in the sound; the same bytes every time."""

import numpy as np
import pytest

from xdancer.audio.encoder import make_encoder
from xdancer.embedded.grid import BeatGrid
from xdancer.embedded.instruments import SAMPLE_RATE
from xdancer.embedded.song import SONG_STYLES, make_song
from xdancer.embedded.styles import DANCE_STYLES, STYLES


def test_song_and_dance_share_their_styles() -> None:
    assert tuple(SONG_STYLES) == STYLES
    assert len(STYLES) >= 6


def test_patterns_are_bars_of_sixteenths() -> None:
    for style in SONG_STYLES.values():
        for pattern in (style.extra_kick, style.snare_steps, style.hat_steps, style.block_steps, style.bass_steps, style.chord_steps):
            assert len(pattern) == 16
            assert set(pattern) <= set("xo.")


def test_grid() -> None:
    grid = BeatGrid(tempo=120.0, start_phase=3.25)
    assert grid.beats(2.0) == pytest.approx([0.375, 0.875, 1.375, 1.875])
    assert grid.phase(grid.beats(2.0)) == pytest.approx(grid.numbers(2.0))
    assert grid.numbers(2.0).tolist() == [4, 5, 6, 7]
    assert BeatGrid(120.0, 8.0).beats(0.6) == pytest.approx([0.0, 0.5])


@pytest.mark.parametrize("style", STYLES)
def test_librosa_hears_the_exact_beats(style: str) -> None:
    low, high = DANCE_STYLES[style].tempo
    song = make_song(style, "a", BeatGrid(low + 0.3 * (high - low), 5.7), seconds=8.0)
    assert song.waveform.shape == (8 * SAMPLE_RATE,)
    assert np.abs(song.waveform).max() == pytest.approx(0.85, abs=0.01)
    heard = np.flatnonzero(make_encoder("librosa")(song.waveform, song.sample_rate, 240)[:, 34]) / 30
    late = np.abs(heard[:, None] - (song.beats + 0.035)).min(0)  # librosa is late by that much, always
    assert (late < 0.06).mean() > 0.75


def test_sound_follows_name_and_style() -> None:
    grid = BeatGrid(110.0, 1.0)
    first = make_song("disco", "a", grid, seconds=2.0).waveform
    assert first.tobytes() == make_song("disco", "a", grid, seconds=2.0).waveform.tobytes()
    assert first.tobytes() != make_song("disco", "b", grid, seconds=2.0).waveform.tobytes()
    assert first.tobytes() != make_song("rock", "a", grid, seconds=2.0).waveform.tobytes()


def test_a_kick_starts_on_the_beat() -> None:
    song = make_song("swing", "kick", BeatGrid(100.0, 0.5), seconds=3.0)
    for beat in song.beats:
        at = round(beat * SAMPLE_RATE)
        before, after = song.waveform[max(at - 400, 0) : at], song.waveform[at : at + 400]
        assert np.abs(after).max() > 2 * np.abs(before).max()
