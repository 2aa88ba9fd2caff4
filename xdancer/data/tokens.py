"""Motion tokens of a split's clips in derived shards: written once, read by stage 2 instead of poses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from xdancer.data.derive import ClipSource, Progress, derive
from xdancer.data.members import TOKENS, encode_array
from xdancer.data.reader import ShardReader

Encode = Callable[[Float[np.ndarray, "frame 60 3"]], Int[np.ndarray, "frame part slot"]]
"""Tokens of a clip's poses."""
SUFFIX = ".tokens"
"""Ending of the folder beside a split that holds its tokens, unless another is asked for."""


@dataclass(frozen=True)
class TokenMaker:
    """The tokenizer that tokens come from, as `derived.json` keeps it."""

    fingerprint: str
    """`xdancer.checkpoint.fingerprint`."""
    config: Mapping[str, Any]
    parts: int
    slots: int
    codes: int
    """Ids lie below."""

    def record(self) -> dict[str, Any]:
        return {**self.__dict__, "config": dict(self.config)}


def write_tokens(
    reader: ShardReader, folder: Path, maker: TokenMaker, encode: Encode, *, progress: Progress | None = None, overwrite: bool = False
) -> bool:
    """Tokenise every clip of a split; interrupted, the same call continues.

    Args:
        reader: the split.
        folder: where the tokens go.
        maker: the tokenizer behind `encode`.
        encode: tokens of a clip's poses.
        progress: called after every clip.
        overwrite: replace the tokens of another tokenizer or of other shards.

    Returns:
        False if the tokens of this tokenizer stand there already.

    Raises:
        ShardError: others stand there.
    """

    def member(clip: ClipSource) -> bytes:
        ids = encode(clip.pose)
        if ids.shape != (clip.frames, maker.parts, maker.slots) or ids.min() < 0 or ids.max() >= maker.codes:
            raise ValueError(f"Tokens of {clip.key!r} have shape {ids.shape} and ids {ids.min()} … {ids.max()}, which {maker} cannot give.")
        return encode_array(ids.astype(np.uint16))

    return derive(reader, folder, TOKENS, maker.record(), member, progress=progress, overwrite=overwrite)
