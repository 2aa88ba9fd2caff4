"""Pictures and poses of a dance against the real one of the same name, frame by frame."""

from collections import defaultdict

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

from xdancer.evaluation.recording import Opened, Pictures, Recording
from xdancer.metrics.motion_quality import jerk_ratio
from xdancer.metrics.perceptual import VGGLPIPS
from xdancer.metrics.pose import body_height, keypoint_errors, pck
from xdancer.metrics.reconstruction import decibels, lpips, person_region, ssim_map, unit_pictures
from xdancer.types import FPS

EVERY = 4
"""Frames of which one is compared by LPIPS and SSIM, which cost a hundred times as much as PSNR."""
PART = 32
"""Frames that are compared at a time."""
PAIRED = (
    "psnr", "ssim", "lpips", "lpips_vgg", "person_psnr", "person_ssim", "jerk_ratio", "pck", "pose_error_full", "pose_error_head",
    "pose_error_hands",
)  # fmt: skip


def pair_figures(
    own: tuple[Opened, Recording], real: tuple[Opened, Recording], vgg: VGGLPIPS | None = None
) -> tuple[dict[str, float], list[str]]:
    """Figures of one pair, and notes that say what could not be compared.

    Frames at 30 fps are paired from the first on, as many as both have. `pck`, the pose errors (per cent of the real body height) and
    `jerk_ratio` compare the poses found in (or given with) the two. `lpips` is AlexNet's; with `vgg`, `lpips_vgg` stands beside it. A figure
    that is not finite is left out; of equal pictures that is said.
    """
    notes: list[str] = []
    figures: dict[str, float] = {}
    frames = (own[1].frames, real[1].frames)
    if frames[0] != frames[1]:
        notes.append(f"{frames[0]} frames, the real one {frames[1]}: compared over the first {min(frames)}")
    if own[0].has_pictures and real[0].has_pictures:
        sizes = [f"{pictures.shape[2]}×{pictures.shape[1]}" for pictures in (own[0].pictures, real[0].pictures)]
        if sizes[0] != sizes[1]:
            notes.append(f"{sizes[0]} pixels, the real one {sizes[1]}: pictures not compared")
        else:
            figures |= _picture_figures(own[0].pictures, real[0].pictures, real[0].person, vgg)
    if own[1].pose is not None and real[1].pose is not None:
        count = min(len(own[1].pose), len(real[1].pose))
        pose, true = own[1].pose[:count], real[1].pose[:count]
        errors, height = keypoint_errors(pose, true), body_height(true)
        figures |= {"pck": pck(pose, true), "jerk_ratio": jerk_ratio(pose, true, fps=FPS)} | {
            f"pose_error_{part}": 100 * errors[part] / height for part in ("full", "head", "hands")
        }
    if figures.get("psnr") == float("inf"):
        notes.append("equal pictures: PSNR is infinite and left out")
    return {name: value for name, value in figures.items() if np.isfinite(value)}, notes


@torch.no_grad()
def _picture_figures(
    made: Pictures,
    true: UInt8[NDArray, "other height width 3"],
    mask: Bool[NDArray, "masked height width"] | None,
    vgg: VGGLPIPS | None,
) -> dict[str, float]:
    """PSNR and SSIM over whole frames and inside the person, LPIPS; errors are pooled over the clip."""
    count = min(len(made), len(true), len(made) if mask is None else len(mask))
    sums: dict[str, float] = defaultdict(float)
    distances: dict[str, list[torch.Tensor]] = defaultdict(list)
    for first in range(0, count, PART):
        stop = min(first + PART, count)
        own, real = unit_pictures(made[first:stop]), unit_pictures(true[first:stop])
        error = (own - real).double().square().mean(dim=1)
        chosen = slice(-first % EVERY, None, EVERY)
        likeness = ssim_map(own[chosen], real[chosen]).double()
        distances["lpips"].append(lpips(own[chosen], real[chosen]))
        if vgg is not None:
            distances["lpips_vgg"].append(vgg(own[chosen], real[chosen]))
        regions = {"": torch.ones_like(error, dtype=torch.bool)}
        if mask is not None:
            regions["person_"] = person_region(torch.from_numpy(mask[first:stop]))
        for name, region in regions.items():
            sums[f"{name}error"] += float(error[region].sum())
            sums[f"{name}pixels"] += int(region.sum())
            sums[f"{name}ssim"] += float(likeness[region[chosen]].sum())
            sums[f"{name}compared"] += int(region[chosen].sum())
    figures = {name: float(torch.cat(values).mean()) for name, values in distances.items()}
    for name in ("", "person_"):
        if pixels := sums[f"{name}pixels"]:
            figures |= {
                f"{name}psnr": decibels(sums[f"{name}error"] / pixels),
                f"{name}ssim": sums[f"{name}ssim"] / max(sums[f"{name}compared"], 1),
            }
    return figures
