"""Kinetic features and diversity against closed forms."""

import numpy as np
import pytest

from xdancer.metrics import diversity as div


def test_kinetic_features_of_a_constant_speed() -> None:
    pose = np.ones((30, 60, 3), np.float32)
    pose[..., 0] = 0.5 * np.arange(30)[:, None] / 30
    features = div.kinetic_features(pose, height=1.0)
    np.testing.assert_allclose(features[:18], 0.25, rtol=1e-4)
    np.testing.assert_allclose(features[18:36], 0, atol=1e-6)
    np.testing.assert_allclose(features[36:], 0, atol=1e-2)


def test_acceleration_is_the_second_difference() -> None:
    pose = np.ones((30, 60, 3), np.float32)
    pose[..., 1] = (np.arange(30)[:, None] / 30) ** 2
    np.testing.assert_allclose(div.kinetic_features(pose, height=1.0)[36:], 2, rtol=1e-2)


def test_collapsed_motion_shows() -> None:
    truth = np.random.default_rng(0).normal(size=(50, 54))
    own = div.diversity(truth, truth)
    assert own == pytest.approx(np.sqrt(2 * 54), rel=0.05)
    assert div.diversity(0.05 * truth, truth) == pytest.approx(0.05 * own)
    assert np.isnan(div.diversity(truth[:1], truth))


def test_windows_drop_the_rest() -> None:
    assert [len(window) for window in div.windows(np.zeros((70, 60, 3)), 32)] == [32, 32]
