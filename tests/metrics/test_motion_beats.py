"""Motion beats of 2D and 3D poses with any number of joints, alone and in bulk."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import argrelextrema

from xdancer.errors import PoseError
from xdancer.metrics.motion_beats import PROTOCOLS, Protocol, motion_beats, motion_beats_of_clips
from xdancer.metrics.pose import frame_speed


def walk(frames: int = 300, joints: int = 60, axes: int = 2, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A random walk and full confidence."""
    steps = np.random.default_rng(seed).normal(size=(frames, joints, axes))
    return steps.cumsum(axis=0).astype(np.float32), np.ones((frames, joints), np.float32)


@pytest.mark.parametrize("order", [1, 10])
def test_minima_are_scipys_where_no_speed_repeats(order: int) -> None:
    keypoints, confidence = walk()
    speed = frame_speed(keypoints, confidence)
    if order == 1:
        expected, found = argrelextrema(gaussian_filter1d(speed, 2.5), np.less)[0], motion_beats(keypoints, confidence) * 30
    else:
        keypoints, confidence = walk(600)
        speed = frame_speed(keypoints, confidence)
        inside = argrelextrema(speed, np.less, order=order, mode="wrap")[0]
        expected = [i for i in range(1, len(speed) - 1) if (np.delete(speed[max(0, i - 10) : i + 11], min(i, 10)) > speed[i]).all()]
        assert set(inside[(inside >= 10) & (inside < len(speed) - 10)]) <= set(expected)
        found = motion_beats(keypoints, confidence, 60.0, protocol="aist60") * 60
    np.testing.assert_allclose(found, np.asarray(expected) + 0.5)


def test_a_third_axis_and_another_skeleton_change_nothing_where_they_say_nothing() -> None:
    keypoints, confidence = walk()
    flat = np.concatenate([keypoints, np.full_like(keypoints[..., :1], 3.0)], axis=-1)
    body = keypoints[:, :18]
    for protocol in PROTOCOLS:
        beats = motion_beats(keypoints, confidence, protocol=protocol)
        assert len(beats) > 5
        np.testing.assert_array_equal(motion_beats(flat, confidence, protocol=protocol), beats)
        np.testing.assert_array_equal(motion_beats(body, confidence[:, :18], protocol=protocol), beats)


def test_depth_counts_and_so_does_every_joint_of_another_skeleton() -> None:
    keypoints, confidence = walk(joints=24, axes=3)
    speed = np.linalg.norm(np.diff(keypoints.astype(np.float64), axis=0), axis=-1).mean(axis=1)
    np.testing.assert_allclose(frame_speed(keypoints, confidence), speed)
    turned = keypoints[..., [2, 0, 1]]
    np.testing.assert_allclose(motion_beats(turned, confidence), motion_beats(keypoints, confidence))


def test_a_joint_at_nan_is_not_seen() -> None:
    keypoints, confidence = walk(joints=24, axes=3)
    lost, unseen = keypoints.copy(), confidence.copy()
    lost[5:9, 3] = np.nan
    unseen[5:9, 3] = 0.0
    np.testing.assert_array_equal(frame_speed(lost, confidence), frame_speed(keypoints, unseen))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fps", [24.0, 60.0])
def test_many_clips_are_one_by_one(protocol: Protocol, fps: float) -> None:
    still = np.ones((90, 60, 2), np.float32), np.ones((90, 60), np.float32)
    hidden = walk(90)[0], np.zeros((90, 60), np.float32)
    clips = [walk(90), still, walk(1), walk(150, seed=1), hidden, walk(3), walk(0), walk(90, seed=2), walk(90, joints=17, axes=3)]
    found = motion_beats_of_clips(clips, fps, protocol=protocol)
    for beats, (keypoints, confidence) in zip(found, clips, strict=True):
        np.testing.assert_array_equal(beats, motion_beats(keypoints, confidence, fps, protocol=protocol))
    assert not any(len(found[number]) for number in (1, 2, 4, 6))
    assert sum(map(len, found)) > 5
    assert motion_beats_of_clips([], fps, protocol=protocol) == []


def test_a_beat_between_two_stamps_lies_in_their_middle() -> None:
    """Equal speeds of two neighbours are one minimum; three are a rest, not a beat."""
    speed = np.array([3.0, 2, 1, 1, 2, 3, 3, 2, 1, 1, 1, 2, 3])
    place = np.r_[0.0, speed.cumsum()]
    keypoints = np.repeat(np.stack([place, np.zeros_like(place)], axis=-1)[:, None], 18, axis=1)
    beats = motion_beats(keypoints, np.ones(keypoints.shape[:2]), 1e-3) * 1e-3  # σ = 1/12 s is nothing at this rate
    np.testing.assert_allclose(beats, [3.0])


def test_wrong_input_is_named() -> None:
    keypoints, confidence = walk(10)
    with pytest.raises(PoseError, match=r"shape \(10, 60, 4\): needs \(frame, joint, 2 or 3\)"):
        motion_beats(np.concatenate([keypoints, keypoints], axis=-1), confidence)
    with pytest.raises(PoseError, match=r"Frame rate 0\.0 .* above 0"):
        motion_beats(keypoints, confidence, 0.0)
