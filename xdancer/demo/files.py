"""Small files of the demo, each written in one stroke."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def write_bytes(path: Path, content: bytes) -> None:
    """The whole file or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """A PNG."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        Image.fromarray(picture).save(temporary, format="PNG")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
