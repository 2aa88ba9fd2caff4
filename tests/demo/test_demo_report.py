"""The demo's evaluation and report on tiny untrained models and a tiny data set."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from xdancer.commands.generate import generate
from xdancer.demo.__main__ import main as step
from xdancer.demo.budget import Budget
from xdancer.demo.folders import Folders
from xdancer.demo.plan import make_phases
from xdancer.demo.state import State
from xdancer.demo.story import tell
from xdancer.embedded.build import EmbeddedConfig, build_embedded
from xdancer.evaluation.clips import swap_songs
from xdancer.media import probe, read_audio
from xdancer.pipelines.folder import model_hash
from xdancer.pipelines.portrait import first_pose
from xdancer.pipelines.pose_file import load_poses
from xdancer.weights import shipped_model, shipped_portrait

KEYS = [
    *(f"vqvae/{name}" for name in ("body_percent", "hands_percent", "hands_aligned_percent", "mean_hand_percent", "min_perplexity")),
    *(f"gpt/{name}" for name in ("beat_f1", "beat_f1_null", "beat_f1_ground_truth", "speed_ratio", "frozen_share")),
    *(f"video/{name}" for name in ("person_psnr", "person_psnr_copy", "background_psnr", "pck", "pck_copy", "detected_share")),
    *("seconds/vqvae", "n/vqvae", "n/gpt", "n/video"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A demo folder with a data set of a few short clips."""
    root = tmp_path_factory.mktemp("story")
    config = EmbeddedConfig(
        train_clips=1, val_clips=1, test_clips=3, seconds=3.0, video_clips=1, evaluation_video_clips=2, size=32, features=("librosa",)
    )
    build_embedded(root / "data", config, workers=1, progress=False)
    return Folders(root)


def test_swapped_songs_differ_in_tempo() -> None:
    assert swap_songs([100.0, 102.0, 110.0, 100.0]) == [2, 2, 3, 2]
    assert swap_songs([100.0, 101.0]) == [None, None]


def test_equal_seeds_sample_equal_dances(folders: Folders, tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        gpt = ["--gpt", str(tiny_checkpoints["motion_gpt"]), "--figures", str(tmp_path / f"{name}.json"), "--clips", "2", "--seed", str(seed)]
        assert step(["motion", "--data", str(folders.test), "--evaluation", str(tmp_path / name), "--device", "cpu", *gpt]) == 0
    a, b, c = (np.load(next((tmp_path / name / "motion").glob("*.generated.npy"))) for name in "abc")
    assert a.shape == (90, 60, 3)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


@pytest.mark.slow
def test_the_report_holds_every_figure_and_stands_alone(
    folders: Folders, tiny_models: Path, tiny_checkpoints: dict[str, Path], monkeypatch
) -> None:
    shutil.copytree(tiny_models, folders.model)
    monkeypatch.setattr("xdancer.pose.mediapipe.REQUIREMENT", False)  # keypoints are null then, and the test stays quick
    common = ["--data", str(folders.test), "--evaluation", str(folders.evaluation), "--device", "cpu"]
    assert (
        step(["motion", *common, "--gpt", str(tiny_checkpoints["motion_gpt"]), "--figures", str(folders.motion_figures), "--clips", "3"]) == 0
    )
    video = ["--train", str(folders.train), "--model", str(folders.model), "--figures", str(folders.video_figures), "--frames", "17"]
    assert step(["video", *common, *video]) == 0
    unseen = {"data": folders.test, "portrait": folders.portrait, "pose": folders.portrait_pose, "song": folders.song}
    unseen |= {"figures": folders.unseen_figures}
    assert step(["unseen", *[part for name, value in unseen.items() for part in (f"--{name}", str(value))]]) == 0
    generate(
        image=folders.portrait, pose=folders.portrait_pose, music=folders.song, model=folders.model, out=folders.dance,
        side_by_side=folders.side_by_side, device="cpu",
    )  # fmt: skip
    phases = make_phases(folders, Budget.of(15.0), seed=0, device="cpu", precision="fp32")
    folders.run("vqvae").mkdir(parents=True)
    (folders.run("vqvae") / "metrics.csv").write_text("epoch,step,train/loss,val/loss\n0,9,2.5,\n0,19,1.5,\n0,20,,1.7\n")
    state = State(folders.root / "state.json", {"seed": 0, "minutes": 15.0}, finished={phase.name: 2.0 for phase in phases})
    tell(folders, state, phases)
    figures = json.loads((folders.root / "report.json").read_text())
    assert not [key for key in KEYS if key not in figures]
    assert figures["video/pck"] is None
    assert figures["n/gpt"] == 3
    assert figures["n/video"] == 2
    text = (folders.root / "report.html").read_text()
    assert text.count("data:video/mp4;base64,") == 5
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", text)
    assert "train.py fit --config configs/demo/gpt.yaml" in text
    assert probe(folders.dance).duration == pytest.approx(3.0, abs=0.1)
    assert state.complete
    for path in (*folders.root.glob("*.mp4"), *folders.evaluation.rglob("*.mp4")):
        with av.open(str(path)) as container:
            tags, notes = dict(container.metadata), json.loads(container.metadata["comment"])
        made = not path.name.endswith((".true.mp4", ".mask.mp4"))
        assert (notes["generated"], "digital_source_type" in tags) == (made, made), path
        assert (notes.get("model"), notes.get("seed")) == ((model_hash(tiny_models), 0) if made else (None, None)), path


def test_budgets_depend_on_minutes_alone_and_only_the_steps_grow() -> None:
    short, default, long = (Budget.of(minutes) for minutes in (5.0, 15.0, 120.0))
    for name in ("vqvae", "gpt", "video_image", "video_temporal"):
        assert short.steps[name] < default.steps[name] <= long.steps[name] / 7.5
        assert default.steps[name] % 10 == 0
    assert replace(short, steps={}, minutes=1.0) == replace(default, steps={}, minutes=1.0) == replace(long, steps={}, minutes=1.0)
    assert (default.test_clips, default.measured_videos) == (40, 16)
    with pytest.raises(Exception, match=r"--minutes 0\.5: .*at least 1"):
        Budget.of(0.5)


def test_the_shipped_demo_trains_nothing_and_shows_the_portrait_in_the_package(tmp_path: Path) -> None:
    shipped = Folders(tmp_path, shipped=True)
    phases = {phase.name: phase for phase in make_phases(shipped, Budget.shipped(), seed=0, device="cpu", precision="fp32")}
    assert sorted(phases) == ["data", "generate", "motion_evaluation", "unseen", "video_evaluation"]
    assert phases["generate"].needs == ("unseen",)
    assert phases["unseen"].needs == ()
    assert not any("train.py" in argument for phase in phases.values() for argument in phase.arguments)
    assert str(shipped_model()) in phases["generate"].arguments
    assert str(shipped_model()) in phases["video_evaluation"].arguments
    assert step(list(phases["unseen"].arguments[2:])) == 0
    assert shipped.portrait.read_bytes() == shipped_portrait()[0].read_bytes()
    assert np.array_equal(load_poses(shipped.portrait_pose)[0], first_pose(shipped_portrait()[1]))
    assert len(read_audio(shipped.song, sample_rate=44100)) / 44100 == pytest.approx(8.0, abs=0.1)
