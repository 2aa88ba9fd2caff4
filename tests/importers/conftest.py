"""Music features without the seconds that librosa takes to load."""

import numpy as np
import pytest

from xdancer.audio.beats import Beats
from xdancer.importers import dances


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of zeros, beats at 0.5 and 1 s; test_aist.py has a slow test with the real ones."""
    monkeypatch.setattr(dances, "encode_music", lambda sound, rate, frames, names: {"librosa": np.zeros((frames, 35), np.float32)})
    monkeypatch.setattr(dances, "track_beats", lambda sound, rate: Beats(np.array([0.5, 1.0]), 120.0))
