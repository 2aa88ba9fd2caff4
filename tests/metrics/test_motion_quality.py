"""Hands, feet, jitter and segment borders against closed forms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from xdancer import skeleton as sk
from xdancer.errors import XDancerError
from xdancer.metrics import motion_quality as mq
from xdancer.metrics.pose import jerk

HANDS = (sk.LEFT_HAND, sk.RIGHT_HAND)


def flat_hand(bend: float = 0.0) -> NDArray[np.float64]:
    """21 points in palm lengths: fingers straight on from the knuckles, or bent by so many degrees at each of their last two joints."""
    points = np.zeros((21, 2))
    points[[5, 9, 13, 17]] = mq.PALM_TEMPLATE[1:]
    points[1] = (-0.3, 0.25)
    for finger in range(5):
        direction = np.arctan2(0.95, -0.28) if finger else np.radians(120)
        for joint, length in ((1, 0.45), (2, 0.28), (3, 0.2)):
            direction += np.radians(bend) * (joint > 1)
            points[4 * finger + joint + 1] = points[4 * finger + joint] + length * np.array([np.cos(direction), np.sin(direction)])
    return points


def person(frames: int = 12) -> NDArray[np.float32]:
    """A standing figure 1.6 high with two flat hands, palms .1 long."""
    pose = np.zeros((frames, 60, 3), np.float32)
    pose[..., 2] = 1
    heights = {sk.NOSE: -0.8, sk.NECK: -0.6}
    heights |= {sk.RIGHT_HIP: 0.0, sk.RIGHT_KNEE: 0.4, sk.RIGHT_ANKLE: 0.8, sk.LEFT_HIP: 0.0, sk.LEFT_KNEE: 0.4, sk.LEFT_ANKLE: 0.8}
    for point, height in heights.items():
        pose[:, point, 1] = height
    for hand in HANDS:
        pose[:, hand, :2] = 0.1 * flat_hand()
    return pose


def with_hands(points: NDArray[np.float64], frames: int = 12) -> NDArray[np.float32]:
    pose = person(frames)
    for hand in HANDS:
        pose[:, hand, :2] = 0.1 * points
    return pose


@pytest.mark.parametrize("bend", [0.0, 60.0, -60.0])
def test_a_hand_scores_one_from_any_side(bend: float) -> None:
    tilts = [np.eye(2), np.diag([0.4, 1.0]), np.diag([-1.0, 0.5]), np.array([[0.6, -0.8], [0.8, 0.6]])]
    for tilt in tilts:
        found = mq.hand_score(with_hands(flat_hand(bend) @ tilt.T))
        assert found.score == found.shown == found.plausible == 1
        assert (found.hands, found.frames) == (24, 12)


def test_shuffled_fingers_score_low() -> None:
    pose = person(60)
    null = mq.hand_score(mq.shuffled_fingers(pose))
    assert null.shown == 1
    assert null.score < 0.25
    assert null.bad_palm > 0.5
    assert np.array_equal(np.sort(mq.shuffled_fingers(pose)[:, sk.LEFT_HAND, 0], axis=1), np.sort(pose[:, sk.LEFT_HAND, 0], axis=1))
    assert np.array_equal(mq.shuffled_fingers(pose)[:, : sk.BODY_COUNT], pose[:, : sk.BODY_COUNT])


def test_hidden_points_and_hands_lower_the_share_and_nothing_else() -> None:
    pose = person()
    pose[:, sk.RIGHT_HAND, 2] = 0  # one hand of two
    pose[:6, sk.LEFT_HAND.start + 20, 2] = 0.29  # a tip in half of the frames
    found = mq.hand_score(pose)
    assert found.shown == pytest.approx(0.5 - 0.5 * 0.5 / 20)
    assert found.score == pytest.approx(found.shown)
    assert found.plausible == 1
    assert found.hands == 12


def test_each_fault_is_found_where_it_is() -> None:
    long = flat_hand()
    long[8] = long[7] + 3 * (long[8] - long[7])
    found = mq.hand_score(with_hands(long))
    assert found.bad_length == pytest.approx(1 / 20)
    assert found.plausible == pytest.approx(19 / 20)

    folded = flat_hand(60.0)
    bone = folded[7] - folded[6]
    angle = np.arctan2(bone[1], bone[0]) - np.radians(60)  # the tip of the index finger turns the other way
    folded[8] = folded[7] + 0.2 * np.array([np.cos(angle), np.sin(angle)])
    found = mq.hand_score(with_hands(folded))
    assert found.bad_fold == pytest.approx(4 / 20)  # the whole finger
    assert found.bad_length == 0

    crushed = flat_hand()
    crushed[[5, 9, 13, 17]] = crushed[[13, 5, 17, 9]]
    found = mq.hand_score(with_hands(crushed))
    assert found.bad_palm == 1
    assert found.score == 0


@pytest.mark.parametrize(("fps", "jumps"), [(30.0, False), (60.0, True)])
def test_a_jump_is_a_speed(fps: float, jumps: bool) -> None:
    """Hands turned by 25 degrees: the farthest tips move .8 palm lengths. The bound is one in a frame at 30 fps and half of one at 60 fps."""
    pose = with_hands(flat_hand(), frames=2)
    turn = np.radians(25)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for hand in HANDS:
        pose[1, hand, :2] = pose[1, hand, :2] @ rotation.T
    found = mq.hand_score(pose, fps=fps)
    moved = np.linalg.norm(flat_hand()[1:] @ (rotation - np.eye(2)).T, axis=1) > mq.HAND_SPEED / fps
    assert found.bad_jump == pytest.approx(moved.mean() / 2)
    assert bool(moved.any()) == jumps


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_nothing_to_see_is_said(frames: int) -> None:
    hidden = person(frames)
    hidden[:, sk.BODY_COUNT :, 2] = 0
    hidden[:, sk.BODY_COUNT :, :2] = np.nan
    found = mq.hand_score(hidden)
    assert np.isnan([found.score, found.shown, found.plausible, found.bad_palm]).all()
    assert (found.hands, found.frames) == (0, frames)
    hidden[:, sk.BODY, 2] = 0
    foot = mq.foot_sliding(hidden)
    assert np.isnan([foot.speed, foot.contact]).all()
    assert foot.pairs == 0
    values = mq.motion_quality(hidden, hidden)
    assert len(values) == 11
    assert np.isnan(list(values.values())).all()
    assert np.isnan(mq.pose_changes(hidden)).all()


def test_points_on_one_spot_are_no_hand() -> None:
    found = mq.hand_score(with_hands(np.zeros((21, 2))))
    assert found.score == 0
    assert found.bad_palm == 1


def test_sliding_of_a_standing_figure_is_its_speed() -> None:
    pose = person(60)
    assert mq.foot_sliding(pose) == mq.FootSliding(0.0, 1.0, 118)
    pose[..., 0] += 0.016 * np.arange(60)[:, None]  # one per cent of the body height a frame
    found = mq.foot_sliding(pose, fps=25.0)
    assert found.speed == pytest.approx(0.25, rel=1e-4)
    assert found.contact == 1
    pixels = pose * (300, 300, 1)
    assert mq.foot_sliding(pixels.astype(np.float32), fps=25.0).speed == pytest.approx(0.25, rel=1e-3)


def test_only_feet_that_stand_count() -> None:
    """The right foot is lifted and carried for a third of a second out of two; the left one stands still throughout."""
    pose = person(60)
    pose[20:30, sk.RIGHT_ANKLE, 1] -= 0.3
    pose[20:, sk.RIGHT_ANKLE, 0] += 0.5
    found = mq.foot_sliding(pose)
    assert found.speed == 0
    assert found.contact == pytest.approx((118 - 11) / 118)
    pose[40:, sk.LEFT_ANKLE, 2] = 0.2
    assert mq.foot_sliding(pose).pairs == 59 + 39


def test_a_level_is_local() -> None:
    """Who walks away from the camera stands higher and higher in the picture."""
    pose = person(120)
    pose[60:, :, 1] -= 0.2
    assert mq.foot_sliding(pose).contact == pytest.approx(1 - 2 * (1 + 15) / 238, abs=0.02)


def test_jerk_ratio_is_free_of_unit_and_size() -> None:
    rng = np.random.default_rng(0)
    true = person(30)
    true[:, sk.BODY, :2] += 0.01 * rng.normal(size=(30, 18, 2)).astype(np.float32)
    assert mq.jerk_ratio(true, true) == pytest.approx(1)
    assert mq.jerk_ratio((true * (50, 50, 1)).astype(np.float32), true) == pytest.approx(1, rel=1e-4)
    louder = true.copy()
    louder[..., :2] += 2 * (true[..., :2] - person(30)[..., :2])
    expected = jerk(louder) / jerk(true)
    assert mq.jerk_ratio(louder, true) == pytest.approx(expected, rel=0.05)
    assert expected == pytest.approx(3, rel=1e-3)
    assert np.isnan(mq.jerk_ratio(true, person(30)))  # the truth has no jerk
    assert np.isnan(mq.jerk_ratio(true[:3], true))


def test_motion_quality_names_truth_and_nulls() -> None:
    values = mq.motion_quality(person(20), person(20))
    assert values["hand_score"] == values["hand_score_true"] == 1
    assert values["hand_score_null"] < 0.3
    assert values["foot_sliding"] == values["foot_sliding_true"] == 0
    assert np.isnan(values["jerk_ratio"])
    assert "jerk_ratio" not in mq.motion_quality(person(20))


def test_changes_are_counted_between_neighbours() -> None:
    pose = person(5)
    pose[3:, :, 0] += 0.16
    assert mq.pose_changes(pose) == pytest.approx([0, 0, 0.1, 0], abs=1e-6)
    frames = np.zeros((3, 4, 4, 3), np.uint8)
    frames[1] = 250
    assert mq.video_changes(frames) == pytest.approx([250, 250])
    assert mq.video_changes(frames[:1]).shape == (0,)


def test_a_jump_at_the_border_is_the_gap() -> None:
    changes = np.full(63, 0.02)
    changes[15::16] += 0.5  # frames 16, 32 and 48 begin segments
    assert mq.border_gap(changes, [16, 32, 48]) == pytest.approx(0.5)
    assert mq.border_gap(changes, [20, 40]) == pytest.approx(0.02 - changes[np.isin(np.arange(63), [19, 39], invert=True)].mean())
    assert np.isnan(mq.border_gap(changes, []))
    assert np.isnan(mq.border_gap(np.zeros(0), []))
    assert np.isnan(mq.border_gap(np.full(4, np.nan), [2]))


def test_the_interval_is_over_clips_and_the_truth_is_taken_off() -> None:
    rng = np.random.default_rng(0)
    clips = [rng.uniform(0.01, 0.03, 63) for _ in range(20)]
    torn = [clip + np.isin(np.arange(63), [31]) * 0.4 for clip in clips]
    found = mq.border_continuity(torn, [[32]] * 20, draws=500)
    assert found.gap == pytest.approx(0.4, abs=0.01)
    assert found.low < found.gap < found.high
    assert found.low > 0.35
    assert (found.clips, found.left_out) == (20, 0)
    smooth = mq.border_continuity(clips, [[32]] * 20, draws=500)
    assert smooth.low < 0 < smooth.high
    both = mq.border_continuity(torn, [[32]] * 20, true=torn, draws=500)
    assert both.gap == both.low == both.high == 0
    empty = mq.border_continuity([np.full(63, np.nan), np.zeros(0)], [[32], []], draws=500)
    assert np.isnan([empty.gap, empty.low, empty.high]).all()
    assert (empty.clips, empty.left_out) == (0, 2)


@pytest.mark.parametrize("border", [0, 10, -1])
def test_a_border_outside_the_clip_is_refused(border: int) -> None:
    with pytest.raises(XDancerError, match=rf"cannot begin at frame {border} of a clip of 10 frames"):
        mq.border_gap(np.zeros(9), [5, border])
