"""Held-out poses through their tokens: files in an evaluation folder, and the `vqvae/…` figures that are computed from them.

`DIR/motion/KEY.decoded.npy` are the true poses encoded and decoded again; `DIR/motion/tokens.json` says how often each code was used.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xdancer.errors import XDancerError
from xdancer.evaluation.clips import Clip
from xdancer.evaluation.folder import read_json, read_pose, write_json
from xdancer.metrics.codebook import perplexity
from xdancer.metrics.pose import percent_errors_of_set, pixel_errors_of_set
from xdancer.pipelines.pose_file import save_poses
from xdancer.skeleton import BodyPart
from xdancer.types import PoseBatch
from xdancer.vqvae.model import VQVAE

TOKENS = "tokens.json"
ERRORS = {
    "full": "full", "body": "body", "head": "head", "hands": "hands", "hands_aligned": "hands_wrist_aligned", "mean_hand": "hands_mean_hand",
}  # fmt: skip
"""Name in the report → name in `xdancer.metrics.pose`."""


def write_decoded(clips: Sequence[Clip], tokenizer: VQVAE, out: Path, *, device: torch.device | str = "cpu") -> None:
    """Fill `out/motion` with the clips' true poses through their tokens and with the counts of codes."""
    folder = out / "motion"
    folder.mkdir(parents=True, exist_ok=True)
    counts = torch.zeros(tokenizer.config.parts, tokenizer.config.codes, dtype=torch.long)
    for clip in clips:
        decoded, ids = reconstruct(tokenizer, clip.pose, device=device)
        for part in range(len(counts)):
            counts[part] += torch.bincount(ids[:, part].flatten(), minlength=counts.shape[1])
        save_poses(folder / f"{clip.key}.decoded.npy", decoded)
    names = [part.name.lower() for part in BodyPart] if len(counts) == len(BodyPart) else ["whole_body"]
    write_json(folder / TOKENS, {"counts": counts.tolist(), "parts": names})


@torch.no_grad()
def reconstruct(
    tokenizer: VQVAE, pose: Float[NDArray, "frame 60 3"], *, device: torch.device | str = "cpu"
) -> tuple[Float[NDArray, "frame 60 3"], Tensor]:
    """The poses through their tokens, and the tokens (frame, part, slot)."""
    tokens = tokenizer.encode(PoseBatch.from_array(pose).to(device))
    return tokenizer.decode(tokens).to_array(), tokens.ids[0].cpu()


def tokenizer_figures(out: Path) -> dict[str, float | int | None]:
    """Errors of the decoded poses in % of body height and in pixels of an 896 × 512 frame, perplexity and use of the codes, n.

    Keys: `vqvae/full_percent`, `vqvae/head_percent`, `vqvae/hands_percent` (the paper's columns), `vqvae/body_percent`,
    `vqvae/hands_aligned_percent` (wrists aligned), `vqvae/mean_hand_percent` (the mean hand instead), the same as `…_px`;
    `vqvae/min_perplexity` (least of the parts), `vqvae/perplexity_<part>`, `vqvae/dead_<part>` (codes never used), `vqvae/used_codes_share`,
    `n/vqvae` (clips), `n/vqvae_frames`.
    """
    folder = out / "motion"
    keys = sorted(path.name.removesuffix(".decoded.npy") for path in folder.glob("*.decoded.npy"))
    pairs = [(read_pose(folder / f"{key}.decoded.npy"), read_pose(folder / f"{key}.true.npy")) for key in keys]
    for key, (decoded_pose, true) in zip(keys, pairs, strict=True):
        if len(decoded_pose) != len(true):
            raise XDancerError(
                f"{folder / key}.decoded.npy has {len(decoded_pose)} frames, the true poses {len(true)}. Generate the folder again."
            )
    figures: dict[str, float | int | None] = {}
    for unit, errors in (("percent", percent_errors_of_set(pairs)), ("px", pixel_errors_of_set(pairs))):
        figures |= {f"vqvae/{name}_{unit}": _known(errors.get(key)) for name, key in ERRORS.items()}
    return figures | _usage(folder / TOKENS) | {"n/vqvae": len(pairs), "n/vqvae_frames": sum(len(true) for _, true in pairs)}


def _usage(path: Path) -> dict[str, float | int | None]:
    """Perplexity and dead codes of every part, the least perplexity, and the share of all codes that are used."""
    counts = _counts(path)
    found = perplexity(torch.from_numpy(counts).double()).tolist()
    names, dead = read_json(path).get("parts", range(len(counts))), (counts == 0).sum(1).tolist()
    figures: dict[str, float | int | None] = {"vqvae/min_perplexity": min(found), "vqvae/used_codes_share": float((counts > 0).mean())}
    figures |= {f"vqvae/perplexity_{name}": value for name, value in zip(names, found, strict=False)}
    return figures | {f"vqvae/dead_{name}": value for name, value in zip(names, dead, strict=False)}


def _counts(path: Path) -> NDArray[np.int64]:
    try:
        counts = np.array(read_json(path)["counts"], dtype=np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise XDancerError(f"{path}: holds no counts of codes ({type(error).__name__}: {error}). Generate the folder again.") from error
    if counts.ndim != 2 or counts.min(initial=0) < 0 or not counts.sum():
        raise XDancerError(f"{path}: counts of shape {counts.shape}, needs one row of counts for each part. Generate the folder again.")
    return counts


def _known(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
