"""Beat times of real music. The embedded data set knows its beats exactly and does not need this."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from xdancer.audio.librosa_loader import load_librosa
from xdancer.audio.waveform import is_silent, resample

__all__ = ["Beats", "is_silent", "track_beats"]

SAMPLE_RATE = 22050
HOP = 256
"""11.6 ms a frame; librosa's default of 512 would blur beat times by up to 12 ms. On click tracks the beats come 12–14 ms late."""


@dataclass(frozen=True)
class Beats:
    """Beats of one recording."""

    times: Float[np.ndarray, " beat"]
    """Seconds from the start of the waveform, ascending."""
    tempo: float
    """Beats per minute; 0 where there are no beats."""


def track_beats(waveform: Float[np.ndarray, " sample"], sample_rate: int) -> Beats:
    """Beats by librosa's dynamic programming (Ellis 2007); none for silence.

    The tempo is 60 / median beat interval, because librosa's own figure is quantised (120 BPM is reported as 117.5).
    """
    sound = resample(waveform, sample_rate, SAMPLE_RATE)
    if is_silent(sound):
        return Beats(np.zeros(0), 0.0)
    librosa = load_librosa()

    envelope = librosa.onset.onset_strength(y=sound, sr=SAMPLE_RATE, hop_length=HOP, aggregate=np.median)
    _, frames = librosa.beat.beat_track(onset_envelope=envelope, sr=SAMPLE_RATE, hop_length=HOP, trim=False)
    times = np.asarray(frames, dtype=np.float64) * HOP / SAMPLE_RATE
    tempo = 60.0 / float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return Beats(times, tempo)
