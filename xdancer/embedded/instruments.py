"""The synthesiser's instruments: single strokes and notes as float32 waveforms, full scale about 1."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 44100
Wave = NDArray[np.float32]
_TABLE_SIZE = 2048
TIMBRES: dict[str, tuple[float, ...]] = {  # strengths of the harmonics
    "sine": (1.0, 0.05),
    "organ": (1.0, 0.6, 0.3, 0.35, 0.0, 0.15, 0.0, 0.12),
    "saw": tuple(1 / k for k in range(1, 17)),
    "square": tuple((k % 2) / k for k in range(1, 16)),
    "piano": (1.0, 0.5, 0.22, 0.12, 0.06, 0.03),
    "brass": (0.6, 0.9, 1.0, 0.8, 0.5, 0.3, 0.15, 0.08),
    "pad": (1.0, 0.25, 0.35, 0.08, 0.15, 0.0, 0.05),
    "guitar": (0.7, 1.0, 0.8, 0.9, 0.6, 0.7, 0.45, 0.5, 0.3, 0.35, 0.2, 0.25, 0.15, 0.18, 0.1, 0.12),
}


def _times(seconds: float) -> NDArray[np.float64]:
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


@cache
def _noise(seconds: float) -> Wave:
    return np.random.default_rng(7).standard_normal(int(seconds * SAMPLE_RATE)).astype(np.float32)


def kick(pitch: float, decay: float) -> Wave:
    """A drum falling to `pitch` Hz with a click in front, which is what beat trackers hear."""
    t = _times(0.32)
    body = np.sin(2 * np.pi * (pitch * t + 2.2 * pitch * 0.03 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / decay)
    click = _noise(0.32) * np.exp(-t / 0.004) * 0.5
    return (body + click).astype(np.float32)


def snare(tone: float, decay: float) -> Wave:
    t = _times(0.25)
    hiss = np.diff(_noise(0.25), prepend=np.float32(0)) * 0.5
    return (0.6 * hiss * np.exp(-t / decay) + 0.5 * np.sin(2 * np.pi * tone * t) * np.exp(-t / (0.6 * decay))).astype(np.float32)


def clap(decay: float) -> Wave:
    t = _times(0.25)
    bursts = sum(np.where(t >= start, np.exp(-np.maximum(t - start, 0) / 0.006), 0) for start in (0.0, 0.011, 0.021))
    return (0.4 * _noise(0.25) * (bursts * 0.5 + np.where(t > 0.02, np.exp(-(t - 0.02) / decay), 0))).astype(np.float32)


def hat(decay: float) -> Wave:
    t = _times(0.2)
    return (np.diff(_noise(0.2), n=2, prepend=np.zeros(2, np.float32)) * 0.25 * np.exp(-t / decay)).astype(np.float32)


def block(pitch: float, decay: float) -> Wave:
    """Cowbell, wood block, conga: two partials that die quickly."""
    t = _times(0.25)
    return ((np.sin(2 * np.pi * pitch * t) + 0.6 * np.sin(2 * np.pi * 1.48 * pitch * t)) * np.exp(-t / decay) * 0.5).astype(np.float32)


@cache
def _table(timbre: str) -> Wave:
    phase = 2 * np.pi * np.arange(_TABLE_SIZE) / _TABLE_SIZE
    wave = sum(strength * np.sin((k + 1) * phase) for k, strength in enumerate(TIMBRES[timbre]))
    return (wave / np.abs(wave).max()).astype(np.float32)


def note(timbre: str, pitch: float, seconds: float, *, attack: float, decay: float, detune: float = 0.0) -> Wave:
    """A tone of `pitch` Hz; `detune` adds a second voice that far away (a share of the pitch)."""
    t = _times(seconds)
    table = _table(timbre)
    wave = table[(t * pitch * _TABLE_SIZE).astype(np.int64) % _TABLE_SIZE]
    if detune:
        wave = 0.5 * (wave + table[(t * pitch * (1 + detune) * _TABLE_SIZE).astype(np.int64) % _TABLE_SIZE])
    release = np.minimum(1, (seconds - t) / 0.02)
    return (wave * np.minimum(1, t / attack) * np.exp(-t / decay) * release).astype(np.float32)
