"""Music encoder `beat_phase`: where in the beat each video frame lies, from the beats of the librosa feature (its column 34).

Row t describes the moment t/30 s. With the last beat at or before it and the next beat after it, φ = seconds since the last / seconds between
the two: columns sin 2πφ, cos 2πφ, seconds since the last beat, seconds to the next beat. The seconds are clipped to 1 (below 60 BPM); their sum
is the beat interval, so the tempo can be read off. Before the first and after the last beat the neighbouring interval goes on. Where fewer than
two beats were found all four are 0, which no real phase is.
"""

from importlib.metadata import version

import numpy as np
from jaxtyping import Float, Int

from xdancer.audio.librosa_features import RATE, frame_sound, track_beat_frames
from xdancer.audio.librosa_loader import load_librosa
from xdancer.audio.waveform import is_silent
from xdancer.types import FPS

WIDTH = 4
LONGEST = 1.0
"""Seconds to which the distances are clipped."""


class BeatPhaseEncoder:
    """Music encoder `beat_phase`: 4 numbers a frame, 15 ms for 8 s of sound."""

    name = "beat_phase"
    width = WIDTH

    @property
    def version(self) -> str:
        return f"phase4-1+librosa{version('librosa')}"

    def __call__(self, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Float[np.ndarray, "frame 4"]:
        """Features of the first `frames` video frames; a shorter sound is padded with silence."""
        sound = frame_sound(waveform, sample_rate, frames)
        if is_silent(sound):
            return np.zeros((frames, WIDTH), dtype=np.float32)
        envelope = load_librosa().onset.onset_strength(y=sound, **RATE)
        return phase_rows(track_beat_frames(envelope), frames)


def phase_rows(beats: Int[np.ndarray, " beat"], frames: int) -> Float[np.ndarray, "frame 4"]:
    """The four columns of frames 0 … `frames` − 1 from the frames of the beats (ascending, without repetition)."""
    if len(beats) < 2:
        return np.zeros((frames, WIDTH), dtype=np.float32)
    times = np.arange(frames)
    left = np.clip(np.searchsorted(beats, times, side="right") - 1, 0, len(beats) - 2)  # the interval of each frame, or its nearest
    interval = beats[left + 1] - beats[left]
    phase = np.mod((times - beats[left]) / interval, 1.0)
    since = phase * interval / FPS
    until = (1.0 - phase) * interval / FPS
    angle = 2 * np.pi * phase
    return np.stack([np.sin(angle), np.cos(angle), since.clip(max=LONGEST), until.clip(max=LONGEST)], axis=1).astype(np.float32)
