"""Shards behind a web address: each tar is fetched whole into a bounded local cache and read there like any other."""

import contextlib
import hashlib
import os
import re
import shutil
import threading
import urllib.error
import urllib.request
from pathlib import Path

from xdancer.errors import ShardError
from xdancer.files import whole

CACHE_VARIABLE = "XDANCER_CACHE"
LIMIT_VARIABLE = "XDANCER_CACHE_GB"
DEFAULT_CACHE = Path("~/.cache/xdancer/shards")
DEFAULT_LIMIT_GB = 50.0
_FETCHING: dict[Path, threading.Lock] = {}
TIMEOUT = 60
"""Seconds without an answer after which a download fails."""


def is_remote(location: str | Path) -> bool:
    """Whether shards lie behind http or https."""
    return bool(re.match(r"https?://", str(location)))


class RemoteFolder:
    """A split behind a web address and its share of the local cache.

    Tars that were not read for the longest time make room for new ones; the bound is `XDANCER_CACHE_GB` (50) for all splits together, the
    place `XDANCER_CACHE`. Several processes may share the cache: files appear under their name only when complete.

    Args:
        url: address of the split's folder, such as https://example.org/data/train.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.root = Path(os.environ.get(CACHE_VARIABLE, DEFAULT_CACHE)).expanduser()
        self.limit = int(float(os.environ.get(LIMIT_VARIABLE, DEFAULT_LIMIT_GB)) * 1e9)
        readable = re.sub(r"[^A-Za-z0-9]+", "_", self.url.partition("://")[2])[-60:]
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
        with _FETCHING.setdefault(path, threading.Lock()):  # the threads of a process wait for one another instead of fetching it twice
            if path.is_file() and path.stat().st_size == size:
                with contextlib.suppress(OSError):  # another process made room in this moment: fetched again below
                    os.utime(path)
                    return path
            self._make_room(size)
            return self._download(name, sha256=sha256)

    def _download(self, name: str, *, sha256: str | None = None) -> Path:
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as temporary:
                with urllib.request.urlopen(f"{self.url}/{name}", timeout=TIMEOUT) as answer, temporary.open("wb") as file:
                    shutil.copyfileobj(answer, file, 1 << 20)
                with temporary.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if sha256 is not None and found != sha256:
                    raise ShardError(f"{self.url}/{name} arrived with sha256 {found[:12]}…, its manifest says {sha256[:12]}…. Try again.")
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise ShardError(f"Cannot fetch {self.url}/{name}: {reason}. Check the address and the space in {self.root}.") from error
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
