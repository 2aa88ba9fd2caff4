"""Is a model still what was written: hashes of a model folder's files, checksums inside a checkpoint.

They notice damage and mix-ups. Who can change the files can change the hashes, too: they are no signature.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from xdancer.errors import CheckpointError
from xdancer.strict import check_archive, read_json_file

INDEX = "model_index.json"
"""Beside the stages of a model folder: what belongs together, and the sha256 of every file."""
LARGEST_CONFIG = 2**24
"""Bytes of a config.json or an index."""


def hashes_of(folder: Path) -> dict[str, str]:
    """Sha256 of every file below a folder, by its path in it; the index, which holds them, is left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / INDEX)
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def check_hashes(folder: Path, names: Iterable[str] | None = None) -> None:
    """Compare files of a model folder with the hashes in its index; an index without hashes, as older ones, lets all pass.

    Args:
        folder: with `model_index.json`; without one there is nothing to compare with.
        names: files in it; all that the index names by default.

    Raises:
        CheckpointError: a file is not the one that was exported, or one that the index leaves out; FileNotFoundError: it is not there.
    """
    try:
        recorded = read_json_file(folder / INDEX, largest=LARGEST_CONFIG).get("sha256", {})
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / INDEX} is damaged ({type(error).__name__}). Export the model again: xdancer export.") from error
    if not isinstance(recorded, dict):
        raise CheckpointError(f"{folder / INDEX} is damaged (sha256 is no table). Export the model again: xdancer export.")
    for name in sorted(recorded) if names is None else names:
        if recorded and name not in recorded and (folder / name).is_file():
            raise CheckpointError(f"{folder / name}: {INDEX} does not name it, so it came from elsewhere. Run xdancer export again.")
        if name in recorded and (found := file_sha256(folder / name)) != recorded[name]:
            raise CheckpointError(
                f"{folder / name} was changed: its sha256 is {found[:12]}…, {INDEX} has {str(recorded[name])[:12]}…. "
                "Copy the file again, or export the model again: xdancer export."
            )


def file_sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_stored(path: Path) -> None:
    """Check the checksums inside a checkpoint, once for each state of the file: torch reads damaged numbers without a word.

    Raises:
        ValueError: damaged.
    """
    state = path.stat()
    _check_stored(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _check_stored(path: Path, size: int, changed: int) -> None:
    check_archive(path)
