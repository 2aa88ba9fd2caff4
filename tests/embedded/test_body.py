"""Bodies: bones keep their length, mirrors are mirrors, feet stay on the floor."""

import numpy as np
import pytest

from xdancer.embedded import body as layout
from xdancer.embedded.body import EXTRA, assemble, mirrored, rotation
from xdancer.embedded.choreography import BeatGrid, dance_postures, neutral_posture, phrase_names
from xdancer.embedded.identity import make_identity
from xdancer.skeleton import MIRROR

BODY = make_identity("train-dancer-000").body


@pytest.fixture(scope="module")
def postures() -> np.ndarray:
    return dance_postures(phrase_names("latin", "train", seed=3, count=2), BeatGrid(100.0, 0.0), frames=120)


@pytest.mark.parametrize(("start", "end", "length"), [(5, 6, BODY.upper_arm), (3, 4, BODY.forearm), (11, 12, BODY.thigh), (9, 10, BODY.shank)])
def test_bones_keep_their_length(postures: np.ndarray, start: int, end: int, length: float) -> None:
    points = assemble(postures, BODY).points
    assert np.linalg.norm(points[:, end] - points[:, start], axis=-1) == pytest.approx(length)


def test_the_mirrored_posture_gives_the_mirrored_body(postures: np.ndarray) -> None:
    points, other = assemble(postures, BODY).points[:, :60], assemble(mirrored(postures), BODY).points[:, :60]
    assert other == pytest.approx(points[:, list(MIRROR)] * [-1, 1, 1])


def test_standing_feet_are_on_the_floor() -> None:
    points = assemble(neutral_posture()[None], BODY).points[0]
    assert points[[10, 13], 1] == pytest.approx(BODY.ankle, abs=0.01)
    assert points[EXTRA["head_top"], 1] == pytest.approx(BODY.height, rel=0.06)
    assert points[0, 2] > points[16, 2]  # the nose points to the camera


def test_left_is_on_the_pictures_right() -> None:
    points = assemble(neutral_posture()[None], BODY).points[0]
    assert points[5, 0] > points[2, 0]


def test_thumbs_point_forward_when_arms_hang() -> None:
    posture = neutral_posture()[None].copy()
    for side in (layout.LEFT, layout.RIGHT):
        posture[:, side][:, layout.PALM] = (-1, 0, 0)  # palms to the thighs
        posture[:, side][:, layout.CURL] = 0
    points = assemble(posture, BODY).points[0]
    for hand in (18, 39):
        assert points[hand + 4, 2] > points[hand + 12, 2] + 0.02


def test_fists_are_closed_towards_the_palm() -> None:
    posture = neutral_posture()[None].copy()
    posture[:, layout.LEFT][:, layout.CURL] = 1
    body = assemble(posture, BODY)
    tip, wrist = body.points[0, 18 + 12], body.points[0, 18]
    assert np.linalg.norm(tip - wrist) < 0.75 * BODY.hand
    assert (tip - wrist) @ body.palms[0, 0] > 0.1 * BODY.hand


def test_rotation_is_yaw_pitch_roll() -> None:
    yaw, pitch, roll = (rotation(np.eye(3)[i] * np.pi / 2) for i in range(3))
    assert yaw @ [0, 0, 1] == pytest.approx([1, 0, 0], abs=1e-9)  # to the dancer's left
    assert pitch @ [0, 1, 0] == pytest.approx([0, 0, 1], abs=1e-9)  # forward
    assert roll @ [0, 1, 0] == pytest.approx([-1, 0, 0], abs=1e-9)
