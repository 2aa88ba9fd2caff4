"""Figures of poses against closed forms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from xdancer import skeleton as sk
from xdancer.metrics import pose as figures


def standing(frames: int = 8) -> NDArray[np.float32]:
    """A figure whose path nose–neck–hip–knee–ankle is 1.6 long on both sides."""
    pose = np.zeros((frames, 60, 3), np.float32)
    pose[..., 2] = 1
    heights = {sk.NOSE: -0.8, sk.NECK: -0.6}
    heights |= {sk.RIGHT_HIP: 0.0, sk.RIGHT_KNEE: 0.4, sk.RIGHT_ANKLE: 0.8, sk.LEFT_HIP: 0.0, sk.LEFT_KNEE: 0.4, sk.LEFT_ANKLE: 0.8}
    for point, height in heights.items():
        pose[:, point, 1] = height
    rng = np.random.default_rng(0)
    pose[:, sk.BODY_COUNT :, :2] = rng.normal(size=(42, 2)) * 0.05
    return pose


def test_body_height_is_the_median_path_of_the_visible_sides() -> None:
    pose = standing()
    assert figures.body_height(pose) == pytest.approx(1.6)
    pose[:, sk.LEFT_KNEE, 0] = 0.3  # the left path is 1.0 + 0.2 + …; hidden, it does not count
    pose[:, sk.LEFT_ANKLE, 2] = 0.29
    assert figures.body_height(pose) == pytest.approx(1.6)
    pose[:3, sk.NOSE, 1] -= 5  # a minority of frames does not move the median
    assert figures.body_height(pose) == pytest.approx(1.6)
    pose[:, sk.NECK, 2] = 0
    assert np.isnan(figures.body_height(pose))


def test_percent_errors_of_a_shift() -> None:
    target = standing()
    moved = target.copy()
    moved[..., 0] += 0.016  # one per cent of the body height
    errors = figures.percent_errors(moved, target)
    for part in ("body", "head", "hands"):
        assert errors[part] == pytest.approx(1.0, rel=1e-4)
    assert errors["hands_wrist_aligned"] == pytest.approx(0.0, abs=1e-4)
    assert errors["hands_mean_hand"] == pytest.approx(0.0, abs=1e-4)  # hands that never move are their own mean


def test_pixels_are_those_of_a_frame_of_896_lines() -> None:
    target = standing()
    moved = target.copy()
    moved[:, : sk.BODY_COUNT, 0] += 2 / 448  # the unit is half the height
    moved[:, sk.BODY_COUNT :, 1] -= 4 / 448
    errors = figures.pixel_errors_of_set([(moved, target), (moved, target)])
    assert errors["body"] == errors["head"] == pytest.approx(2.0, rel=1e-4)
    assert errors["hands"] == pytest.approx(4.0, rel=1e-4)
    assert errors["full"] == pytest.approx((18 * 2 + 42 * 4) / 60, rel=1e-4)
    assert errors["hands_wrist_aligned"] == pytest.approx(0.0, abs=1e-3)
    percent = figures.percent_errors_of_set([(moved, target)])
    assert percent["full"] == pytest.approx(100 * errors["full"] / 448 / 1.6, rel=1e-4)


def test_a_clip_without_legs_has_pixels_and_no_per_cent() -> None:
    target = standing()
    target[:, [sk.LEFT_ANKLE, sk.RIGHT_ANKLE], 2] = 0
    moved = target.copy()
    moved[..., 0] += 1 / 448
    assert np.isnan(figures.percent_errors(moved, target)["full"])
    assert figures.pixel_errors_of_set([(moved, target)])["full"] == pytest.approx(1.0, rel=1e-4)


def test_hidden_keypoints_do_not_count() -> None:
    target = standing()
    wrong = target.copy()
    wrong[:, sk.RIGHT_WRIST, :2] = 9
    target[:, sk.RIGHT_WRIST, 2] = 0.2
    assert figures.percent_errors(wrong, target)["body"] == pytest.approx(0.0, abs=1e-6)


def test_mean_hand_is_the_baseline_of_moving_fingers() -> None:
    target = standing(frames=2)
    target[0, 19, 0] += 0.032
    target[1, 19, 0] -= 0.032
    errors = figures.percent_errors_of_set([(target, target), (target, target)])
    assert errors["hands_wrist_aligned"] == 0
    assert errors["hands_mean_hand"] == pytest.approx(2.0 / 40, rel=1e-3)  # one finger point of forty is 2 % off


def test_pck_counts_what_was_not_found_as_a_miss() -> None:
    target = standing()
    predicted = target.copy()
    predicted[:, 0, :2] += 0.2
    predicted[:, 1, 2] = 0
    assert figures.pck(predicted, target) == pytest.approx(16 / 18)
    assert figures.pck(predicted, target, threshold=0.2) == pytest.approx(17 / 18)


def test_speed_frozen_and_jerk() -> None:
    target = standing(20)
    time = np.arange(20) / 30
    target[..., 0] += 0.3 * time[:, None]
    assert figures.mean_speed(target) == pytest.approx(0.3, rel=1e-4)
    assert figures.jerk(target) == pytest.approx(0.0, abs=0.2)
    cubic = standing(20)
    cubic[..., 0] += time[:, None] ** 3
    assert figures.jerk(cubic) == pytest.approx(6.0, rel=0.02)
    assert figures.frozen(standing(20), target)
    assert not figures.frozen(target, target)


def test_broken_frames_are_those_without_a_body() -> None:
    target = standing(10)
    assert figures.broken_share(target, target) == 0
    generated = target.copy()
    generated[0, :12, 2] = 0  # most of the body is gone
    generated[1, 1, :2] += 10  # the neck flies away
    generated[2, 1, :2] = generated[2, [8, 11], :2].mean(axis=0)  # the torso folds up
    generated[3, 4, :2] += 1  # a raised hand is no break
    assert figures.broken_share(generated, target) == pytest.approx(0.3)


def test_a_hidden_joint_adds_no_speed() -> None:
    pose = standing(10)
    pose[5, 4, :2] = 7
    pose[5, 4, 2] = 0
    assert figures.mean_speed(pose) == 0
    pose[..., 2] = 0
    assert np.isnan(figures.mean_speed(pose))
