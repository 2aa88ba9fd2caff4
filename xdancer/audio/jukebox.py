"""Music encoder `jukebox`: 4800 features of OpenAI's Jukebox prior (paper: layer 66, resampled to 30 fps). Optional and heavy.

The 5b prior needs about 10 GB of GPU memory (19 GB on the CPU); its weights are licensed for non-commercial use. Two packages can run it: PyPI
`jukebox-infer` (`jukebox_prior.py`) and, from GitHub, `jukemirlib`. No weights are read before the first sound is encoded.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from lightning_utilities.core.imports import RequirementCache
from scipy.signal import resample_poly

from xdancer.audio.jukebox_prior import DEFAULT_WEIGHTS, LAYER, SAMPLE_RATE, WEIGHTS_VARIABLE, Jukebox5b
from xdancer.audio.waveform import fit_length, fit_rows, resample
from xdancer.device import DeviceName, select_device
from xdancer.errors import MissingPackageError, XDancerError
from xdancer.types import FPS

WIDTH = 4800
EDGE = 10
"""Rows at the end of a piece that resampling bends towards what would come next; they are left to the next piece."""


@runtime_checkable
class Backend(Protocol):
    """A Jukebox prior that can be run on one piece of sound."""

    version: str
    piece_samples: int
    """Samples at 44.1 kHz that fit into the prior's context."""
    rate: Fraction
    """Rows of `activations` per second."""

    def activations(self, piece: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "row width"]:
        """Features of exactly `piece_samples` samples."""
        ...


class JukeboxEncoder:
    """Music encoder `jukebox`.

    Args:
        backend: what runs the prior; by default whichever package is installed.
        device: where that one computes; `auto` is the GPU if there is one.

    Raises:
        MissingPackageError: neither package is installed.
        CheckpointError: the weights are not there.
        XDancerError: the device is not there, or the package does not let us choose it.
    """

    name = "jukebox"
    width = WIDTH

    def __init__(self, backend: Backend | None = None, *, device: DeviceName = "auto") -> None:
        self.backend = find_backend(device) if backend is None else backend

    @property
    def version(self) -> str:
        return f"layer{LAYER}-2+{self.backend.version}"

    def __call__(self, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Float[np.ndarray, "frame width"]:
        """Features of the first `frames` video frames; a shorter sound is padded with silence."""
        return np.concatenate(list(self.pieces(waveform, sample_rate, frames)))

    def pieces(self, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Iterator[Float[np.ndarray, "row width"]]:
        """The same rows, piece by piece.

        A song longer than the prior's context (24 s) is cut into pieces; each begins a quarter of a context before the frames it is read for,
        because the prior only sees the past.
        """
        sound = resample(waveform, sample_rate, SAMPLE_RATE)
        peak = float(np.abs(sound).max(initial=0.0))
        sound = sound / peak if peak > 0 else sound
        step = SAMPLE_RATE // FPS
        context = self.backend.piece_samples // step
        done = 0
        while done < frames:
            begin = max(0, done - context // 4)
            stop = frames if begin + context >= frames else begin + context - min(EDGE, context // 4)
            piece = fit_length(sound[begin * step :], self.backend.piece_samples)
            ratio = FPS / self.backend.rate
            rows = resample_poly(self.backend.activations(piece), ratio.numerator, ratio.denominator, axis=0, padtype="line")
            yield fit_rows(rows.astype(np.float32), context)[done - begin : stop - begin]
            done = stop


def find_backend(device: DeviceName = "auto") -> Backend:
    """The installed package's prior on that device, not loaded yet.

    Raises:
        MissingPackageError, CheckpointError, XDancerError: see `JukeboxEncoder`.
    """
    fastest = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # Jukebox on mps was never tried
    chosen = fastest if device == "auto" else select_device(device)
    if RequirementCache("jukebox-infer"):
        return Jukebox5b(Path(os.environ.get(WEIGHTS_VARIABLE, DEFAULT_WEIGHTS)).expanduser(), chosen)
    if RequirementCache(module="jukemirlib"):
        if chosen.type != fastest.type:
            raise XDancerError(
                f"--device {device}: jukemirlib computes on {fastest.type} here and cannot be told otherwise. Use --device auto, or install "
                "'xdancer[jukebox]'."
            )
        return Jukemirlib(half=chosen.type == "cuda")
    raise MissingPackageError(
        "Music feature 'jukebox' needs an optional package: pip install 'xdancer[jukebox]', or pip install "
        "git+https://github.com/rodrigo-castellon/jukemirlib.git (weights of either: 10 GB, non-commercial licence). "
        "Without them use the features librosa and musicnn."
    )


class Jukemirlib:
    """Backend on `jukemirlib`, which downloads and loads its own weights at the first piece and resamples to 30 rows a second itself.

    Args:
        half: compute in half precision (GPU only).
    """

    version = "jukemirlib"
    piece_samples = 23 * SAMPLE_RATE
    rate = Fraction(FPS)

    def __init__(self, *, half: bool) -> None:
        self.half = half

    def activations(self, piece: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "row width"]:
        import jukemirlib  # pyright: ignore[reportMissingImports]

        found: dict[int, Any] = jukemirlib.extract(audio=piece, layers=[LAYER], downsample_target_rate=FPS, fp16=self.half)
        return np.asarray(found[LAYER], dtype=np.float32)
