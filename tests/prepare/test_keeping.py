"""The beat figure of one clip and its null."""

import numpy as np
import pytest

from xdancer.prepare.keeping import beat_keeping

FRAMES = 300


def swinging(period: float, phase: float) -> np.ndarray:
    """Every joint turns around at `phase` + n · `period` seconds."""
    time = np.arange(FRAMES) / 30
    pose = np.full((FRAMES, 60, 3), 0.9, np.float32)
    pose[..., 0] = 100 + 20 * np.cos(np.pi * (time - phase) / period)[:, None]
    return pose


def test_a_dance_on_the_beat_stands_out_of_its_null() -> None:
    beats = np.array([0.4, 1.0, 1.5, 2.3, 2.9, 3.8, 4.3, 5.2, 6.1, 6.5, 7.3, 8.4, 9.0])
    between = (np.arange(FRAMES) - 0.5)[:, None] / 30
    speed = 5 - 4 * np.exp(-((between - beats) ** 2) / (2 * 0.08**2)).sum(axis=1)  # slows down on every beat
    pose = np.full((FRAMES, 60, 3), 0.9, np.float32)
    pose[..., 0] = speed.cumsum()[:, None]
    on = beat_keeping(pose, beats)
    assert on["f1"] > 0.8
    assert on["null"] < 0.5
    assert on["z"] > 3
    off = beat_keeping(pose, np.sort(beats + 0.25))
    assert off["f1"] < on["null"] + 0.2
    assert off["z"] < 1.5


def test_even_beats_fit_one_beat_later_as_well() -> None:
    figures = beat_keeping(swinging(0.5, 0.0), np.arange(0.5, 10, 0.5))
    assert figures["f1"] > 0.9
    assert figures["z"] < 3


@pytest.mark.parametrize(("pose", "music"), [(swinging(0.5, 0.0), []), (np.ones((FRAMES, 60, 3), np.float32), [1.0, 2.0])])
def test_no_beats_no_figure(pose: np.ndarray, music: list[float]) -> None:
    assert beat_keeping(pose, np.array(music)) == {}
