"""The motion model in the package: it loads as it was written, is small, says what it is, and dances."""

import json

import numpy as np
import pytest
import torch

from xdancer.metrics.pose import mean_speed
from xdancer.pipelines.motion import MotionPipeline, Wishes
from xdancer.pipelines.standing import standing_pose
from xdancer.types import FPS, PoseBatch
from xdancer.weights import shipped_motion


@pytest.fixture(scope="module")
def pipeline() -> MotionPipeline:
    return MotionPipeline.shipped()


def test_it_is_at_most_ten_megabytes_and_has_a_model_card() -> None:
    folder = shipped_motion()
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 10e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("Data", "Commands", "Budget", "Figures", "Limits", "Licence"):
        assert word in card
    assert set(json.loads((folder / "model_index.json").read_text())["sampling"]) == {"temperature", "top_p", "smoothing"}


def test_its_sizes_are_those_of_the_configs_that_made_it(pipeline: MotionPipeline) -> None:
    import yaml

    from xdancer.application import config_path

    for name, config in (("vqvae", pipeline.tokenizer.config), ("gpt", pipeline.gpt.config)):
        written = yaml.safe_load(config_path(f"shipped/{name}.yaml").read_text())["model"]["init_args"]["config"]
        found = {key: getattr(config, key) for key in written}
        assert {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()} == written


def test_it_dances_and_keeps_its_body(pipeline: MotionPipeline) -> None:
    """Half a second after a standing start it moves, its bones keep their length, and equal seeds give equal dances."""
    music = {"librosa": torch.randn(1, 90, 35, generator=torch.Generator().manual_seed(0))}
    start = PoseBatch.from_array(standing_pose()[None])
    first, second = (pipeline.dance(music, start, frames=60, seed=3, wishes=Wishes()) for _ in range(2))
    assert torch.equal(first.tokens.ids, second.tokens.ids)
    pose = first.pose.to_array()
    assert pose.shape == (2 * FPS, 60, 3)
    assert mean_speed(pose[15:]) > 0.05
    torso = np.linalg.norm(pose[:, 1, :2] - pose[:, [8, 11], :2].mean(1), axis=-1)
    assert torso.min() / np.median(torso) > 0.5
    assert torso.max() / np.median(torso) < 1.6
