"""librosa, loaded so that no two processes compile it at the same time.

librosa's first calls compile with numba, which keeps the machine code in a cache on disk. Two processes that fill an empty cache at once leave
wrappers of the one beside kernels of the other: every later process that loads them jumps to address 0 (signal 11). A fresh environment with
two workers is enough. So the first use in every process runs under a lock that all processes of the user and machine share.
"""

import functools
import getpass
import hashlib
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
from filelock import FileLock

WARM_UP_RATE, WARM_UP_SECONDS = 22050, 8
"""Sound that every compiled function is tried on; the chroma's lowest octave needs 8 s."""


@functools.cache
def load_librosa() -> ModuleType:
    """The package, with all that the encoders and the beat tracker compile compiled: seconds in a fresh environment, .3 s afterwards."""
    with FileLock(_lock_path()):
        import librosa  # heavy: numba

        _compile(librosa)
    return librosa


def _lock_path() -> Path:
    """One lock for each user and installation, on this machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = "unknown"
    key = hashlib.sha256(f"{user}:{__file__}".encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"xdancer-librosa-{key}.lock"


def _compile(librosa: ModuleType) -> None:
    """Call what this package calls, on clicks twice a second."""
    clicks = np.zeros(WARM_UP_RATE * WARM_UP_SECONDS, dtype=np.float32)
    clicks[:: WARM_UP_RATE // 2] = 1.0
    clicks = np.convolve(clicks, np.hanning(64).astype(np.float32), mode="same").astype(np.float32)
    rate = {"sr": WARM_UP_RATE, "hop_length": 512}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clicks have no pitch
        librosa.feature.chroma_cens(y=clicks, **rate)
    librosa.feature.mfcc(y=clicks, n_mfcc=20, **rate)
    librosa.feature.melspectrogram(y=clicks, **rate)
    for envelope in (librosa.onset.onset_strength(y=clicks, **rate), librosa.onset.onset_strength(y=clicks, aggregate=np.median, **rate)):
        librosa.feature.tempo(onset_envelope=envelope, **rate)
        librosa.beat.beat_track(onset_envelope=envelope, start_bpm=120.0, tightness=100, **rate)
        librosa.beat.beat_track(onset_envelope=envelope, trim=False, **rate)
        librosa.onset.onset_detect(onset_envelope=envelope, **rate)
