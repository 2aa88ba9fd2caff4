"""A real portrait and a real song through the whole pipeline, with tiny untrained stages: pose found, song muxed, proportions kept."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.media import probe
from xdancer.skeleton import LEFT_ANKLE, NECK, NOSE, RIGHT_ANKLE


def test_a_photograph_dances_to_a_recording(shared: Path, tiny_models: Path, tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="finds the pose of the portrait")
    image, music = shared / "data/portrait/woman_standing.jpg", shared / "data/music/metal_madness_30s.ogg"
    flags = {"image": image, "music": music, "model": tiny_models, "out": tmp_path / "dance.mp4", "seconds": 3, "device": "cpu"}
    flags |= {"save-pose": tmp_path / "pose.npy", "side-by-side": tmp_path / "both.mp4", "height": 272}
    assert main(["generate", *[part for name, value in flags.items() for part in (f"--{name}", str(value))]]) == 0
    info = probe(tmp_path / "dance.mp4")
    assert (info.frames, info.width, info.height, info.has_audio) == (90, 160, 272, True)  # 640×1088 at a quarter
    assert probe(tmp_path / "both.mp4").width == 3 * 160
    assert np.load(tmp_path / "pose.npy").shape == (90, 60, 3)


def test_the_pose_of_a_photograph_stands_upright(shared: Path) -> None:
    pytest.importorskip("mediapipe", reason="finds the pose of the portrait")
    from xdancer.media import read_image
    from xdancer.pipelines.portrait import portrait_pose

    for name in ("woman_standing.jpg", "woman_in_blue.jpg"):
        pose = portrait_pose(read_image(shared / "data/portrait" / name), source=name)
        assert pose[NOSE, 1] < pose[NECK, 1] < pose[LEFT_ANKLE, 1] - 0.5
        assert abs(pose[LEFT_ANKLE, 1] - pose[RIGHT_ANKLE, 1]) < 0.5
        assert np.abs(pose[:18, :2]).max() < 1.1
