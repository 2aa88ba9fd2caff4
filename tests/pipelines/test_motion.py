"""MotionPipeline: a model folder with or without a renderer, dances at once and pose by pose, a choice among several."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xdancer.errors import CheckpointError
from xdancer.motion_gpt.editing import MotionEdit
from xdancer.motion_gpt.sampling import PartSampling, SamplingConfig
from xdancer.pipelines.dance import DancePipeline
from xdancer.pipelines.motion import MotionPipeline, Wishes, frames_of
from xdancer.pipelines.standing import standing_pose
from xdancer.types import MotionTokens, PoseBatch

FRAMES = 40


@pytest.fixture(scope="module")
def pipeline(tiny_models: Path) -> MotionPipeline:
    return MotionPipeline.from_pretrained(tiny_models)


@pytest.fixture(scope="module")
def music() -> dict[str, np.ndarray]:
    return {"librosa": np.random.default_rng(0).normal(size=(FRAMES + 2, 35)).astype(np.float32)}


def start() -> PoseBatch:
    return PoseBatch.from_array(standing_pose()[None])


def test_a_stream_of_poses_is_the_dance(pipeline: MotionPipeline, music) -> None:
    wishes = Wishes(SamplingConfig(temperature=1.5, smoothing=1.0, parts={"head": PartSampling(temperature=0.5)}))
    whole = pipeline.dance(music, start(), frames=FRAMES, seed=2, wishes=wishes)
    stream = pipeline.stream(music, start(), frames=FRAMES, seed=2, wishes=wishes)
    with pytest.raises(ValueError, match="read all of its poses"):
        _ = stream.sample
    poses = np.stack(list(stream))
    assert torch.equal(stream.sample.tokens.ids, whole.tokens.ids)
    assert torch.equal(stream.sample.pose.keypoints, whole.pose.keypoints)
    np.testing.assert_allclose(poses, whole.pose.to_array(), atol=1e-5)


def test_a_folder_without_a_renderer_dances_and_does_not_render(pipeline: MotionPipeline, tmp_path: Path, music) -> None:
    pipeline.save_pretrained(tmp_path / "motion")
    assert sorted(path.name for path in (tmp_path / "motion").iterdir()) == ["model_index.json", "motion_gpt", "vqvae"]
    again = MotionPipeline.from_pretrained(tmp_path / "motion")
    dances = [one.dance(music, start(), frames=12).tokens.ids for one in (pipeline, again)]
    assert torch.equal(*dances)
    with pytest.raises(CheckpointError, match="without a renderer"):
        DancePipeline.from_pretrained(tmp_path / "motion")


def test_the_choice_takes_one_of_several(pipeline: MotionPipeline, music) -> None:
    shown: list[np.ndarray] = []

    def widest(poses: list[np.ndarray]) -> int:
        shown.extend(poses)
        return 2

    best = pipeline.dance(music, start(), frames=8, candidates=3, choose=widest)
    assert len(shown) == 3
    assert np.array_equal(best.pose.to_array(), shown[2])
    assert not np.array_equal(shown[0], shown[1])
    assert best.tokens.ids.shape == (1, 8, 5, 1)
    with pytest.raises(ValueError, match="several need a choice"):
        pipeline.dance(music, start(), frames=8, candidates=3)


def test_an_edit_of_one_dance_holds_for_every_candidate(pipeline: MotionPipeline, music) -> None:
    ids = torch.randint(16, (1, 8, 5, 1))
    edit = MotionEdit.lock_parts(MotionTokens(ids), ["lower_body"])
    for candidates in (1, 3):
        found = pipeline.dance(music, start(), frames=8, wishes=Wishes(edit=edit), candidates=candidates, choose=lambda poses: 1).tokens.ids
        assert torch.equal(found[:, :, 1], ids[:, :, 1])


def test_long_songs_are_read_from_the_disk(pipeline: MotionPipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    song = np.random.default_rng(0).normal(size=5 * 22050).astype(np.float32) * 0.1
    short = pipeline.encode(song, sample_rate=22050, frames=120)
    assert short["librosa"].shape == (122, 35)  # two frames of look-ahead
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("xdancer.pipelines.motion.LONG_SONG", 3.0)
    long = pipeline.encode(song, sample_rate=22050, frames=120)
    assert isinstance(long["librosa"], np.memmap)
    assert np.array_equal(long["librosa"], short["librosa"])
    assert frames_of(song, sample_rate=22050) == 150
    assert frames_of(song, sample_rate=22050, seconds=2.0) == 60
    assert frames_of(song, sample_rate=22050, seconds=99.0) == 150
