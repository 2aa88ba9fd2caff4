"""Mono waveforms: checks and resampling that the encoders and the beat tracker share."""

import numpy as np
import soxr
from jaxtyping import Float
from numpy.typing import NDArray

SILENCE_LEVEL = 1e-4
"""Peak amplitude (full scale 1) below which a waveform counts as silent: −80 dB."""


def is_silent(waveform: NDArray[np.float32]) -> bool:
    """True if nothing can be heard: no samples, or a peak below −80 dB."""
    return waveform.size == 0 or float(np.abs(waveform).max()) < SILENCE_LEVEL


def resample(waveform: Float[np.ndarray, " sample"], sample_rate: int, target_rate: int) -> Float[np.ndarray, " resampled"]:
    """Mono float32 waveform at another rate (soxr, high quality); not-finite samples become 0."""
    clean = np.asarray(waveform, dtype=np.float32)
    if not np.isfinite(clean).all():  # a long song is not copied for nothing
        clean = np.nan_to_num(clean, nan=0.0, posinf=0.0, neginf=0.0)
    if sample_rate == target_rate or clean.size == 0:
        return clean
    return np.asarray(soxr.resample(clean, sample_rate, target_rate, quality="HQ"), dtype=np.float32)


def fit_length(waveform: Float[np.ndarray, " sample"], samples: int) -> Float[np.ndarray, " fitted"]:
    """The first `samples` samples, padded with zeros if there are fewer."""
    return waveform[:samples] if len(waveform) >= samples else np.pad(waveform, (0, samples - len(waveform)))


def fit_rows(rows: Float[np.ndarray, "row width"], frames: int) -> Float[np.ndarray, "frame width"]:
    """Exactly `frames` rows: cut, or padded with zeros."""
    return np.pad(rows[:frames], ((0, max(0, frames - len(rows))), (0, 0)))
