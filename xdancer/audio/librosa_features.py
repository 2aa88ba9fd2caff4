"""The 35-d librosa table of EDGE (https://github.com/Stanford-TML/EDGE, data/audio_extraction/baseline_features.py, MIT).

Row t describes the music around t/30 s. Columns: onset envelope 0 · MFCC 1–20 · chroma-CENS 21–32 · onset peak 33 · beat 34.
Nothing is normalised: the envelope is in dB of flux (0 to about 20), MFCC 0 reaches −1000 in silence, chroma in [0, 1], flags 0 or 1.
"""

from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from xdancer.audio.librosa_loader import load_librosa
from xdancer.audio.waveform import fit_length, fit_rows, is_silent, resample

HOP = 512
SAMPLE_RATE = 30 * HOP
WIDTH = 35
BEAT_COLUMN = 34
RATE: dict[str, Any] = {"sr": SAMPLE_RATE, "hop_length": HOP}
LEAST_SAMPLES = 4096
"""Two of librosa's windows; shorter sounds are padded with silence."""
CHROMA_SAMPLES = 8 * SAMPLE_RATE
"""The lowest octave of the chroma needs 8 s of sound; shorter ones are padded for it alone."""


class LibrosaEncoder:
    """Music encoder `librosa`: 35 hand-made features a frame, about 0.1 s for 8 s of sound (first call: seconds, numba compiles)."""

    name = "librosa"
    width = WIDTH

    @property
    def version(self) -> str:
        return f"edge35-1+librosa{version('librosa')}"

    def __call__(self, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Float[np.ndarray, "frame 35"]:
        """Features of the first `frames` video frames; a shorter sound is padded with silence.

        EDGE takes the start tempo of the beat tracker from AIST file names; here it is estimated from the envelope, as EDGE does for
        every other file.
        """
        librosa = load_librosa()

        sound = frame_sound(waveform, sample_rate, frames)
        envelope = librosa.onset.onset_strength(y=sound, **RATE)
        mfcc = librosa.feature.mfcc(y=sound, n_mfcc=20, **RATE)
        if is_silent(sound):  # no pitch and no tempo to estimate
            rows = np.zeros((len(envelope), WIDTH), dtype=np.float32)
            rows[:, 1:21] = mfcc.T
            return fit_rows(rows, frames)
        long_enough = fit_length(sound, max(len(sound), CHROMA_SAMPLES))
        chroma = librosa.feature.chroma_cens(y=long_enough, n_chroma=12, **RATE)[:, : len(envelope)]
        beats = track_beat_frames(envelope)
        peaks = librosa.onset.onset_detect(onset_envelope=envelope, **RATE)
        flags = np.zeros((len(envelope), 2), dtype=np.float32)
        flags[peaks, 0] = 1.0
        flags[beats, 1] = 1.0
        rows = np.concatenate([envelope[:, None], mfcc.T, chroma.T, flags], axis=1).astype(np.float32)
        return fit_rows(np.nan_to_num(rows), frames)


def frame_sound(waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Float[np.ndarray, " resampled"]:
    """The sound of the first `frames` video frames at 512 samples a frame, padded with silence where it is shorter."""
    return fit_length(resample(waveform, sample_rate, SAMPLE_RATE), max(frames * HOP, LEAST_SAMPLES))


def track_beat_frames(envelope: Float[np.ndarray, " frame"]) -> Int[np.ndarray, " beat"]:
    """Video frames of the beats, ascending, from the onset envelope (one value a frame) of a sound that is not silent."""
    librosa = load_librosa()

    tempo = float(librosa.feature.tempo(onset_envelope=envelope, **RATE)[0])
    _, beats = librosa.beat.beat_track(onset_envelope=envelope, start_bpm=max(tempo, 1.0), tightness=100, **RATE)
    return np.asarray(beats, dtype=np.int64)
