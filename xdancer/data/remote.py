"""Shards behind an address: each tar is fetched whole into a bounded local cache and read there like any other."""

import contextlib
import hashlib
import os
import re
import threading
from pathlib import Path

from xdancer.data.transfer import fetch, is_remote, within
from xdancer.errors import ShardError
from xdancer.files import whole, write_text

CACHE_VARIABLE = "XDANCER_CACHE"
LIMIT_VARIABLE = "XDANCER_CACHE_GB"
DEFAULT_CACHE = Path("~/.cache/xdancer/shards")
DEFAULT_LIMIT_GB = 50.0
_FETCHING: dict[Path, threading.Lock] = {}

__all__ = ["RemoteFolder", "cache_folder", "is_remote"]


def cache_folder() -> Path:
    """Where fetched shards are kept."""
    return Path(os.environ.get(CACHE_VARIABLE, DEFAULT_CACHE)).expanduser()


class RemoteFolder:
    """A split behind an address and its share of the local cache.

    Tars that were not read for the longest time make room for new ones; the bound is `XDANCER_CACHE_GB` (50) for all splits together, the
    place `XDANCER_CACHE`. Several processes may share the cache: files appear under their name only when complete.

    Args:
        url: address of the split's folder, such as https://example.org/data/train, s3://bucket/train, or a command that writes the file
            {} of it to its standard output: pipe:ssh host cat /data/train/{}. Addresses come from the user alone; shards name files.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.root = cache_folder()
        self.limit = int(float(os.environ.get(LIMIT_VARIABLE, DEFAULT_LIMIT_GB)) * 1e9)
        readable = re.sub(r"[^A-Za-z0-9]+", "_", self.url.partition(":")[2]).strip("_")[-60:]
        self.folder = self.root / f"{readable}-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"

    def fetch_index(self) -> Path:
        """Fetch manifest and index anew; returns the local folder."""
        for name in ("manifest.json", "index.json"):
            self.fetch(name)
        return self.folder

    def fetch(self, name: str) -> Path:
        """Fetch a file anew; returns its local copy.

        Raises:
            ShardError: it cannot be fetched.
        """
        return self._download(name)

    def fetch_tar(self, name: str, *, size: int, sha256: str) -> Path:
        """The tar's local copy, fetched if it is not there.

        Raises:
            ShardError: it cannot be fetched, or arrives with another checksum.
        """
        path = self.folder / name
        checked = path.with_name(f"{path.name}.sha256")
        with _FETCHING.setdefault(path, threading.Lock()):  # the threads of a process wait for one another instead of fetching it twice
            if path.is_file() and path.stat().st_size == size and checked.is_file() and checked.read_text(encoding="utf-8") == sha256:
                with contextlib.suppress(OSError):  # another process made room in this moment: fetched again below
                    os.utime(path)
                    return path
            self._make_room(size)
            self._download(name, size=size, sha256=sha256)
            write_text(checked, sha256)  # other shards may lie behind the same address one day
            return path

    def _download(self, name: str, *, size: int | None = None, sha256: str | None = None) -> Path:
        path, address = self.folder / name, within(self.url, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as temporary:
                fetch(address, temporary, size=size, sha256=sha256)
        except OSError as error:
            raise ShardError(f"Cannot fetch {address}: {error.strerror or error}. Check the space in {self.root}.") from error
        return path

    def _make_room(self, size: int) -> None:
        """Remove the tars that were read longest ago until `size` bytes fit under the limit."""
        kept = []
        for path in self.root.rglob("*.tar"):
            with contextlib.suppress(OSError):  # gone meanwhile
                state = path.stat()
                kept.append((state.st_mtime, state.st_size, path))
        used = sum(entry[1] for entry in kept)
        for _, freed, path in sorted(kept):
            if used + size <= self.limit:
                return
            path.unlink(missing_ok=True)  # processes that hold it open keep reading
            used -= freed
