"""What stage 3's frozen networks make of a split's pictures, in derived shards: computed once, read instead of the videos in training."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from xdancer.data.derive import ClipSource, Progress, derive
from xdancer.data.members import VIDEO, encode_array
from xdancer.data.reader import ShardReader
from xdancer.data.tar_output import sha256_of
from xdancer.data.videos import FrameSource
from xdancer.errors import ShardError

SUFFIX = ".latents"
"""Ending of the folder beside a split that holds its latents, unless another is asked for."""
Frozen = Callable[[UInt8[np.ndarray, "frame height width 3"]], Float[np.ndarray, "frame *row"]]
"""Rows of a frozen network for pictures."""


@dataclass(frozen=True)
class FrozenMaker:
    """A frozen network, as `derived.json` keeps it."""

    network: str
    """`weights_name`."""
    size: tuple[int, int]
    """Height and width of the pictures that it saw."""
    row: tuple[int, ...]
    """Shape of what it gives for a picture."""


def weights_name(folder: Path | str) -> str:
    """Sha256 that names the weights in a folder of diffusers or transformers."""
    folder = Path(folder)
    files = [folder / "config.json", *(sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")))]
    return hashlib.sha256(json.dumps([sha256_of(path) for path in files]).encode()).hexdigest()


def write_rows(
    reader: ShardReader, folder: Path, member: str, maker: FrozenMaker, network: Frozen, *, batch: int = 16,
    progress: Progress | None = None, overwrite: bool = False,
) -> bool:  # fmt: skip
    """Run a frozen network over every picture of a split; interrupted, the same call continues. Clips without video get no rows.

    Args:
        reader: the split.
        folder: of the derived shards.
        member: `LATENTS` or `EMBEDDING`.
        maker: the network behind `network`.
        network: rows for pictures of `maker.size`; stored in 16 bits.
        batch: pictures at a time.
        progress: called after every clip.
        overwrite: replace the rows of another network, size or split.

    Returns:
        False if they stand already.

    Raises:
        ShardError: others stand there, or a row is not finite in 16 bits.
    """
    source = FrameSource(reader, size=maker.size)

    def pieces(clip: ClipSource) -> Iterator[np.ndarray]:
        for begin in range(0, clip.frames, batch):
            yield network(source.read(clip.number, VIDEO, np.arange(begin, min(begin + batch, clip.frames))))

    def encode(clip: ClipSource) -> bytes:
        if not reader.has(clip.number, VIDEO):
            return encode_array(np.zeros((0, *maker.row), np.float16))
        with np.errstate(over="ignore"):
            rows = np.concatenate(list(pieces(clip))).astype(np.float16)
        if rows.shape != (clip.frames, *maker.row) or not np.isfinite(rows).all():
            raise ShardError(f"Clip {clip.key!r}: {member} has shape {rows.shape}, needed are finite ({clip.frames}, {maker.row}).")
        return encode_array(rows)

    return derive(reader, folder, member, asdict(maker), encode, progress=progress, overwrite=overwrite)
