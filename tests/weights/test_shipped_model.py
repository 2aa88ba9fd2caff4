"""The model in the package: it loads as it was written, is small, says what it is, dances, and renders its dance."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from xdancer.integrity import INDEX, hashes_of
from xdancer.media import read_image
from xdancer.metrics.pose import mean_speed
from xdancer.pipelines.dance import DancePipeline
from xdancer.pipelines.motion import Wishes
from xdancer.pipelines.portrait import first_pose
from xdancer.pipelines.standing import standing_pose
from xdancer.types import FPS, MotionSample, PoseBatch
from xdancer.weights import shipped_model, shipped_portrait


@pytest.fixture(scope="module")
def pipeline() -> DancePipeline:
    return DancePipeline.from_pretrained(shipped_model())


def test_every_file_of_its_stages_is_the_one_that_the_index_names() -> None:
    folder = shipped_model()
    recorded = json.loads((folder / INDEX).read_text())["sha256"]
    assert recorded == {name: value for name, value in hashes_of(folder).items() if "/" in name}
    assert len(recorded) == 6


def test_its_renderer_is_at_most_25_megabytes_and_it_has_a_model_card() -> None:
    folder = shipped_model()
    assert sum(path.stat().st_size for path in (folder / "video_diffusion").iterdir()) <= 25e6
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 35e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("Data", "Commands", "Budget", "Figures", "Limits", "Licence"):
        assert word in card
    assert set(json.loads((folder / "model_index.json").read_text())["sampling"]) == {"temperature", "top_p", "smoothing"}


def test_its_sizes_are_those_of_the_configs_that_made_it(pipeline: DancePipeline) -> None:
    import yaml

    from xdancer.application import config_path

    for name, model in (("vqvae", pipeline.tokenizer), ("gpt", pipeline.gpt), ("video_temporal", pipeline.renderer)):
        config = model.config
        written = yaml.safe_load(config_path(f"shipped/{name}.yaml").read_text())["model"]["init_args"]["config"]
        found = {key: getattr(config, key) for key in written}
        assert {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()} == written


def test_it_dances_and_keeps_its_body(pipeline: DancePipeline) -> None:
    """Half a second after a standing start it moves, its bones keep their length, and equal seeds give equal dances."""
    music = {"librosa": torch.randn(1, 90, 35, generator=torch.Generator().manual_seed(0))}
    start = PoseBatch.from_array(standing_pose()[None])
    first, second = (pipeline.motion.dance(music, start, frames=60, seed=3, wishes=Wishes()) for _ in range(2))
    assert torch.equal(first.tokens.ids, second.tokens.ids)
    pose = first.pose.to_array()
    assert pose.shape == (2 * FPS, 60, 3)
    assert mean_speed(pose[15:]) > 0.05
    torso = np.linalg.norm(pose[:, 1, :2] - pose[:, [8, 11], :2].mean(1), axis=-1)
    assert torso.min() / np.median(torso) > 0.5
    assert torso.max() / np.median(torso) < 1.6


def test_the_portrait_and_its_pose_belong_together(pipeline: DancePipeline) -> None:
    """Rendered in its own pose the portrait stays what it is: the person is where the pose says, in the portrait's colours."""
    picture, pose = read_image(shipped_portrait()[0]), first_pose(shipped_portrait()[1])
    start = pipeline.start(picture, pose)
    tokens = pipeline.tokenizer.encode(PoseBatch(start.keypoints.expand(-1, 16, -1, -1), start.confidence.expand(-1, 16, -1)))
    motion = MotionSample(tokens, pipeline.tokenizer.decode(tokens))
    frames = np.stack(list(pipeline.show(picture, start, motion, seed=0).frames))
    assert frames.shape == (16, 192, 192, 3)
    still = np.asarray(Image.fromarray(picture).resize((192, 192), Image.Resampling.BOX), np.float64)
    error = np.mean((frames - still) ** 2)
    shifted = np.mean((np.roll(still, 16, axis=1) - still) ** 2)
    assert error < shifted / 4
