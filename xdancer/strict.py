"""Reading what strangers wrote: JSON, numpy arrays and zip archives, in bounded memory, with one kind of error, and without unpickling.

Every function raises ValueError with the reason where the content is not what it should be; callers add the file's name and the next step.
"""

import io
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

LARGEST_JSON = 2**30
"""Bytes of one JSON text: the index of a million clips. Small files have smaller bounds."""
LARGEST_ARRAYS = 2**30
"""Bytes of the arrays of one file, unpacked."""
MOST_MEMBERS = 10_000
"""Arrays in one archive."""


def parse_json(text: bytes | str, *, largest: int = LARGEST_JSON) -> Any:
    """The value of a JSON text; NaN and infinities are refused.

    Raises:
        ValueError: not JSON, nested too deeply, or larger than `largest`.
    """
    if len(text) > largest:
        raise ValueError(f"{len(text):,} bytes of JSON, at most {largest:,} are read")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json_file(path: Path, *, largest: int = LARGEST_JSON) -> Any:
    """The value of a JSON file.

    Raises:
        ValueError: as `parse_json`; OSError: it cannot be read.
    """
    if (size := path.stat().st_size) > largest:
        raise ValueError(f"{size:,} bytes of JSON, at most {largest:,} are read")
    return parse_json(path.read_bytes(), largest=largest)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def array_header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and element type of the .npy whose content follows in the stream.

    Raises:
        ValueError: no header of versions 1 or 2, or an impossible shape.
    """
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"npy version {version} is not accepted")
        shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(stream)
    except Exception as error:  # numpy parses the header as a Python literal, whose parser raises a dozen kinds
        raise ValueError(" ".join(str(error).split())[:150] or type(error).__name__) from error
    if min(shape, default=0) < 0 or any(type(length) is not int for length in shape):
        raise ValueError(f"an impossible shape {str(shape)[:80]}")
    return shape, fortran, dtype


def parse_array(content: bytes) -> NDArray[Any]:
    """The array of an .npy file of plain numbers or texts, read-only.

    Raises:
        ValueError: no .npy, damaged, objects or records, or a content of another length than its shape says.
    """
    stream = io.BytesIO(content)
    shape, fortran, dtype = array_header(stream)
    if dtype.kind not in "biufcUS" or not dtype.itemsize:
        raise ValueError(f"an array of {str(dtype)[:80]}, only plain numbers are read (objects would be pickles)")
    offset = stream.tell()
    if math.prod(shape) * dtype.itemsize != len(content) - offset:
        raise ValueError(f"the header says {dtype} {str(shape)[:80]}, the content has {len(content) - offset} bytes")
    return np.frombuffer(content, dtype, offset=offset).reshape(shape, order="F" if fortran else "C")


def read_array(path: Path) -> NDArray[Any]:
    """The array of an .npy file.

    Raises:
        ValueError: as `parse_array`, or larger than `LARGEST_ARRAYS`; OSError: it cannot be read.
    """
    if (size := path.stat().st_size) > LARGEST_ARRAYS:
        raise ValueError(f"{size:,} bytes, at most {LARGEST_ARRAYS:,} are read")
    return parse_array(path.read_bytes())


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, by name.

    Raises:
        ValueError: no archive of plain arrays, damaged, or larger than `LARGEST_ARRAYS` unpacked; OSError: it cannot be read.
    """
    arrays = {}
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                total = sum(entry.file_size for entry in entries)
                if len(entries) > MOST_MEMBERS or total > LARGEST_ARRAYS:
                    allowed = f"at most {MOST_MEMBERS:,} of {LARGEST_ARRAYS:,} are read"
                    raise ValueError(f"{len(entries):,} arrays of {total:,} bytes unpacked, {allowed}")
                for entry in entries:
                    arrays[entry.filename.removesuffix(".npy")] = parse_array(archive.read(entry))
        except Exception as error:  # zipfile and zlib have kinds of their own
            raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    return arrays


def check_archive(path: Path) -> None:
    """Check the checksums of a zip archive whose members are stored as they are, such as torch.save's; other files pass.

    torch itself checks none, and would unpack compressed members.

    Raises:
        ValueError: damaged, or with compressed members; OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            return
        try:
            with zipfile.ZipFile(file) as archive:
                for entry in archive.infolist():
                    if entry.compress_type != zipfile.ZIP_STORED:
                        raise ValueError(f"{entry.filename[:80]!a} is compressed, which torch.save never does")
                    for _ in _chunks(archive, entry):
                        pass
        except Exception as error:
            raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _chunks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(entry) as member:
        while chunk := member.read(1 << 22):
            yield chunk
