"""Music encoders: a waveform in, one row of features per video frame (30 fps) out, each behind the same protocol."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from xdancer.audio.feature_cache import cache_folder, content_digest, stored_rows, writable
from xdancer.device import DeviceName
from xdancer.errors import XDancerError

FEATURE_WIDTHS = {"librosa": 35, "beat_phase": 4, "musicnn": 753, "jukebox": 4800}
"""Features a row has, by encoder name."""
HEAVY = ("jukebox",)
"""Encoders that compute on the chosen device and whose rows are always kept on disk: a minute of music is minutes of work."""


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


@runtime_checkable
class PiecewiseEncoder(MusicEncoder, Protocol):
    """An encoder that needs no more memory for a longer song."""

    def pieces(self, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Iterator[Float[np.ndarray, "row width"]]:
        """The rows of a call, piece by piece."""
        ...


def make_encoder(name: str, *, device: DeviceName = "auto") -> MusicEncoder:
    """The encoder of that name; one object per process and device, because its weights load once. Only jukebox obeys the device.

    Raises:
        XDancerError: no encoder has that name, or the device is not there.
        MissingPackageError, CheckpointError: `jukebox` without its package or weights.
    """
    if name not in FEATURE_WIDTHS:
        raise XDancerError(f"Unknown music feature {name!r}. Choose among {', '.join(FEATURE_WIDTHS)}.")
    return _make_encoder(name, device if name in HEAVY else "cpu")


@functools.cache
def _make_encoder(name: str, device: DeviceName) -> MusicEncoder:
    if name == "librosa":
        from xdancer.audio.librosa_features import LibrosaEncoder

        return LibrosaEncoder()
    if name == "beat_phase":
        from xdancer.audio.beat_phase import BeatPhaseEncoder

        return BeatPhaseEncoder()
    if name == "musicnn":
        from xdancer.audio.musicnn import MusicnnEncoder

        return MusicnnEncoder()
    from xdancer.audio.jukebox import JukeboxEncoder

    return JukeboxEncoder(device=device)


def encode_music(
    waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int, names: Iterable[str], *, device: DeviceName = "auto"
) -> dict[str, Float[np.ndarray, "frame _"]]:
    """Features by encoder name, each (frames, width) float32; those of jukebox are kept in the cache folder and read memory-mapped from it.

    Raises:
        XDancerError, MissingPackageError, CheckpointError: see `make_encoder`.
    """
    found = {}
    for name in names:
        encoder = make_encoder(name, device=device)
        if name in HEAVY and writable(cache_folder()):
            found[name] = _on_disk(encoder, waveform, sample_rate, frames, cache_folder())
        else:
            found[name] = encoder(waveform, sample_rate, frames)
    return found


def encode_music_to_disk(
    waveform: Float[np.ndarray, " sample"],
    sample_rate: int,
    frames: int,
    names: Iterable[str],
    folder: Path | None = None,
    *,
    device: DeviceName = "auto",
) -> dict[str, Float[np.ndarray, "frame _"]]:
    """The same features in files of `folder` (the cache folder where None), all memory-mapped; what is there of the same sound is taken.

    A song of any length needs no memory for its features: musicnn and jukebox are computed and written in pieces.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
        XDancerError, MissingPackageError, CheckpointError: see `make_encoder`.
    """
    place = cache_folder() if folder is None else Path(folder)
    return {name: _on_disk(make_encoder(name, device=device), waveform, sample_rate, frames, place) for name in names}


def _on_disk(
    encoder: MusicEncoder, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int, folder: Path
) -> Float[np.ndarray, "frame _"]:
    def make() -> Iterable[np.ndarray]:
        if isinstance(encoder, PiecewiseEncoder):
            return encoder.pieces(waveform, sample_rate, frames)
        return [encoder(waveform, sample_rate, frames)]

    digest = content_digest(waveform, sample_rate, encoder.name, encoder.version, frames)
    return stored_rows(folder / f"{encoder.name}-{digest}.npy", frames, make)


def feature_table(names: Iterable[str], *, device: DeviceName = "auto") -> dict[str, dict[str, Any]]:
    """Width and extractor version by name, as a shard manifest keeps them."""
    encoders = {name: make_encoder(name, device=device) for name in names}
    return {name: {"width": encoder.width, "version": encoder.version} for name, encoder in encoders.items()}
