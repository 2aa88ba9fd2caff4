"""Writing one tar: members in the order given, the same members give the same bytes."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from webdataset.writer import TarWriter


class TarOutput:
    """One tar being written; the same members give the same bytes."""

    def __init__(self, path: Path) -> None:
        self.path, self._sink = path, _Sink(path)
        sink: Any = self._sink  # a stream tar needs nothing but write()
        self._tar = TarWriter(sink, encoder=False, mtime=0, mode=0o644, user="xdancer", group="xdancer")

    def write(self, key: str, members: Mapping[str, bytes]) -> None:
        """Add one sample."""
        self._tar.write({"__key__": key, **members})

    def finish(self) -> int:
        """Close the tar, down to the disk; returns its bytes."""
        self._tar.close()
        self._sink.finish()
        return self.path.stat().st_size

    def abandon(self) -> None:
        """Close the tar after an error; what it still wants to write is dropped."""
        self._sink.abandon()
        self._tar.close()


class _Sink:
    """The file behind a tar; once abandoned it swallows what the tar still wants to write."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> int:
        if self._file.closed:
            return len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        return len(data)

    def finish(self) -> None:
        """To the disk, not only to the system's memory."""
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        self._file.close()


def write_tar(path: Path, samples: Iterable[tuple[str, Mapping[str, bytes]]]) -> int:
    """A whole tar from (key, members); returns its bytes."""
    tar = TarOutput(path)
    try:
        for key, members in samples:
            tar.write(key, members)
        return tar.finish()
    except BaseException:
        tar.abandon()
        raise


def sha256_of(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
