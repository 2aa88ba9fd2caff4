"""The judge of styles: it tells true clips apart, and what it reads does not depend on where the dancer stands."""

import numpy as np
import pytest

from xdancer.reproduce.control import StyleClassifier, style_features


def swing(rng: np.random.Generator, *, reach: float, hertz: float) -> np.ndarray:
    """A body of height 1 whose joints swing, two seconds long."""
    pose = np.zeros((60, 60, 3), np.float32)
    pose[..., 2] = 1
    for path in ((0, 1, 8, 9, 10), (0, 1, 11, 12, 13)):
        pose[:, list(path), 1] = np.linspace(0, 1, 5)
    phases = rng.uniform(0, 6.28, 60)
    pose[..., 0] += reach * np.sin(2 * np.pi * hertz * np.arange(60)[:, None] / 30 + phases)
    return pose


def test_two_ways_to_move_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    clips = [swing(rng, reach=reach, hertz=hertz) for reach, hertz in [(0.05, 1.0), (0.2, 0.5)] * 30]
    features, labels = np.stack([style_features(clip) for clip in clips]), np.array([0, 1] * 30)
    classifier = StyleClassifier.fit(features[:40], labels[:40], ("small", "large"))
    assert (classifier(features[40:]) == labels[40:]).all()


def test_place_and_distance_do_not_matter() -> None:
    pose = swing(np.random.default_rng(1), reach=0.1, hertz=1.0)
    moved = pose.copy()
    moved[..., :2] = moved[..., :2] * 0.4 + 0.3
    assert style_features(moved) == pytest.approx(style_features(pose), abs=1e-3)
