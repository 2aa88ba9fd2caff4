"""The neutral pose is one that a person can stand in."""

import numpy as np

from xdancer.pipelines.standing import standing_pose
from xdancer.skeleton import BODY_LIMBS, HAND_LIMBS, LEFT_ANKLE, LEFT_HAND, LEFT_WRIST, MIRROR, NECK, NOSE


def test_it_stands_upright_symmetric_and_inside_the_picture() -> None:
    pose = standing_pose()
    mirrored = pose[list(MIRROR)] * [-1, 1, 1]
    np.testing.assert_allclose(pose, mirrored, atol=1e-6)
    assert pose[NOSE, 1] < pose[NECK, 1] < pose[LEFT_ANKLE, 1] - 0.5
    assert np.abs(pose[:, 0]).max() < 9 / 16
    assert np.abs(pose[:, 1]).max() < 1
    np.testing.assert_allclose(pose[LEFT_HAND][0], [*pose[LEFT_WRIST, :2], pose[LEFT_HAND][0, 2]])
    limbs = [np.linalg.norm(pose[a, :2] - pose[b, :2]) for a, b in BODY_LIMBS]
    fingers = [np.linalg.norm(pose[LEFT_HAND][a, :2] - pose[LEFT_HAND][b, :2]) for a, b in HAND_LIMBS]
    assert max(fingers) < 0.1 < max(limbs) < 0.5
