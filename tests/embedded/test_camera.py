"""Confidence: it falls where a keypoint is hidden, blurred or out of the picture, and missing keypoints stay where they were."""

from dataclasses import replace

import numpy as np
import pytest

from xdancer.embedded import body as layout
from xdancer.embedded.body import assemble
from xdancer.embedded.camera import observe, project
from xdancer.embedded.choreography import neutral_posture
from xdancer.embedded.identity import make_identity
from xdancer.skeleton import LEFT_EAR, LEFT_WRIST, RIGHT_EAR, RIGHT_WRIST

IDENTITY = make_identity("train-dancer-001")


def still(frames: int = 5) -> np.ndarray:
    return np.repeat(neutral_posture()[None], frames, axis=0)


def seen(posture: np.ndarray) -> np.ndarray:
    return observe(assemble(posture, IDENTITY.body), posture, IDENTITY)


def test_a_standing_dancer_is_seen_clearly() -> None:
    pose = seen(still())
    assert pose[0, :18, 2].min() > 0.9
    assert pose[0, 18:, 2].min() > 0.3
    assert np.abs(pose[..., :2]).max() < 1


def test_a_hand_behind_the_back_is_hidden() -> None:
    posture = still()
    posture[:, layout.LEFT][:, layout.UPPER_ARM] = (0.1, -0.8, -0.7)
    posture[:, layout.LEFT][:, layout.FOREARM] = (-0.9, -0.1, -0.25)
    pose = seen(posture)
    assert pose[0, LEFT_WRIST, 2] < 0.3
    assert pose[0, 18, 2] < 0.3
    assert pose[0, RIGHT_WRIST, 2] > 0.9


def test_a_turned_head_hides_the_far_ear() -> None:
    posture = still()
    posture[:, layout.HEAD_TURN.start] = 1.0  # to the dancer's left
    pose = seen(posture)
    assert pose[0, LEFT_EAR, 2] < 0.3
    assert pose[0, RIGHT_EAR, 2] > 0.9


def test_speed_blurs() -> None:
    posture = still(9)
    posture[:, layout.RIGHT][:, layout.FOREARM.start] += np.linspace(-3, 2.6, 9)
    fast, slow = seen(posture)[4, RIGHT_WRIST, 2], seen(posture)[4, LEFT_WRIST, 2]
    assert fast < 0.75 * slow


def test_leaving_the_picture_holds_the_last_place() -> None:
    posture = still(20)
    posture[:, layout.PELVIS.start] += np.linspace(0, 4, 20)
    for side, sign in ((layout.LEFT, 1), (layout.RIGHT, -1)):
        posture[:, side][:, layout.FOOT.start] += sign * np.linspace(0, 4, 20)
    pose = seen(posture)
    gone = pose[:, 0, 2] == 0
    assert not gone[0]
    assert gone[-1]
    last = int(np.flatnonzero(~gone)[-1])
    assert pose[-1, 0, :2] == pytest.approx(pose[last, 0, :2])


def test_projection_is_a_pinhole() -> None:
    camera = replace(IDENTITY.camera, distance=4.0, height=1.0, focal=2.0, centre=(0.1, -0.2))
    points = np.array([[0.0, 1.0, 0.0], [1.0, 2.0, 0.0], [1.0, 2.0, 2.0]])
    assert project(points, camera) == pytest.approx(np.array([[0.1, -0.2, 4.0], [0.6, -0.7, 4.0], [1.1, -1.2, 2.0]]))
