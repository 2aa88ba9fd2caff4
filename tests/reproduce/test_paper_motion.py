"""Rows of the motion tables: distances to true dances, nulls, one model."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xdancer.evaluation.clips import read_clips
from xdancer.metrics.pose import mean_speed
from xdancer.reproduce.paper_motion import DanceFeatures, distances, measure_motion, null_items, write_reference


@pytest.fixture(scope="module")
def data(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three dances of 32 frames that differ, the songs at 100, 110 and 121 beats per minute, in both splits."""
    folder, rng = tmp_path_factory.mktemp("dances"), np.random.default_rng(0)
    clips = [tiny.make_clip(number, 32) for number in range(3)]
    for number, clip in enumerate(clips):
        clip.pose[..., 2], clip.meta["tempo"] = 1.0, 100 * 1.1**number
        clip.pose[..., :2] = rng.normal(size=(1, 60, 2)) * 0.3 + rng.normal(size=clip.pose[..., :2].shape).cumsum(0) * 0.01
    for split in ("train", "test"):
        tiny.write_split(folder / split, clips)
    write_reference(data=folder / "train", out=folder / "reference.npz", clips=3, frames=32)
    return folder


def test_features_know_which_dance_they_come_from(data: Path) -> None:
    found = DanceFeatures.load(data / "reference.npz")
    assert found.drawn.shape == (6, 64)
    assert found.drawn_of.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.kinetic_of.tolist() == [0, 1, 2]


def test_nulls_are_what_they_are_called(data: Path) -> None:
    clips = read_clips(data / "test", [], count=3)
    frozen, smooth, other = (null_items(clips, null, 0) for null in ("frozen", "smooth", "other_song"))
    assert all(np.ptp(item.generated, axis=0).max() == 0 for item in frozen)
    assert all(0.5 < mean_speed(item.generated) / mean_speed(item.true) < 2 for item in smooth)
    assert [item.tempo for item in other] == pytest.approx([110, 121, 100])
    assert all((item.generated == item.true).all() for item in other)
    again = null_items(clips, "smooth", 1)
    assert not np.allclose(again[0].generated, smooth[0].generated)  # another seed, another motion


def test_the_truth_is_nearer_to_itself_than_a_null(data: Path, tmp_path: Path) -> None:
    found = {}
    for null in ("ground_truth", "frozen"):
        path = tmp_path / f"{null}.json"
        measure_motion(data=data / "test", reference=data / "reference.npz", figures=path, clips=3, frames=32, seed=0, null=null)
        found[null] = json.loads(path.read_text())
    truth, frozen = found["ground_truth"], found["frozen"]
    assert truth["clips"] == ["clip-000", "clip-001", "clip-002"]
    assert (truth["n/motion_windows"], truth["n/motion_reference"]) == (6, 6)
    for key in ("motion/kernel_drawn_alex16", "motion/kernel_kinetic32"):
        assert truth[key] < frozen[key]
        assert frozen[f"{key}_low"] <= frozen[key] <= frozen[f"{key}_high"]
    assert {"gpt/div_kinetic", "gpt/bas_bailando60", "gpt/beat_f1"} <= set(truth)
    assert frozen["gpt/frozen_share"] == 1


def test_one_dance_has_no_distance(data: Path) -> None:
    items = null_items(read_clips(data / "test", [], count=1), "ground_truth", 0)
    found = distances(items, DanceFeatures.load(data / "reference.npz"))
    assert found["motion/kernel_drawn_alex16"] is found["motion/kernel_kinetic32"] is None
    assert found["n/motion_windows"] == 2


def test_a_model_dances_for_its_row(data: Path, tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.ckpt").write_bytes(tiny_checkpoints["motion_gpt"].read_bytes())
    paths = [tmp_path / f"{name}.json" for name in "ab"]
    for path in paths:
        measure_motion(data=data / "test", reference=data / "reference.npz", figures=path, clips=2, frames=32, seed=3, run=run)
    first, second = (json.loads(path.read_text()) for path in paths)
    assert first == second
    assert first["n/gpt"] == 2
    assert first["motion/kernel_drawn_alex16"] is not None
