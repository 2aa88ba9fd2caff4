"""DancePipeline: save, load, refuse, repeat."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from xdancer.checkpoint import read_stage
from xdancer.errors import CheckpointError, StageMismatchError
from xdancer.pipelines.dance import DancePipeline, to_pictures, to_tensor
from xdancer.vqvae.model import VQVAE


def standing() -> np.ndarray:
    """A rough figure in the middle of the picture."""
    generator = np.random.default_rng(0)
    return np.concatenate([generator.uniform(-0.5, 0.5, (60, 2)), np.ones((60, 1))], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return np.sin(np.arange(4 * 22050) / 20).astype(np.float32) * (np.arange(4 * 22050) % 11025 < 2000)


def make(pipeline: DancePipeline, song: np.ndarray, **options):
    image = np.random.default_rng(1).integers(0, 255, (48, 30, 3)).astype(np.uint8)
    return pipeline(image, song.astype(np.float32), sample_rate=22050, pose=standing(), **options)


def test_dances_the_whole_song_in_the_portraits_proportions(tiny_models: Path, song: np.ndarray) -> None:
    seen: list[tuple[str, int, int]] = []
    dance = make(DancePipeline.from_pretrained(tiny_models), song, progress=lambda *step: seen.append(step))
    assert dance.frames.shape == (120, 32, 20, 3)
    assert dance.pose.shape == (120, 60, 3)
    assert dance.tokens.ids.shape == (1, 120, 5, 1)
    assert ("dance", 120, 120) in seen


def test_pictures_are_decoded_while_they_are_read(tiny_models: Path, song: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long song never has more than one window of pictures in memory."""
    pipeline = DancePipeline.from_pretrained(tiny_models)
    whole = make(pipeline, song, seconds=2.0).frames
    decode, decoded = pipeline.renderer.image_space.decode, []
    monkeypatch.setattr(pipeline.renderer.image_space, "decode", lambda latents: decoded.append(len(latents)) or decode(latents))
    image = np.random.default_rng(1).integers(0, 255, (48, 30, 3)).astype(np.uint8)
    dance = pipeline.stream(image, song, sample_rate=22050, pose=standing(), seconds=2.0)
    first = next(dance.frames)
    assert len(decoded) == 1
    assert decoded[0] <= pipeline.renderer.config.window_frames
    assert np.array_equal(np.stack([first, *dance.frames]), whole)
    assert sum(decoded) == 60


def test_equal_seeds_give_equal_dances_and_others_do_not(tiny_models: Path, song: np.ndarray) -> None:
    pipeline = DancePipeline.from_pretrained(tiny_models)
    first, again, other = (make(pipeline, song, seconds=1.5, seed=seed) for seed in (3, 3, 4))
    assert len(first.frames) == 45
    assert np.array_equal(first.frames, again.frames)
    assert np.array_equal(first.pose, again.pose)
    assert not np.array_equal(first.tokens.ids, other.tokens.ids)


def test_starts_from_the_pose_of_the_portrait(tiny_models: Path, song: np.ndarray) -> None:
    pipeline = DancePipeline.from_pretrained(tiny_models)
    dance = make(pipeline, song, seconds=0.5)
    from xdancer.pipelines.letterbox import Letterbox
    from xdancer.types import PoseBatch

    inside = Letterbox.fit((48, 30), (32, 32)).pose_inside(standing()[None])
    assert torch.equal(dance.tokens.ids[:, 0], pipeline.tokenizer.encode(PoseBatch.from_array(inside)).ids[:, 0])


def test_a_saved_pipeline_is_the_same_and_holds_no_pickle(tiny_models: Path, tmp_path: Path, song: np.ndarray) -> None:
    pipeline = DancePipeline.from_pretrained(tiny_models)
    pipeline.save_pretrained(tmp_path / "copy", notes={"origin": "test"})
    assert {path.suffix for path in (tmp_path / "copy").rglob("*") if path.is_file()} == {".json", ".safetensors"}
    assert json.loads((tmp_path / "copy/model_index.json").read_text())["origin"] == "test"
    first, second = make(pipeline, song, seconds=1.0), make(DancePipeline.from_pretrained(tmp_path / "copy"), song, seconds=1.0)
    assert np.array_equal(first.frames, second.frames)


def test_a_stage_of_another_export_is_refused(tiny_models: Path, tmp_path: Path) -> None:
    pipeline = DancePipeline.from_pretrained(tiny_models)
    pipeline.save_pretrained(tmp_path / "mixed")
    from xdancer.checkpoint import save_model

    torch.manual_seed(5)
    save_model(VQVAE(pipeline.tokenizer.config), tmp_path / "mixed/vqvae")
    with pytest.raises(CheckpointError, match=r"mixed/vqvae/config.json was changed: its sha256 is [0-9a-f]{12}…, model_index.json has"):
        DancePipeline.from_pretrained(tmp_path / "mixed")
    index = json.loads((tmp_path / "mixed/model_index.json").read_text())
    del index["sha256"]  # as folders were written before they carried hashes
    (tmp_path / "mixed/model_index.json").write_text(json.dumps(index))
    with pytest.raises(StageMismatchError, match=r"mixed/vqvae is [0-9a-f]{12}, .* names [0-9a-f]{12}"):
        DancePipeline.from_pretrained(tmp_path / "mixed")


@pytest.mark.parametrize("name", ["vqvae/config.json", "motion_gpt/model.safetensors", "video_diffusion/config.json"])
def test_a_changed_byte_is_refused_naming_the_file(tiny_models: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(tiny_models, tmp_path / "model")
    assert set(json.loads((tmp_path / "model/model_index.json").read_text())["sha256"]) == {
        f"{stage}/{file}" for stage in ("vqvae", "motion_gpt", "video_diffusion") for file in ("config.json", "model.safetensors")
    }
    content = bytearray((tmp_path / "model" / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / "model" / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"model/{name} was changed: its sha256 is"):
        DancePipeline.from_pretrained(tmp_path / "model")
    stage = name.partition("/")[0]
    with pytest.raises(CheckpointError, match=f"model/{name} was changed"):
        read_stage(tmp_path / "model", stage)
    index = json.loads((tmp_path / "model/model_index.json").read_text())
    del index["sha256"][name]
    (tmp_path / "model/model_index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=f"model/{name}: model_index.json does not name it"):
        read_stage(tmp_path / "model", stage)


def test_other_folders_are_refused_and_left_alone(tiny_models: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model folder"):
        DancePipeline.from_pretrained(tmp_path)
    (tmp_path / "model_index.json").write_text('{"format": 1}')
    with pytest.raises(CheckpointError, match="damaged"):
        DancePipeline.from_pretrained(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    with pytest.raises(CheckpointError, match="is no model folder"):
        DancePipeline.from_pretrained(tiny_models).save_pretrained(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_pictures_and_tensors_are_inverse() -> None:
    pictures = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3) * 5
    tensor = to_tensor(pictures)
    assert -1 <= tensor.min() <= tensor.max() <= 1
    assert np.array_equal(to_pictures(tensor), pictures)
