"""Distances between two sets of features, Fréchet and kernel, and the shipped video features they are taken on.

A Fréchet distance depends on the backbone, the number of samples, clip length, frame rate and resize; every value here carries the name of its
features, as in `frechet_alex16`, and is never called FVD (that is I3D on Kinetics-400). Below ten samples per dimension it is refused and
only the kernel distance, unbiased at any number, is given with its interval.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from xdancer.metrics.perceptual import alexnet_lpips

SAMPLES_PER_DIMENSION = 10
"""A Fréchet distance needs at least this many samples per feature dimension on both sides (640 windows for `alex16`)."""

Features = Float[NDArray, "_ feature"]


class VideoFeatures(Protocol):
    """A network from windows of frames to one vector each."""

    name: str
    window: int
    """Frames per window."""
    width: int

    def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]: ...


class AlexWindowFeatures:
    """`alex16`: the shipped AlexNet over 16-frame windows, projected to 64 numbers by a fixed matrix drawn with seed 0.

    Pictures in [-1, 1] at 30 fps are resized to 128×128. Per frame: the global means of layers 2–5 (channels scaled to unit length) and a 4×4
    map of layer 5; per window: their mean over time, and the mean absolute difference of the maps of neighbouring frames, so that motion
    counts beside appearance.
    """

    name = "alex16"
    window = 16
    width = 64
    _SIZE = 128
    _GRID = 4

    def __init__(self) -> None:
        still, moving = 192 + 384 + 256 + 256 + 256 * self._GRID**2, 256 * self._GRID**2
        rng = np.random.default_rng(0)
        matrices = [rng.standard_normal((rows, self.width)) / np.sqrt(self.width) for rows in (still, moving)]
        self._still, self._moving = (torch.from_numpy(matrix).float() for matrix in matrices)

    @torch.no_grad()
    def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]:
        frames = windows.shape[1]
        if frames != self.window:
            raise ValueError(f"{self.name} reads windows of {self.window} frames, got {frames}.")
        network = alexnet_lpips(str(windows.device))
        still, moving = [], []
        for window in windows:
            small = functional.interpolate(window.float(), size=(self._SIZE, self._SIZE), mode="bilinear", antialias=True, align_corners=False)
            layers = network.features(small)[1:]
            maps = functional.adaptive_avg_pool2d(layers[-1], self._GRID).flatten(1)
            still.append(torch.cat([layer.mean(dim=(2, 3)) for layer in layers] + [maps], dim=1).mean(dim=0))
            moving.append(maps.diff(dim=0).abs().mean(dim=0))
        device = windows.device
        return torch.stack(still) @ self._still.to(device) + torch.stack(moving) @ self._moving.to(device)


def frechet_distance(first: Features, second: Features) -> float:
    """Fréchet distance of two Gaussians fitted to the sets: ‖μ₁−μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½), in double.

    The caller checks that there are enough samples (`enough_for_frechet`): below the feature dimension the covariances are rank-deficient.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    gap = first.mean(axis=0) - second.mean(axis=0)
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ b @ root).clip(min=0)).sum()
    return float(max(gap @ gap + np.trace(a) + np.trace(b) - 2 * cross, 0.0))


def enough_for_frechet(first: Features, second: Features) -> bool:
    """Whether both sets have ten samples per dimension."""
    return min(len(first), len(second)) >= SAMPLES_PER_DIMENSION * first.shape[1]


def _kernel(a: Features, b: Features) -> Float[NDArray, "_ _"]:
    """The polynomial kernel of KID, (x·y / d + 1)³."""
    return (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3


def kernel_distance(
    first: Features,
    second: Features,
    *,
    clips: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    draws: int = 500,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Unbiased squared maximum mean discrepancy with KID's kernel, and its bootstrap 95 % interval (low, high).

    Features are first scaled to mean 0 and variance 1 over both sets together, so that the value does not depend on their unit; scaled by
    one of the sets alone it would be biased. Unbiased means that two samples of one distribution give 0 on average: single values may be
    negative. With `clips`, pairs of samples of one clip,
    which are no independent draws, are left out of all three means (a set with itself then gives exactly 0), and the bootstrap draws
    whole clips, the same ones on both sides.

    Args:
        first: generated.
        second: real.
        clips: clip number of each sample of both sets; default: independent samples.
        draws: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        ValueError: fewer than two samples, or clips, in a set.
    """
    labels = (np.arange(len(first)), -1 - np.arange(len(second))) if clips is None else clips
    found = [len(np.unique(label)) for label in labels]
    if min(found) < 2:
        raise ValueError(f"A kernel distance needs at least 2 samples (of different clips) in each set, got {found[0]} and {found[1]}.")
    both = np.concatenate([first, second])
    mean, scale = both.mean(axis=0), both.std(axis=0).clip(min=1e-8)
    first, second = (first - mean) / scale, (second - mean) / scale
    sides = ((first, first, 0, 0), (second, second, 1, 1), (first, second, 0, 1))
    apart = [labels[a][:, None] != labels[b][None] for _, _, a, b in sides]
    kernels = [np.where(pairs, _kernel(x, y), 0.0) for pairs, (x, y, _, _) in zip(apart, sides, strict=True)]

    def value(weights: Sequence[Float[NDArray, "draw _"]]) -> Float[NDArray, " draw"]:
        means = [
            ((weights[a] @ kernel) * weights[b]).sum(axis=1) / ((weights[a] @ pairs) * weights[b]).sum(axis=1)
            for kernel, pairs, (_, _, a, b) in zip(kernels, apart, sides, strict=True)
        ]
        return means[0] + means[1] - 2 * means[2]

    point = float(value([np.ones((1, len(first))), np.ones((1, len(second)))])[0])
    low, high = np.quantile(value(_clip_weights(labels, draws, np.random.default_rng(seed))), [0.025, 0.975])
    return point, float(low), float(high)


def _clip_weights(labels: Sequence[NDArray[np.int64]], draws: int, rng: np.random.Generator) -> list[Float[NDArray, "draw _"]]:
    """How often each sample of both sets occurs when clips are drawn with replacement; a draw without two clips in each set takes all."""
    names = np.unique(np.concatenate(labels))
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    inside = [np.isin(names, label) for label in labels]
    poor = np.any([(counts[:, own] > 0).sum(axis=1) < 2 for own in inside], axis=0)
    counts[poor] = 1
    return [counts[:, np.searchsorted(names, label)].astype(np.float64) for label in labels]


class FeatureDistances(Metric):
    """Fréchet and kernel distance of generated from real features, gathered over ranks.

    The states are the feature rows themselves (64 doubles each for `alex16`, thousands at most), because a kernel distance is no sum over
    samples. `compute()` gives `kernel`, `kernel_low`, `kernel_high`, `frechet` (NaN below `minimum` samples) and `samples`. Under DDP every
    rank must have updated at least once, if only with zero rows.

    Args:
        width: of the features.
        minimum: samples that a Fréchet value needs; ten per dimension by default.
    """

    higher_is_better = False
    full_state_update = False
    generated: Tensor | list[Tensor]
    real: Tensor | list[Tensor]
    clips: Tensor | list[Tensor]

    def __init__(self, width: int, *, minimum: int | None = None) -> None:
        super().__init__()
        self.width = width
        self.minimum = SAMPLES_PER_DIMENSION * width if minimum is None else minimum
        for name in ("generated", "real", "clips"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, generated: Float[Tensor, "window feature"], real: Float[Tensor, "window feature"], *, clip: int) -> None:
        """Add the windows of one clip."""
        assert isinstance(self.generated, list)
        assert isinstance(self.real, list)
        assert isinstance(self.clips, list)
        self.generated.append(generated.double())
        self.real.append(real.double())
        self.clips.append(torch.full((len(real),), clip, device=real.device))

    def compute(self) -> dict[str, float]:
        generated, real, clips = (dim_zero_cat(states).cpu().numpy() for states in (self.generated, self.real, self.clips))
        if len(np.unique(clips)) < 2:
            return dict.fromkeys(("kernel", "kernel_low", "kernel_high", "frechet"), float("nan")) | {"samples": float(len(real))}
        kernel, low, high = kernel_distance(generated, real, clips=(clips, clips))
        frechet = frechet_distance(generated, real) if min(len(generated), len(real)) >= self.minimum else float("nan")
        return {"kernel": kernel, "kernel_low": low, "kernel_high": high, "frechet": frechet, "samples": float(len(real))}
