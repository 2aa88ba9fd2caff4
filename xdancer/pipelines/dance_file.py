"""Dances as files: poses as `.npy`, or tokens as `.npz` with the name of the tokenizer that they belong to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.checkpoint import fingerprint
from xdancer.errors import PoseError, StageMismatchError
from xdancer.files import whole
from xdancer.pipelines.pose_file import load_poses
from xdancer.strict import read_arrays
from xdancer.types import MotionTokens, PoseBatch
from xdancer.vqvae.model import VQVAE

ENCODED_AT_ONCE = 1024
"""Frames that the tokenizer encodes together."""
Place = Callable[[Float[NDArray, "_ 60 3"]], Float[NDArray, "_ 60 3"]]
"""From the coordinates of pose files (the portrait's) to the motion's."""


def save_tokens(path: Path, tokens: MotionTokens, tokenizer: VQVAE) -> None:
    """Write the tokens of one dance in one stroke: `ids` (frame, part, slot) and the tokenizer's fingerprint.

    Raises:
        PoseError: the file cannot be written.
    """
    try:
        with whole(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, ids=tokens.ids[0].cpu().numpy().astype(np.uint16), tokenizer=np.array(fingerprint(tokenizer)))
    except OSError as error:
        raise PoseError(f"{path}: cannot be written ({error.strerror or error}). Free space or choose another path.") from error


def load_tokens(path: Path, tokenizer: VQVAE) -> MotionTokens:
    """The tokens of a `.npz` of `save_tokens`.

    Raises:
        PoseError: missing or damaged; StageMismatchError: tokens of another tokenizer.
    """
    if not path.is_file():
        raise PoseError(f"{path}: no such file. Give tokens (.npz of --save-tokens) or poses (.npy).")
    try:
        stored = read_arrays(path)
        ids, found = stored["ids"].astype(np.int64), str(stored["tokenizer"])
    except (ValueError, OSError, KeyError) as error:
        raise PoseError(f"{path}: not readable as tokens ({error}). Write them with xdancer generate --save-tokens.") from error
    config, expected = tokenizer.config, fingerprint(tokenizer)
    if found != expected:
        raise StageMismatchError(
            f"{path} holds tokens of tokenizer {found[:12]}, the model's is {expected[:12]}. "
            "Give the dance as poses (--save-pose FILE.npy), or the model that made it."
        )
    if ids.ndim != 3 or not len(ids) or ids.shape[1:] != (config.parts, config.part_slots) or not 0 <= ids.min() <= ids.max() < config.codes:
        raise PoseError(f"{path}: damaged, tokens of shape {ids.shape}. Write them again with xdancer generate --save-tokens.")
    return MotionTokens(torch.from_numpy(ids)[None])


@torch.no_grad()
def load_dance(path: Path, tokenizer: VQVAE, place: Place) -> MotionTokens:
    """A dance of either kind as tokens, on the tokenizer's device.

    Raises:
        PoseError, StageMismatchError: see `load_tokens` and `load_poses`.
    """
    device = next(tokenizer.parameters()).device
    if path.suffix.lower() == ".npz":
        return load_tokens(path, tokenizer).to(device)
    poses = place(load_poses(path))
    parts = [poses[begin : begin + ENCODED_AT_ONCE] for begin in range(0, len(poses), ENCODED_AT_ONCE)]
    return MotionTokens(torch.cat([tokenizer.encode(PoseBatch.from_array(part).to(device)).ids for part in parts], dim=1))
