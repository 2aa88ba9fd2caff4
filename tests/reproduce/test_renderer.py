"""The measurement of one renderer of a study."""

import json
from pathlib import Path

import pytest

from xdancer.embedded.build import EmbeddedConfig, build_embedded
from xdancer.reproduce.renderer import measure_videos
from xdancer.reproduce.tables import TABLES


def test_a_renderer_is_measured_beside_its_null_rows(
    tiny_checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdancer.pose.mediapipe.REQUIREMENT", False)  # keypoints are null then, and the test stays quick
    config = EmbeddedConfig(
        train_clips=1, val_clips=1, test_clips=2, seconds=2.0, video_clips=1, evaluation_video_clips=2, size=32, features=("librosa",)
    )
    build_embedded(tmp_path / "data", config, workers=1, progress=False)
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.ckpt").write_bytes(tiny_checkpoints["video_diffusion"].read_bytes())
    for name in "ab":
        measure_videos(data=tmp_path / "data/test", run=run, figures=run / f"{name}.json", clips=2, frames=4, seed=3)
    figures = json.loads((run / "a.json").read_text())
    assert figures == json.loads((run / "b.json").read_text())
    assert set(TABLES["renderer"].columns.values()) <= set(figures)
    assert figures["n/video"] == 2
    assert figures["video/pck"] is None
    assert figures["video/person_psnr_mean"] > 0
    assert figures["video/million_parameters"] > 0
