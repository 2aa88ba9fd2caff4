"""The same music is found in other cuts, encodings, loudness and noise; other music is not."""

import itertools

import numpy as np
import pytest

from xdancer import media
from xdancer.audio.fingerprint import (
    FRAME_RATE,
    LEAST_SECONDS,
    SAME,
    Fingerprint,
    Groups,
    best_lag,
    find_same_music,
    fingerprint,
    onsets,
    similarity,
)
from xdancer.audio.waveform import resample
from xdancer.embedded.grid import BeatGrid
from xdancer.embedded.song import make_song

SONGS = {"disco": 118.0, "hiphop": 92.0, "rock": 131.0}


def song(style: str, seconds: float = 16.0) -> tuple[np.ndarray, int]:
    made = make_song(style, style, BeatGrid(SONGS[style], 0.0), seconds=seconds)
    return made.waveform.astype(np.float32), made.sample_rate


def cut(waveform: np.ndarray, rate: int, start: float, stop: float) -> np.ndarray:
    return waveform[round(start * rate) : round(stop * rate)]


@pytest.fixture(scope="module")
def prints() -> dict[str, Fingerprint]:
    """Three songs, each whole, as another piece, softly in noise, and encoded."""
    random, found = np.random.default_rng(0), {}
    for style in SONGS:
        waveform, rate = song(style)
        noise = random.normal(size=8 * rate).astype(np.float32) * waveform.std() * 0.02
        found |= {
            f"{style} whole": fingerprint(waveform, rate),
            f"{style} piece": fingerprint(cut(waveform, rate, 3.33, 11.0), rate),
            f"{style} soft": fingerprint(0.1 * (cut(waveform, rate, 5.0, 13.0) + noise), rate),
            f"{style} aac": fingerprint(media.read_audio(media.encode_audio(waveform, rate), sample_rate=44100), 44100),
        }
    return found


def test_recordings_of_a_song_come_together_and_songs_stay_apart(prints: dict[str, Fingerprint]) -> None:
    names, found = sorted(prints), find_same_music(prints)
    groups = Groups(len(names))
    for match in found:
        assert match.first.split()[0] == match.second.split()[0], match
        groups.join(names.index(match.first), names.index(match.second))
    assert len({groups.root(number) for number in range(len(names))}) == len(SONGS)
    assert found == find_same_music(dict(reversed(prints.items())))


def test_every_pair_by_every_lag_says_the_same(prints: dict[str, Fingerprint]) -> None:
    """The hashes leave out no pair of these that a search of all lags finds."""
    for one, other in itertools.combinations(prints, 2):
        score, lag = best_lag(prints[one], prints[other])
        assert (score >= SAME) == (one.split()[0] == other.split()[0]), (one, other, score)
        if one.endswith("whole") and other == one.replace("whole", "piece"):  # a loop may fit better elsewhere
            assert similarity(onsets(prints[one]), onsets(prints[other]), round(3.33 * FRAME_RATE)) > 0.8
        assert similarity(onsets(prints[other]), onsets(prints[one]), -lag) == pytest.approx(score, abs=1e-6)


def test_another_sample_rate_changes_little() -> None:
    waveform, rate = song("disco", 8.0)
    score, lag = best_lag(fingerprint(waveform, rate), fingerprint(resample(waveform, rate, 48000), 48000))
    assert score > 0.98
    assert lag == 0


def test_silence_and_moments_have_none() -> None:
    assert fingerprint(np.zeros(200_000, np.float32), 22050).shape == (0, 12)
    assert fingerprint(np.ones(round(22050 * (LEAST_SECONDS - 0.1)), np.float32), 22050).shape == (0, 12)
    assert find_same_music({}) == []
    empty = np.zeros((0, 12), np.uint8)
    assert find_same_music({"a": empty, "b": empty}) == []
    assert best_lag(empty, empty) == (-1.0, 0)


def test_many_recordings_of_one_song_join_without_all_pairs(prints: dict[str, Fingerprint]) -> None:
    """Of forty equal ones every pair would be 780."""
    many = {f"{number:02d}": prints["rock whole"] for number in range(40)}
    assert len(find_same_music(many)) == 39
