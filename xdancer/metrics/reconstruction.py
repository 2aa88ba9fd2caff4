"""Self-driven reconstruction: PSNR and SSIM by region, LPIPS, the null rows every value stands beside, and clothes retrieval.

Pictures are float tensors (frame, 3, height, width), RGB in [-1, 1]. The null rows exist because a still picture of the right person
on the right background already scores 23 dB over the whole picture.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from xdancer import skeleton as sk
from xdancer.metrics.perceptual import lpips
from xdancer.skeleton import VISIBLE

__all__ = [
    "byte_pictures",
    "clothes_colours",
    "clothes_ranks",
    "decibels",
    "lpips",
    "null_rows",
    "person_region",
    "psnr",
    "ssim",
    "ssim_map",
    "unit_pictures",
]  # fmt: skip

DILATION = 2
"""Pixels by which the person region grows, so that soft edges count as person."""


def unit_pictures(frames: UInt8[NDArray, "frame height width 3"]) -> Float[Tensor, "frame 3 height width"]:
    """8-bit pictures as tensors in [-1, 1]."""
    return torch.from_numpy(frames.astype(np.float32)).permute(0, 3, 1, 2).div_(127.5).sub_(1.0)


def byte_pictures(frames: Float[Tensor, "frame 3 height width"]) -> UInt8[NDArray, "frame height width 3"]:
    """Pictures in [-1, 1], clamped, as 8 bit."""
    return ((frames.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def person_region(
    masks: Bool[Tensor, "frame height width"], reference_mask: Bool[Tensor, "height width"] | None = None, *, dilation: int = DILATION
) -> Bool[Tensor, "frame height width"]:
    """Union of the target's and the portrait's person, grown by `dilation` pixels in every direction (a square)."""
    union = masks if reference_mask is None else masks | reference_mask
    grown = functional.max_pool2d(union[:, None].float(), 2 * dilation + 1, stride=1, padding=dilation)
    return grown[:, 0] > 0


def psnr(
    predicted: Float[Tensor, "frame 3 height width"],
    target: Float[Tensor, "frame 3 height width"],
    region: Bool[Tensor, "frame height width"] | None = None,
) -> float:
    """Peak signal-to-noise ratio of a clip in dB: 10·log10(2² / mean squared error), the error pooled over the region of all frames.

    Pooled over the clip, so that one frame equal to the portrait does not make the copy's mean infinite. Infinite where nothing differs, NaN
    for an empty region.
    """
    error = (predicted.double() - target.double()).square().mean(dim=1)
    error = error if region is None else error[region]
    if not error.numel():
        return float("nan")
    return decibels(float(error.mean()))


def decibels(error: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error of pictures in [-1, 1], dB; infinite for no error."""
    return 10 * float(np.log10(4 / error)) if error > 0 else float("inf")


def null_rows(
    portrait: Float[Tensor, "3 height width"],
    target: Float[Tensor, "frame 3 height width"],
    region: Bool[Tensor, "frame height width"],
    training_mean: Float[Tensor, "3 height width"] | None = None,
) -> dict[str, Float[Tensor, "frame 3 height width"]]:
    """What needs no model: `copy` the portrait, the `mean` of the training frames (where given), and a `grey` person on the true background."""
    rows = {"copy": portrait.expand_as(target), "grey": torch.where(region[:, None], 0.0, target)}
    return rows if training_mean is None else rows | {"mean": training_mean.expand_as(target)}


def _sample_points(pose: Float[NDArray, "60 3"]) -> tuple[Float[NDArray, "top 2"], Float[NDArray, "trousers 2"]]:
    """Points on the torso (between shoulders and hips) and along the thighs, away from outlines, in the pose's coordinates."""
    at = pose[:, :2].astype(np.float64)
    down, across = np.meshgrid(np.linspace(0.25, 0.75, 9), np.linspace(0.2, 0.8, 9), indexing="ij")
    down, across = down.reshape(-1, 1), across.reshape(-1, 1)
    shoulders = at[sk.RIGHT_SHOULDER] * (1 - across) + at[sk.LEFT_SHOULDER] * across
    hips = at[sk.RIGHT_HIP] * (1 - across) + at[sk.LEFT_HIP] * across
    along = np.linspace(0.3, 0.8, 16)[:, None]
    thighs = [at[hip] * (1 - along) + at[knee] * along for hip, knee in ((sk.RIGHT_HIP, sk.RIGHT_KNEE), (sk.LEFT_HIP, sk.LEFT_KNEE))]
    return shoulders * (1 - down) + hips * down, np.concatenate(thighs)


_CLOTHES_POINTS = [sk.RIGHT_SHOULDER, sk.LEFT_SHOULDER, sk.RIGHT_HIP, sk.LEFT_HIP, sk.RIGHT_KNEE, sk.LEFT_KNEE]


def clothes_colours(frames: UInt8[NDArray, "frame height width 3"], poses: Float[NDArray, "frame 60 3"]) -> Float[NDArray, " 6"]:
    """Median colour of the top and of the trousers over a clip, RGB in [0, 1] each; NaN when no frame shows shoulders, hips and knees.

    Args:
        frames: pictures.
        poses: where the person is, in the coordinates of `PoseBatch`.
    """
    height, width = frames.shape[1:3]
    colours: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] = ([], [])
    for frame, pose in zip(frames, poses, strict=True):
        if (pose[_CLOTHES_POINTS, 2] < VISIBLE).any():
            continue
        for found, points in zip(colours, _sample_points(pose), strict=True):
            column = np.floor(points[:, 0] * height / 2 + width / 2).astype(int)
            row = np.floor((points[:, 1] + 1) * height / 2).astype(int)
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            found.append(frame[row[inside], column[inside]])
    pixels = [np.concatenate(found) if found else np.zeros((0, 3)) for found in colours]
    return np.concatenate([np.median(found, axis=0) / 255 if len(found) else np.full(3, np.nan) for found in pixels])


def clothes_ranks(
    queries: Sequence[Float[NDArray, " 6"]],
    portraits: Sequence[Float[NDArray, " 6"]],
    identities: Sequence[str],
    *,
    pool: int = 16,
    seed: int = 0,
) -> list[int]:
    """Rank of the own portrait's clothes (0 = nearest) among `pool` portraits of different identities, for each clip with known colours.

    The own portrait and `pool` − 1 others drawn by seed; fewer where there are fewer identities. Ties count against the clip.
    """
    rng = np.random.default_rng(seed)
    known = [i for i, colours in enumerate(portraits) if np.isfinite(colours).all()]
    first = {identities[i]: i for i in reversed(known)}
    ranks = []
    for i, query in enumerate(queries):
        if i not in known or not np.isfinite(query).all():
            continue
        others = [index for identity, index in sorted(first.items()) if identity != identities[i]]
        chosen = rng.permutation(others)[: pool - 1].astype(int)
        own = np.linalg.norm(query - portraits[i])
        ranks.append(sum(bool(np.linalg.norm(query - portraits[other]) <= own) for other in chosen))
    return ranks


SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window (σ 1.5); smaller pictures have no SSIM."""


@torch.no_grad()
def ssim_map(
    predicted: Float[Tensor, "frame 3 height width"], target: Float[Tensor, "frame 3 height width"]
) -> Float[Tensor, "frame height width"]:
    """Structural similarity around every pixel, mean over the three channels, 1 = same (Wang et al. 2004, by torchmetrics).

    Pictures come in [-1, 1] and are taken to [0, 1] first: SSIM compares local means by their ratio, which a shifted range changes. NaN for
    pictures smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    size = predicted.shape[2:]
    if min(size) < SSIM_WINDOW or not len(predicted):
        return predicted.new_full((len(predicted), *size), float("nan"))
    maps = []
    for own, real in zip(predicted.split(16), target.split(16), strict=True):
        found = structural_similarity_index_measure((own + 1) / 2, (real + 1) / 2, data_range=1.0, return_full_image=True)
        maps.append(found[1].mean(dim=1))
    return torch.cat(maps)


def ssim(
    predicted: Float[Tensor, "frame 3 height width"],
    target: Float[Tensor, "frame 3 height width"],
    region: Bool[Tensor, "frame height width"] | None = None,
) -> float:
    """Mean of `ssim_map` over all frames, or over the region; NaN for an empty one."""
    values = ssim_map(predicted, target).double()
    values = values if region is None else values[region]
    return float(values.mean()) if values.numel() else float("nan")
