"""Does a dance become what it is asked to be: a style told by a classifier of true dances, energy and density told by their own measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from xdancer.data.reader import ShardReader
from xdancer.evaluation.clips import Clip
from xdancer.evaluation.model import dance_pairs
from xdancer.metrics.diversity import kinetic_features
from xdancer.metrics.pose import body_height, broken_share
from xdancer.motion_gpt.conditions import FIGURES, motion_figures
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.skeleton import BODY
from xdancer.types import PoseBatch
from xdancer.vqvae.model import VQVAE

LEVELS = (0.1, 0.5, 0.9)
"""Quantiles of the true clips' figures that are asked for."""
SHRINKAGE = 0.1
"""Share of the classifier's covariance that is replaced by a multiple of the identity."""


@dataclass(frozen=True)
class StyleClassifier:
    """Linear discriminant analysis with one shared, shrunk covariance, on standardised features of whole clips."""

    styles: tuple[str, ...]
    mean: Float[NDArray, " feature"]
    scale: Float[NDArray, " feature"]
    centres: Float[NDArray, "style feature"]
    precision: Float[NDArray, "feature feature"]

    @staticmethod
    def fit(features: Float[NDArray, "clip feature"], labels: Int[NDArray, " clip"], styles: tuple[str, ...]) -> "StyleClassifier":
        """Learn from true clips, all styles equally likely."""
        mean, scale = features.mean(0), features.std(0) + 1e-9
        rows = (features - mean) / scale
        centres = np.stack([rows[labels == number].mean(0) for number in range(len(styles))])
        inside = rows - centres[labels]
        covariance = inside.T @ inside / len(rows)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        return StyleClassifier(styles, mean, scale, centres, np.linalg.inv(covariance))

    def __call__(self, features: Float[NDArray, "clip feature"]) -> Int[NDArray, " clip"]:
        """The most likely style of each clip."""
        rows = (features - self.mean) / self.scale
        distances = [np.einsum("cf,fg,cg->c", rows - centre, self.precision, rows - centre) for centre in self.centres]
        return np.argmin(np.stack(distances), axis=0)


def style_features(pose: Float[NDArray, "frame 60 3"]) -> Float[NDArray, " feature"]:
    """What tells styles apart: logarithms of the kinetic features, mean places of the joints and how far they stray, from the neck."""
    height = body_height(pose)
    places = (pose[:, BODY, :2] - pose[:, 1:2, :2]) / height
    return np.concatenate([np.log(kinetic_features(pose) + 1e-4), places.mean(0).ravel(), places.std(0).ravel()])


@cache
def true_clips(train: Path, *, frames: int, styles: tuple[str, ...]) -> tuple[Float[NDArray, "clip feature"], Int[NDArray, " clip"]]:
    """Features and style numbers of the training clips."""
    reader = ShardReader(train)
    rows, labels = [], []
    for number in range(len(reader)):
        style = reader.meta(number)["style"]
        if style in styles:
            rows.append(style_features(reader.pose(number, 0, min(frames, int(reader.frames[number])))))
            labels.append(styles.index(style))
    return np.stack(rows), np.array(labels)


def style_figures(
    tokenizer: VQVAE, gpt: MotionGPT, clips: Sequence[Clip], train: Path, *, frames: int, sampling: SamplingConfig, seed: int
) -> dict[str, float]:  # fmt: skip
    """Every clip asked for a style other than its own: how often the classifier finds the asked one, the song's own one, and its ceiling."""
    styles = gpt.config.styles
    classifier = StyleClassifier.fit(*true_clips(train, frames=frames, styles=styles), styles)
    own = np.array([styles.index(clip.meta["style"]) for clip in clips])
    asked = (own + 1 + np.arange(len(clips)) % (len(styles) - 1)) % len(styles)
    wanted = {"style": torch.from_numpy(asked)}
    dances = dance_pairs(tokenizer, gpt, [(clip, clip) for clip in clips], sampling, seed, "fp32", asked=wanted)
    found = classifier(np.stack([style_features(dance) for dance in dances]))
    truth = classifier(np.stack([style_features(clip.pose) for clip in clips]))
    return {
        "gpt/style_asked_found": float((found == asked).mean()), "gpt/style_own_found": float((found == own).mean()),
        "gpt/style_true_found": float((truth == own).mean()), "gpt/style_chance": 1 / len(styles),
        "gpt/style_broken_share": float(np.mean([broken_share(dance, clip.pose) for dance, clip in zip(dances, clips, strict=True)])),
    }  # fmt: skip


def figure_figures(
    tokenizer: VQVAE, gpt: MotionGPT, clips: Sequence[Clip], *, sampling: SamplingConfig, seed: int
) -> dict[str, float]:  # fmt: skip
    """Each figure asked for at three levels by turns: rank correlation (Spearman) of what was asked and what the dance then has."""
    true = np.stack([_measured(clip.pose) for clip in clips])
    result: dict[str, float] = {}
    for column, name in enumerate(FIGURES):
        levels = np.nanquantile(true[:, column], LEVELS)
        asked = levels[np.arange(len(clips)) % len(LEVELS)]
        values = np.full((len(clips), len(FIGURES)), np.nan, np.float32)
        values[:, column] = asked
        wanted: Mapping[str, Tensor] = {"figures": torch.from_numpy(values)}
        dances = dance_pairs(tokenizer, gpt, [(clip, clip) for clip in clips], sampling, seed, "fp32", asked=wanted)
        measured = np.array([_measured(dance)[column] for dance in dances])
        known = np.isfinite(measured)
        result[f"gpt/{name}_correlation"] = float(np.asarray(stats.spearmanr(asked[known], measured[known]))[0])
        for level, value in zip(LEVELS, levels, strict=True):
            result[f"gpt/{name}_asked_{level}"] = float(value)
            result[f"gpt/{name}_got_{level}"] = float(measured[known & (asked == value)].mean())
    return result


def _measured(pose: Float[NDArray, "frame 60 3"]) -> Float[NDArray, " figure"]:
    return motion_figures(PoseBatch.from_array(pose))[0].numpy()
