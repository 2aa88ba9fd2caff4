"""Tars as files, read at positions: open handles, fetching, damage."""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from xdancer.data.members import DamagedSampleError
from xdancer.data.remote import RemoteFolder

OPEN_FILES = 64
"""Tars of a folder held open per process."""


class TarFiles:
    """The tars of one folder, by number.

    Pickles without its open files, so it may travel to other processes. Files are read by `preadv`, which shares no position between
    processes or threads.

    Args:
        folder: where they lie, or are fetched to.
        names: their names in it.
        sizes: their bytes.
        sha256: by name, for those that are fetched.
        remote: where they are fetched from; None for a folder of this machine.
        address: their folder behind `remote`, if not its root, such as `features/jukebox/`.
    """

    def __init__(
        self, folder: Path, names: list[str], sizes: list[int], *, sha256: Mapping[str, str], remote: RemoteFolder | None, address: str = ""
    ) -> None:
        self.folder, self.paths, self.sizes, self.sha256 = folder, [folder / name for name in names], sizes, dict(sha256)
        self.remote, self.address = remote, address
        self._files: OrderedDict[int, _File] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": OrderedDict()}

    def missing(self) -> list[str]:
        """Names of the tars that should be in the folder and are not."""
        return [path.name for path in self.paths if not path.is_file()] if self.remote is None else []

    def fill(self, buffer: NDArray[Any], number: int, offset: int, *, key: str) -> None:
        """As many bytes of one tar as the array in C order holds, straight into it.

        Raises:
            DamagedSampleError: they cannot be read; names the clip `key`.
        """
        path = self.paths[number]
        try:
            file = self._files.get(number)
            if file is None:
                if self.remote is not None:
                    sha256 = self.sha256.get(path.name, "nothing")
                    self.remote.fetch_tar(self.address + path.name, size=self.sizes[number], sha256=sha256)
                file = self._files[number] = _File(path)
                if len(self._files) > OPEN_FILES:
                    self._files.popitem(last=False)
            found = file.fill(buffer, offset)
        except OSError as error:
            raise DamagedSampleError(key, f"{path.name}: {error.strerror or error}") from error
        if found != buffer.nbytes:
            raise DamagedSampleError(key, f"{path.name} ends {buffer.nbytes - found} bytes too early")


class _File:
    """A file open for reading at positions; closes itself when forgotten."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("rb", buffering=0)
        self._lock = threading.Lock()

    def fill(self, buffer: NDArray[Any], offset: int) -> int:
        """Read into the array; returns the bytes found."""
        target: Any = buffer  # arrays are buffers, which their type says from Python 3.12 on
        if hasattr(os, "preadv"):
            return os.preadv(self._stream.fileno(), [target], offset)
        with self._lock:  # Windows: no preadv, and no fork either, so the position is this process's own
            self._stream.seek(offset)
            return self._stream.readinto(target) or 0

    def __del__(self) -> None:
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.close()
