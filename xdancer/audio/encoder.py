"""Music encoders: a waveform in, one row of features per video frame (30 fps) out, each behind the same protocol."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from xdancer.errors import XDancerError

FEATURE_WIDTHS = {"librosa": 35, "beat_phase": 4, "musicnn": 753, "jukebox": 4800}
"""Features a row has, by encoder name."""


@runtime_checkable
class MusicEncoder(Protocol):
    """What every encoder offers. Row t of its result describes the music around t/30 s."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int: ...

    @property
    def version(self) -> str:
        """Changes whenever the numbers change; stored in the manifest of the shards."""
        ...

    def __call__(self, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Float[np.ndarray, "frame width"]:
        """(frames, width) float32, finite also for silence. The waveform is mono, full scale ±1."""
        ...


_ENCODERS: dict[str, MusicEncoder] = {}


def make_encoder(name: str) -> MusicEncoder:
    """The encoder of that name; one object per process, because its weights load once.

    Raises:
        XDancerError: no encoder has that name.
        MissingPackageError, CheckpointError: `jukebox` without its package or weights.
    """
    if name not in FEATURE_WIDTHS:
        raise XDancerError(f"Unknown music feature {name!r}. Choose among {', '.join(FEATURE_WIDTHS)}.")
    if name not in _ENCODERS:
        if name == "librosa":
            from xdancer.audio.librosa_features import LibrosaEncoder

            _ENCODERS[name] = LibrosaEncoder()
        elif name == "beat_phase":
            from xdancer.audio.beat_phase import BeatPhaseEncoder

            _ENCODERS[name] = BeatPhaseEncoder()
        elif name == "musicnn":
            from xdancer.audio.musicnn import MusicnnEncoder

            _ENCODERS[name] = MusicnnEncoder()
        else:
            from xdancer.audio.jukebox import JukeboxEncoder

            _ENCODERS[name] = JukeboxEncoder()
    return _ENCODERS[name]


def encode_music(waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Features by encoder name, each (frames, width)."""
    return {name: make_encoder(name)(waveform, sample_rate, frames) for name in names}


def feature_table(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Width and extractor version by name, as a shard manifest keeps them."""
    return {name: {"width": FEATURE_WIDTHS[name], "version": make_encoder(name).version} for name in names}
