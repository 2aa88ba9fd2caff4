"""Pixels ↔ pose coordinates, missing keypoints, other moments."""

import numpy as np
import pytest

from xdancer.pose.coordinates import hold_missing, nearest_frames, resample_poses, to_normalised, to_pixels
from xdancer.skeleton import LEFT_HAND, LEFT_WRIST, NOSE, RIGHT_HAND


def walk(frames: int) -> np.ndarray:
    """Every keypoint moves 1 to the right per frame."""
    pose = np.ones((frames, 60, 3), np.float32)
    pose[..., 0] = np.arange(frames)[:, None]
    pose[..., 1] = np.arange(60)
    return pose


def test_the_unit_is_half_the_height_on_both_axes() -> None:
    pixels = np.zeros((1, 60, 3), np.float32)
    pixels[0, 0] = (256, 448, 0.5)
    pixels[0, 1] = (512, 896, 1)
    pose = to_normalised(pixels, width=512, height=896)
    np.testing.assert_allclose(pose[0, :2], [[0, 0, 0.5], [512 / 896, 1, 1]])
    np.testing.assert_allclose(to_pixels(pose, width=512, height=896), pixels, atol=1e-4)


def test_missing_keypoints_hold_their_last_position() -> None:
    pose = walk(6)
    pose[2:4, NOSE] = 0
    pose[:2, LEFT_WRIST] = 0
    pose[:, RIGHT_HAND] = 0
    held = hold_missing(pose)
    assert held[:, NOSE, 0].tolist() == [0, 1, 1, 1, 4, 5]
    assert held[:, NOSE, 2].tolist() == [1, 1, 0, 0, 1, 1]
    assert held[:, LEFT_WRIST, 0].tolist() == [2, 2, 2, 3, 4, 5]
    np.testing.assert_array_equal(held[:, RIGHT_HAND, :2], np.repeat(held[:, 4:5, :2], 21, axis=1))
    np.testing.assert_array_equal(held[:, LEFT_HAND], pose[:, LEFT_HAND])
    assert np.isfinite(hold_missing(np.zeros((3, 60, 3), np.float32))).all()


def test_24_to_30_fps_is_linear_and_takes_the_smaller_confidence() -> None:
    pose = walk(25)
    pose[3, NOSE, 2] = 0.4
    times, new = np.arange(25) / 24, np.arange(31) / 30
    result = resample_poses(pose, times, new)
    np.testing.assert_allclose(result[:, LEFT_WRIST, 0], new * 24, atol=1e-5)
    low = [index for index, moment in enumerate(new) if 2 / 24 < moment < 4 / 24]
    assert low == [3, 4]
    np.testing.assert_allclose(result[low, NOSE, 2], 0.4)
    assert (np.delete(result[:, NOSE, 2], low) == 1).all()


def test_resampling_at_the_own_times_changes_nothing() -> None:
    pose = walk(10)
    pose[4, :, 2] = 0.1
    np.testing.assert_array_equal(resample_poses(pose, np.arange(10) / 30, np.arange(10) / 30), pose)
    outside = resample_poses(pose, np.arange(10) / 30, np.array([-1.0, 5.0]))
    np.testing.assert_array_equal(outside, pose[[0, 9]])


def test_a_moment_that_misses_a_frame_by_the_last_bit_is_that_frame_s() -> None:
    pose = walk(10)
    pose[[3, 5], :, 2] = 0.1
    times = np.arange(10) / 30
    for late in (-1e-12, 1e-12):
        np.testing.assert_array_equal(resample_poses(pose, times, times + late), pose)


def test_between_missing_and_seen_the_position_is_held() -> None:
    pose = walk(3)
    pose[1, NOSE] = (0, 0, 0)
    pose = hold_missing(pose)
    result = resample_poses(pose, np.arange(3.0), np.array([0.5, 1.5]))
    assert result[:, NOSE, 0].tolist() == [0, 0]
    assert result[:, NOSE, 2].tolist() == [0, 0]


@pytest.mark.parametrize("fps", [24, 30, 60])
def test_nearest_frames(fps: int) -> None:
    times, new = np.arange(fps) / fps, np.arange(30) / 30
    index = nearest_frames(times, new)
    assert (np.abs(times[index] - new) <= 0.5 / fps + 1e-9).all()
    assert len(nearest_frames(np.zeros(1), new)) == 30
