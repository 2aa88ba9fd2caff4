"""Means over seeds, and how much the dances to one song differ."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.evaluation.folder import write_motion_item
from xdancer.evaluation.seeds import mean_figures, within_song
from xdancer.metrics.motion_table import MotionItem
from xdancer.pipelines.standing import standing_pose


def dances(folder: Path, *, spread: float, seed: int) -> Path:
    """Three dances; `spread` is how much the seed changes them."""
    for song in range(3):
        pose = np.repeat(standing_pose()[None], 96, axis=0).astype(np.float32)
        swing = 0.1 * (song + 1) * np.sin(np.arange(96) / 4)
        moved = pose.copy()
        moved[:, 4, 0] += (1 + spread * np.random.default_rng([seed, song]).uniform()) * swing
        true = pose.copy()
        true[:, 4, 0] += swing
        write_motion_item(folder, MotionItem(f"clip{song}", moved, true, np.arange(0.2, 3, 0.5), 120.0))
    return folder


def test_the_diversity_within_a_song_is_that_of_the_seeds(tmp_path: Path) -> None:
    same = within_song([dances(tmp_path / f"same{seed}", spread=0.0, seed=seed) for seed in range(3)])
    assert same["gpt/div_within_song"] == pytest.approx(0)
    assert same["gpt/div_between_songs"] > 0
    assert same["n/div_within_song"] == 3
    little, much = (
        within_song([dances(tmp_path / f"{spread}{seed}", spread=spread, seed=seed) for seed in range(3)])["gpt/div_within_song"]
        for spread in (0.1, 1.0)
    )
    assert 0 < little < much


def test_one_seed_has_no_diversity_within_a_song(tmp_path: Path) -> None:
    assert within_song([dances(tmp_path, spread=1.0, seed=0)])["gpt/div_within_song"] is None


def test_means_are_over_the_seeds_that_all_have_the_figure() -> None:
    found = mean_figures([{"a": 1.0, "b": None, "n/a": 4, "c": 1}, {"a": 2.0, "b": 3.0, "n/a": 4, "c": 2}])
    assert found == {"a": 1.5, "b": None, "n/a": 4, "c": 1.5}
