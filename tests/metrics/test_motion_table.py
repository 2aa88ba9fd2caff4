"""The motion table on dances whose figures are known."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from xdancer.metrics.tables import MotionItem, evaluate_motion


def dance(tempo: float, *, frames: int = 240, amount: float = 1.0, phase: float = 0.0) -> NDArray[np.float32]:
    """A whole body moving with speed minima on the beats `phase + k · 60 / tempo`."""
    turns = (np.arange(frames) / 30 - phase) * tempo / 60
    place = turns - 0.9 * np.sin(2 * np.pi * turns) / (2 * np.pi)
    pose = np.ones((frames, 60, 3), np.float32)
    pose[..., :2] = np.random.default_rng(0).normal(size=(60, 2)) * (1 + 0.1 * amount * place[:, None, None])
    return pose


def items(amount: float = 1.0, *, on_the_beat: bool = True) -> list[MotionItem]:
    made = []
    for number, tempo in enumerate(np.linspace(90, 140, 8)):
        beats = np.arange(0.2, 8, 60 / tempo)
        own = dance(tempo, amount=amount, phase=0.2 if on_the_beat else 0.2 + 30 / tempo)
        made.append(
            MotionItem(f"clip{number}", own, dance(tempo, phase=0.2), beats, float(tempo), swapped=own, swapped_beats=beats + 30 / tempo)
        )
    return made


def test_the_truth_itself_is_perfect() -> None:
    table = evaluate_motion(items())
    assert table["gpt/beat_f1"] == table["gpt/beat_f1_ground_truth"]
    assert table["gpt/beat_f1"] > 0.85
    assert table["gpt/beat_f1_null"] < 0.4
    assert table["gpt/speed_ratio"] == pytest.approx(1)
    assert table["gpt/frozen_share"] == 0
    assert table["gpt/div_kinetic"] == pytest.approx(table["gpt/div_kinetic_ground_truth"])
    assert table["gpt/kernel_kinetic32"] < 1e-6
    assert table["gpt/frechet_kinetic32"] is None
    assert table["gpt/beat_f1_swapped_fed"] < 0.2
    assert table["n/gpt"] == table["n/gpt_with_null"] == table["n/gpt_swapped"] == 8
    assert table["n/gpt_windows"] == 8 * 7
    json.dumps(table, allow_nan=False)


def test_off_beat_and_frozen_dances_show() -> None:
    table = evaluate_motion(items(on_the_beat=False))
    assert table["gpt/beat_f1"] < 0.2
    assert table["gpt/beat_f1_swapped_fed"] > 0.8
    still = evaluate_motion(items(amount=0.0))
    assert still["gpt/frozen_share"] == 1
    assert still["gpt/beat_f1"] is None
    assert still["n/gpt_without_motion_beats"] == 8
    slow = evaluate_motion(items(amount=0.5))
    assert slow["gpt/speed_ratio"] == pytest.approx(0.5, rel=1e-3)
    assert slow["gpt/div_kinetic"] < table["gpt/div_kinetic_ground_truth"]


def test_no_clips_give_an_empty_table_not_a_crash() -> None:
    table = evaluate_motion([])
    assert table["n/gpt"] == 0
    assert all(value is None for name, value in table.items() if not name.startswith("n/"))
