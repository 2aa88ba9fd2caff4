"""Stretches with a person, and what the filters measure."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from xdancer.pose.detector import DetectedPose, PoseDetector
from xdancer.prepare import PrepareSettings
from xdancer.prepare.filters import FilterError, Filters, camera_motion, longest_presence, measure_quality, measure_view, sharpness
from xdancer.prepare.looking import Look, look_at


def poses(*seen: bool) -> np.ndarray:
    result = np.ones((len(seen), 60, 3), np.float32)
    result[..., 2] = np.array(seen, np.float32)[:, None]
    return result


def test_short_gaps_are_bridged_long_ones_divide() -> None:
    times = np.arange(100) / 10
    seen = np.ones(100, bool)
    seen[10:13] = False  # 0.4 s between two sightings
    seen[60:70] = False
    assert longest_presence(poses(*seen), times) == slice(0, 60)
    seen[10:20] = False
    assert longest_presence(poses(*seen), times) == slice(20, 60)
    assert longest_presence(poses(*[False] * 5), times[:5]) == slice(0, 0)
    assert longest_presence(poses(False, True, False), times[:3]) == slice(1, 2)


def test_quality_counts_what_is_seen() -> None:
    pose = poses(True, True, False, True)
    pose[:2, 18:39, 2] = 0
    quality = measure_quality(pose)
    assert quality.pop("confidence") == {"upper_body": 0.75, "lower_body": 0.75, "head": 0.75, "left_hand": 0.25, "right_hand": 0.75}
    assert quality == {"body_seen": 0.75, "left_hand_seen": 0.25, "right_hand_seen": 0.75, "person_seen": 0.75}


def view_of(pictures: np.ndarray, *people: np.ndarray) -> Look:
    """What `look` gives for these pictures, of which all of one kind of people are known by their poses."""

    class Known(PoseDetector):
        name, version, device = "known", "1", "cpu"

        def track(self, frames: Iterable[np.ndarray]) -> Iterator[DetectedPose]:
            raise AssertionError("everybody was to be looked at")

        def everyone(self, frames: Iterable[np.ndarray]) -> Iterator[list[DetectedPose]]:
            for number, _ in enumerate(frames):
                yield [DetectedPose(track[number]) for track in people]

    return look_at(((number / 24, picture) for number, picture in enumerate(pictures)), len(pictures), 0, Known())


def standing(left: float, frames: int = 24) -> np.ndarray:
    """A person of 20×60 pixels."""
    rng = np.random.default_rng(1)
    pose = np.full((60, 3), 0.9, np.float32)
    pose[:, :2] = np.array([left, 30]) + rng.uniform(0, 1, (60, 2)) * [20, 60]
    pose[:2, :2] = (left, 30), (left + 20, 90)
    return np.repeat(pose[None], frames, axis=0)


def test_a_moving_camera_is_told_from_a_moving_dancer() -> None:
    wall = np.random.default_rng(0).integers(0, 256, (120, 400, 1), np.uint8).repeat(3, axis=2).repeat(1, axis=0)
    still = np.stack([wall[:, :160]] * 24)
    for number in range(24):  # flickers inside the person's box only
        still[number, 30:90, 50:70] = 255 * (number % 8 < 4)
    moving = np.stack([wall[:, 4 * number : 4 * number + 160] for number in range(24)])
    everything = slice(0, 24)
    assert camera_motion(view_of(still, standing(50)), everything) == 0
    assert camera_motion(view_of(moving, standing(50)), everything) > 50
    assert camera_motion(view_of(still), everything) > 0.1  # nobody known: the flicker is background
    filled = standing(50)
    filled[:, :2, :2] = (0, 0), (160, 120)
    assert camera_motion(view_of(moving, filled), everything) == 0  # no background to be seen


def test_figures_of_a_view() -> None:
    view = view_of(np.zeros((24, 120, 160, 3), np.uint8), standing(50), standing(100))
    figures = measure_view(view, view.person(0), 60.0)
    room = 2 * 0.12 * 60
    assert figures["box_share"] == pytest.approx((20 + room) * (60 + room) / (120 * 160), rel=0.05)
    assert {name: figures[name] for name in ("short_side", "person_pixels", "people", "camera_motion")} == {
        "short_side": 120.0, "person_pixels": 60.0, "people": 2.0, "camera_motion": 0.0,
    }  # fmt: skip


def test_sharpness_falls_with_blur() -> None:
    sharp = np.random.default_rng(0).integers(0, 256, (120, 160, 1), np.uint8).repeat(3, axis=2)
    soft = gaussian_filter(sharp, (2, 2, 0))
    pose = standing(50)[0]
    values = [sharpness(picture, pose) for picture in (sharp, soft)]
    assert values[0] is not None
    assert values[1] is not None
    assert values[0] > 100 * values[1] > 0
    around = soft.copy()
    around[:, :40] = sharp[:, :40]
    assert sharpness(around, pose) == values[1]  # only inside the box
    pose[:, 2] = 0
    assert sharpness(sharp, pose) is None


@pytest.mark.parametrize(
    ("figures", "message"),
    [({"sharpness": 2.87654}, "sharpness 2.877 is below --min-sharpness 3"), ({"people": 3.0}, "people 3 is above --max-people 2"),
     ({"short_side": 400.0, "box_share": 0.01}, "box share 0.01 is below --min-box-share 0.02")],
)  # fmt: skip
def test_a_reason_names_figure_and_threshold(figures: dict[str, float], message: str) -> None:
    filters = Filters(PrepareSettings(max_people=2))
    filters.add(camera_motion=3.0, **figures)
    with pytest.raises(FilterError) as failed:
        filters.check()
    assert str(failed.value) == message
    entries = failed.value.figures["filters"]
    assert entries["camera_motion"] == {"value": 3.0, "threshold": 20.0, "passed": True}
    assert [name for name, entry in entries.items() if not entry["passed"]] == [list(figures)[-1]]
