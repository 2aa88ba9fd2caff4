"""Rows of the video tables: people danced by a model, nulls in their place, self-driven people."""

import json
from pathlib import Path

import pytest
import torch

from xdancer.checkpoint import embedded_tokenizer, fingerprint
from xdancer.embedded.build import EmbeddedConfig, build_embedded
from xdancer.errors import StageMismatchError, XDancerError
from xdancer.reproduce.paper_tables import PAPER_TABLES, VIDEO
from xdancer.reproduce.paper_video import measure_generated, measure_self_driven


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    config = EmbeddedConfig(
        train_clips=1, val_clips=1, test_clips=2, seconds=2.0, video_clips=1, evaluation_video_clips=2, size=32, features=("librosa",)
    )
    build_embedded(folder, config, workers=1, progress=False)
    return folder


@pytest.fixture
def runs(tiny_checkpoints: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    folders = {stage: tmp_path / stage for stage in ("motion_gpt", "video_diffusion")}
    for stage, folder in folders.items():
        folder.mkdir()
        (folder / "last.ckpt").write_bytes(tiny_checkpoints[stage].read_bytes())
    return folders


def test_people_dance_and_are_measured_beside_the_true_frames(data: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    measure_generated(data=data / "test", figures=path, clips=2, frames=32, seed=1, motion=runs["motion_gpt"], renderer=runs["video_diffusion"])
    found = json.loads(path.read_text())
    assert found["clips"] == ["test-00000", "test-00001"]
    assert (found["n/video"], found["n/video_frames"], found["n/video_windows"]) == (2, 64, 4)
    assert found["video/kernel_alex16@xdancer16"] is not None


def test_nulls_stand_in_place_of_a_model(data: Path, tmp_path: Path) -> None:
    found = {}
    for null in ("copy", "mean", "grey"):
        measure_generated(data=data / "test", figures=tmp_path / f"{null}.json", clips=2, frames=16, seed=0, null=null)
        found[null] = json.loads((tmp_path / f"{null}.json").read_text())
    for null, figures in found.items():  # the row is what the other rows call by its name
        assert figures["video/psnr"] == pytest.approx(figures[f"video/psnr_{null}"], abs=0.05)
    assert found["copy"]["video/kernel_alex16@xdancer16"] == pytest.approx(found["grey"]["video/kernel_alex16@xdancer16_copy"], abs=1e-3)


def test_self_driven_people_have_the_columns_of_table_4(data: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    measure_self_driven(data=data / "test", run=runs["video_diffusion"], figures=tmp_path / "a.json", clips=2, frames=16, seed=0)
    found = json.loads((tmp_path / "a.json").read_text())
    block = PAPER_TABLES[4].blocks[1]
    assert {column.figure for column in block.columns.values()} <= set(found)
    assert found[block.columns[VIDEO].figure] is not None


def test_runs_of_different_tokenizers_are_refused(data: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    path = runs["video_diffusion"] / "last.ckpt"
    content = torch.load(path, weights_only=True)
    other = embedded_tokenizer(path)[0]
    next(other.parameters()).data.add_(1)
    content["state_dict"] |= {f"tokenizer.{name}": value for name, value in other.state_dict().items()}
    content["hyper_parameters"]["tokenizer_fingerprint"] = fingerprint(other)
    torch.save(content, path)
    with pytest.raises(StageMismatchError, match="was trained on another tokenizer than"):
        measure_generated(
            data=data / "test", figures=tmp_path / "a.json", clips=2, frames=16, seed=0, motion=runs["motion_gpt"],
            renderer=runs["video_diffusion"],
        )  # fmt: skip


def test_neither_runs_nor_a_null_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(XDancerError, match="give both runs, or a null"):
        measure_generated(data=data / "test", figures=tmp_path / "a.json", clips=2, frames=16, seed=0)
