"""One demo per folder at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xdancer.errors import XDancerError


@contextmanager
def hold(path: Path) -> Iterator[tuple[int, ...]]:
    """Hold a lock file; yields its descriptor for the children, so that it stays held until the last of them has gone.

    Where the system has no such locks (Windows) nothing is held.

    Raises:
        XDancerError: another demo, or a child that one has left behind, holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield ()
        return
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise XDancerError(f"{path.parent} is in use by another xdancer demo. Wait for it to end, or choose another --out.") from error
        yield (stream.fileno(),)
