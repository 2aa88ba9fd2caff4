"""Several people in a portrait: the largest dances."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from xdancer.pose.detector import DetectedPose, PoseDetector, detect_portrait
from xdancer.skeleton import BODY_COUNT


class OneAtATime(PoseDetector):
    """Finds the leftmost column of people drawn as white boxes, as a detector that shows one person would."""

    name, version, device = "one", "0", "cpu"

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[DetectedPose]:
        for frame in frames:
            pixels = np.zeros((60, 3), np.float32)
            columns = np.flatnonzero((frame == 255).all(-1).any(0))
            if len(columns):
                left = right = int(columns[0])
                while (frame[:, right + 1] == 255).all(-1).any():
                    right += 1
                rows = np.flatnonzero((frame[:, left] == 255).all(-1))
                spread = np.linspace(0, 1, BODY_COUNT)
                pixels[:BODY_COUNT, 0] = left + spread * (right - left)
                pixels[:BODY_COUNT, 1] = rows[0] + spread * (rows[-1] - rows[0])
                pixels[:BODY_COUNT, 2] = 1
            yield DetectedPose(pixels)


@pytest.mark.parametrize("large_first", [True, False])
def test_the_largest_of_several_is_taken_and_said(large_first: bool, capsys: pytest.CaptureFixture[str]) -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    spans = [(40, 80), (180, 220)]
    tall, small = spans if large_first else spans[::-1]
    picture[20:180, slice(*tall)] = picture[120:170, slice(*small)] = 255
    pose = detect_portrait(picture, OneAtATime())
    assert pose[:BODY_COUNT, 1].min() == pytest.approx(20 / 100 - 1, abs=0.02)
    assert pose[:BODY_COUNT, 1].max() == pytest.approx(179 / 100 - 1, abs=0.02)
    assert "2 people in the picture: the largest is taken" in capsys.readouterr().out


def test_one_person_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    picture[20:180, 40:80] = 255
    detect_portrait(picture, OneAtATime())
    assert capsys.readouterr().out == ""
