"""Fetching one file from an address: http and https, any store that fsspec knows (s3, gs, …), or a command of the user's (`pipe:`).

Failures that pass by themselves (busy or restarting servers, cut or stalled connections, damage on the way) are tried again with growing
pauses; what arrived is continued where the other side can, and thrown away where its checksum is wrong.
"""

import contextlib
import hashlib
import http.client
import random
import re
import shlex
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdancer.errors import MissingPackageError, ShardError, XDancerError, storage_problem

ATTEMPTS = 5
PAUSE = 0.5
"""Seconds before the second attempt, doubled for every further one, ±50 % so that the ranks of a run do not knock together."""
TIMEOUT = 60.0
"""Seconds without a byte after which a connection or command counts as stalled; stores of fsspec have time limits of their own."""
LARGEST = 2**30
"""Bytes of a file whose size nobody declared (manifest, index): a million clips."""
PIPE = "pipe:"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_BUSY = (408, 425, 429)
_SHELL = {"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1"}
_CHUNK = 1 << 20


class _PassingError(Exception):
    """A failure that another attempt may not meet."""


@dataclass(frozen=True)
class _Body:
    """What the other side sends: bytes by `read`, which file position they begin at, and its whole length where it says so."""

    read: Callable[[int], bytes]
    start: int
    total: int | None


def is_remote(location: str | Path) -> bool:
    """Whether a location is an address (`https://…`, `s3://…`, `pipe:COMMAND {}`) and no path."""
    return str(location).startswith(PIPE) or bool(_ADDRESS.match(str(location)))


def beside(folder: str, ending: str) -> str:
    """Address of the folder whose name has `ending` in addition; in a `pipe:` the folder is what stands before `/{}`."""
    return folder.replace("/{}", f"{ending}/{{}}") if folder.startswith(PIPE) else folder + ending


def within_folder(parent: str, name: str) -> str:
    """Address of the folder `name` of a folder; in a `pipe:` the parent is what stands before `/{}`."""
    return parent.replace("/{}", f"/{name}/{{}}") if parent.startswith(PIPE) else f"{parent}/{name}"


def within(folder: str, name: str) -> str:
    """Address of a file of a folder.

    Raises:
        ShardError: a name that would leave the folder or end an argument (it may come from a stranger's index), or a `pipe:` without `{}`.
    """
    if not _NAME.fullmatch(name):
        raise ShardError(
            f"{folder}: the file name {name[:80]!a} is not accepted: letters, digits, '_', '-' and '.' are. Make the shards again."
        )
    if not folder.startswith(PIPE):
        return f"{folder}/{name}"
    if "{}" not in folder:
        raise ShardError(f"{folder}: a pipe needs {{}} where the file name belongs, as in 'pipe:ssh host cat /data/train/{{}}'.")
    return folder.replace("{}", name)


def fetch(address: str, target: Path, *, size: int | None = None, sha256: str | None = None) -> None:
    """Write what lies behind `address` into `target`, which the caller gives its name when it is whole.

    Args:
        address: http(s), a store of fsspec, or `pipe:` and a command that writes the file to its standard output.
        target: file to write.
        size: its bytes, where known; no more are taken.
        sha256: its checksum, where known; only then a broken transfer is continued instead of begun again.

    Raises:
        ShardError: it cannot be fetched, or arrives with another size or checksum each time.
        MissingPackageError: the store needs a package that is not there.
    """
    target.unlink(missing_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _attempt(address, target, size, sha256)
            return
        except XDancerError:
            raise
        except Exception as error:  # stores have kinds of their own
            passing = _passing(error)
            if attempt == ATTEMPTS or not passing:
                tried = f" (tried {attempt} times)" if attempt > 1 else ""
                advice = "Check the address, and the space where it is kept."
                raise ShardError(f"Cannot fetch {address}: {_reason(error)}{tried}. {advice}") from error
        if sha256 is None:
            target.unlink(missing_ok=True)
        time.sleep(PAUSE * 2 ** (attempt - 1) * random.Random().uniform(0.5, 1.5))  # an own generator: training's must not move


def _attempt(address: str, target: Path, size: int | None, sha256: str | None) -> None:
    have = target.stat().st_size if target.exists() else 0
    with _opened(address, have) as body, target.open("r+b" if have else "wb") as file:
        have = body.start
        file.seek(have)
        file.truncate()
        while chunk := body.read(_CHUNK):
            have += len(chunk)
            if have > (LARGEST if size is None else size):
                file.truncate(0)
                raise _PassingError(f"more than the {LARGEST if size is None else size} bytes that it may have")
            file.write(chunk)
    if (expected := body.total if size is None else size) is not None and have != expected:
        raise _PassingError(f"ended after {have} of {expected} bytes")
    if sha256 is not None:
        with target.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            target.unlink()
            raise _PassingError(f"arrived with sha256 {found[:12]}…, its manifest says {sha256[:12]}…")


def _opened(address: str, offset: int) -> contextlib.AbstractContextManager[_Body]:
    if address.startswith(PIPE):
        return _command(address)
    return _http(address, offset) if address.startswith(("http://", "https://")) else _store(address, offset)


@contextmanager
def _http(address: str, offset: int) -> Iterator[_Body]:
    request = urllib.request.Request(address, headers={"Range": f"bytes={offset}-"} if offset else {})
    try:
        answering = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()  # it is the answer, too
        raise
    with answering as answer:
        continued = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        start, length = offset if continued else 0, answer.headers.get("Content-Length", "")
        yield _Body(answer.read, start, start + int(length) if length.isdecimal() else None)


@contextmanager
def _store(address: str, offset: int) -> Iterator[_Body]:
    try:
        from fsspec.core import url_to_fs

        filesystem, path = url_to_fs(address)
    except ImportError as error:
        raise MissingPackageError(f"{address}: {error}. Install it: pip install 'xdancer[remote]' brings what s3:// needs.") from error
    except ValueError as error:
        raise ShardError(f"{address}: {error}. Give a folder, http(s)://, s3:// or another store of fsspec, or pipe:.") from error
    with filesystem.open(path, "rb") as file:
        file.seek(offset)
        yield _Body(file.read, offset, getattr(file, "size", None))


@contextmanager
def _command(address: str) -> Iterator[_Body]:
    """The standard output of a command that runs without a shell: a name can never become a command of its own."""
    words = command_words(address)
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints)
        stalled = threading.Event()

        def stop() -> None:
            stalled.set()
            process.kill()

        def read(count: int) -> bytes:
            watch = threading.Timer(TIMEOUT, stop)
            watch.daemon = True
            watch.start()
            try:
                return stream.read1(count)
            finally:
                watch.cancel()

        stream: Any = process.stdout
        try:
            yield _Body(read, 0, None)
            code = process.wait(TIMEOUT)
        finally:
            process.kill()
            process.wait()
            stream.close()
        if stalled.is_set():
            raise _PassingError(f"{words[0]} sent nothing for {TIMEOUT:g} s")
        if code:
            complaints.seek(0)
            last = (complaints.read(_CHUNK).decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise _PassingError(f"{words[0]} ended with code {code}: {last[:200]}")


def command_words(address: str) -> list[str]:
    """Program and arguments of a `pipe:` address.

    Raises:
        ShardError: empty, quotes that do not close, or signs that only a shell knows.
    """
    try:
        words = shlex.split(address.removeprefix(PIPE))
    except ValueError as error:
        raise ShardError(f"{address}: {error}. Write the command as on a command line.") from error
    signs = _SHELL.intersection(words)
    if not words or signs:
        reason = f"{' '.join(sorted(signs))} needs a shell, and the command runs without one" if words else "no command"
        raise ShardError(f"{address}: {reason}. Put it into a script and name that.")
    return words


def _passing(error: Exception) -> bool:
    """Whether another attempt may succeed."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code in _BUSY or error.code == 416  # 416: nothing to continue
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return _passing(error.reason)
    if isinstance(error, ssl.SSLCertVerificationError | FileNotFoundError | urllib.error.URLError | ValueError | http.client.InvalidURL):
        return False
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    return not (isinstance(error, OSError) and storage_problem(error))


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split())[:300]
