"""The dance on the beat is taken; among equals, the surer one."""

import numpy as np

from xdancer.evaluation.candidates import best_by_beat, dance_score


def bounce(period: float, phase: float = 0.0, confidence: float = 0.9, frames: int = 240) -> np.ndarray:
    """A body that stands still for a moment every half period."""
    height = 0.1 * np.cos(2 * np.pi * (np.arange(frames) / 30 / period - phase))
    pose = np.full((frames, 60, 3), confidence, np.float32)
    pose[..., 0], pose[..., 1] = np.linspace(-0.3, 0.3, 60), height[:, None] + np.linspace(-0.5, 0.5, 60)
    return pose


def test_the_dance_on_the_beat_is_taken() -> None:
    beats = np.arange(0.0, 8.0, 0.5)
    on, late, slow = bounce(1.0), bounce(1.0, phase=0.25), bounce(1.7)
    assert dance_score(on, beats) > 0.8 > 0.3 > dance_score(late, beats)
    assert best_by_beat(beats)([late, on, slow]) == 1


def test_confidence_decides_between_equal_dances() -> None:
    beats = np.arange(0.0, 8.0, 0.5)
    assert best_by_beat(beats)([bounce(1.0, confidence=0.6), bounce(1.0, confidence=0.95)]) == 1


def test_without_beats_the_first_is_taken() -> None:
    assert dance_score(bounce(1.0), np.zeros(0)) == 0
    assert best_by_beat(np.zeros(0))([bounce(1.0), bounce(1.0)]) == 0
