"""Music features on disk by the content of their sound, read memory-mapped: a song is encoded once, and its rows need no memory.

A file is an .npy array of float32 rows with four more bytes, the CRC-32 of the rows. It appears whole or not at all. jukebox takes 35 MB a
minute of music, musicnn 5.4 MB, librosa .25 MB, beat_phase .03 MB. Nothing is ever removed: delete the folder whenever its space is needed.
"""

import contextlib
import hashlib
import logging
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.lib import format as npy

from xdancer.files import whole

log = logging.getLogger("xdancer.audio")
BLOCK = 1 << 20
"""Bytes that are checked at once."""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/xdancer/features`, or `~/.cache/xdancer/features`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "xdancer" / "features"


def writable(folder: Path) -> bool:
    """Whether files can be made there; says so where not."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        return True
    log.warning("%s cannot be written: music features are not kept. Set XDG_CACHE_HOME to another folder.", folder)
    return False


def content_digest(waveform: Float[np.ndarray, " sample"], *facts: object) -> str:
    """Name of what is made of this sound: changes with every sample and every fact (rate, encoder and version, frames)."""
    digest = hashlib.sha256(np.ascontiguousarray(waveform, dtype="<f4").data)
    digest.update("\n".join(["", *map(str, facts)]).encode())
    return digest.hexdigest()[:32]


def stored_rows(
    path: Path, frames: int, make: Callable[[], Iterable[Float[np.ndarray, "row width"]]]
) -> Float[np.ndarray, "frame width"]:  # fmt: skip
    """The rows of `path`, memory-mapped; where there is no sound file, `make` gives them in pieces, which are written one by one.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    fault = find_fault(path, frames)
    if fault is not None:
        if path.exists():
            log.warning("%s is damaged (%s): the music is encoded again.", path, fault)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, frames, make())
    return np.load(path, mmap_mode="r", allow_pickle=False)


def find_fault(path: Path, frames: int) -> str | None:
    """What is wrong with a stored file, or None; reads it without mapping it, a block at a time."""
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            shape, fortran, dtype = npy.read_array_header_1_0(file)
            if version != (1, 0) or fortran or dtype.str != "<f4" or len(shape) != 2 or shape[0] != frames:
                return f"an array {shape} of {dtype.str}, needed are {frames} rows of <f4"
            left, crc = 4 * shape[0] * shape[1], 0
            while left > 0 and (block := file.read(min(BLOCK, left))):
                crc, left = zlib.crc32(block, crc), left - len(block)
            return None if left == 0 and file.read() == crc.to_bytes(4, "little") else "its checksum is wrong"
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        return " ".join(str(error).split())[:200]


def _write(path: Path, frames: int, pieces: Iterable[Float[np.ndarray, "row width"]]) -> None:
    crc, done = 0, 0
    with whole(path) as temporary, temporary.open("wb") as file:
        for rows in pieces:
            data = np.ascontiguousarray(rows, dtype="<f4").tobytes()
            if done == 0:
                npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (frames, rows.shape[1])})
            file.write(data)
            crc, done = zlib.crc32(data, crc), done + len(rows)
        assert done == frames, f"{done} rows of {frames}"
        file.write(crc.to_bytes(4, "little"))
