"""Several people by MediaPipe: whom to begin to follow, what each one's graph is shown, who is dropped."""

import numpy as np
import pytest

from xdancer.pose.mediapipe import LOOK_EVERY, _Followed, _gone, _unknown, _without


def followed(left: float, *, seen: bool = True) -> _Followed:
    """Somebody of 20×60 pixels."""
    one = _Followed(None)
    one.box, one.centre, one.seen = np.array([left, 10.0, left + 20, 70.0]), np.array([left + 10, 40.0]), seen
    return one


def box(middle: float) -> np.ndarray:
    return np.array([middle - 15, 5.0, middle + 15, 75.0])


def test_who_is_followed_already_is_not_new() -> None:
    found = [box(12), box(60), box(61), box(110)]
    assert [new.tolist() for new in _unknown(found, [followed(0)])] == [box(60).tolist(), box(110).tolist()]
    assert len(_unknown(found, [followed(0, seen=False)])) == 3


def test_each_is_shown_the_picture_without_the_others() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (80, 120, 3), np.uint8)
    one, other = followed(10), followed(25)
    assert _without(picture, one, [one]) is picture
    shown = _without(picture, one, [one, other])
    same = (shown == picture).all(axis=2)
    assert same[10:70, 10:30].all()  # one's own box, where they overlap too
    assert not same[10:70, 30:45].any()
    assert same[:, 45:].all()


def test_twins_and_the_long_unseen_are_dropped() -> None:
    first, twin, lost = followed(10), followed(11), followed(90, seen=False)
    lost.unseen = LOOK_EVERY
    assert _gone([first, twin, lost]) == [lost, twin]
    first.unseen = LOOK_EVERY
    assert _gone([first]) == []  # the first one stays: it finds the next person by itself


@pytest.mark.parametrize("visible", [3, 4])
def test_a_few_points_are_nobody(visible: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from xdancer.pose import mediapipe
    from xdancer.pose.detector import DetectedPose

    pixels = np.zeros((60, 3), np.float32)
    pixels[:visible] = 0.9
    monkeypatch.setattr(mediapipe, "_look", lambda graph, picture: DetectedPose(pixels))
    one = _Followed(None)
    one.look(np.zeros((4, 4, 3), np.uint8))
    assert (one.seen, one.unseen) == ((True, 0) if visible > 3 else (False, 1))
