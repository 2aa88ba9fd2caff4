"""Building: standard shards, the same bytes every time and with any number of processes, stoppable, refusing foreign folders."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.data.shards import ShardReader
from xdancer.embedded import build
from xdancer.embedded.build import EmbeddedConfig, build_embedded
from xdancer.embedded.clip import make_clip
from xdancer.embedded.identity import make_identity
from xdancer.embedded.plan import plan_clips
from xdancer.embedded.puppet import render_frames
from xdancer.errors import ShardError
from xdancer.media import probe, read_audio, read_video

CONFIG = EmbeddedConfig(train_clips=3, val_clips=1, test_clips=1, seconds=2.0, size=64, video_clips=1, features=("librosa",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embedded") / "set"
    build_embedded(out, CONFIG, workers=1, progress=False)
    return out


SILENT = replace(CONFIG, features=())
"""The same without music features, whose code takes a process seconds to compile."""


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("silent") / "set"
    build_embedded(out, SILENT, workers=1, progress=False)
    return out


def digests(folder: Path) -> dict[str, dict[str, str]]:
    return {split: json.loads((folder / split / "manifest.json").read_text())["sha256"] for split in ("train", "val", "test")}


def test_clips_hold_what_a_shard_needs(folder: Path) -> None:
    reader = ShardReader(folder / "train")
    assert len(reader) == 3
    clip = reader.clip(0)
    assert clip.pose.shape == (60, 60, 3)
    assert clip.features["librosa"].shape == (60, 35)
    assert clip.meta["style"] == "disco"
    assert clip.meta["phrase"].startswith("train-disco-")
    assert clip.meta["identity"].startswith("train-dancer-")
    beats = np.array(clip.meta["beats"])
    assert np.diff(beats) == pytest.approx(60 / clip.meta["tempo"], abs=1e-5)
    assert 0 <= beats[0] < 60 / clip.meta["tempo"]
    assert clip.audio is not None
    assert len(read_audio(clip.audio, sample_rate=16000)) == pytest.approx(32000, abs=1600)
    assert [reader.clip(index).video is not None for index in range(3)] == [True, False, False]


def test_the_video_shows_the_pose(folder: Path) -> None:
    clip = ShardReader(folder / "test").clip(0)
    assert clip.video is not None
    assert clip.mask is not None
    info = probe(clip.video)
    assert (info.width, info.height, info.frames, info.fps) == (64, 64, 60, 30.0)
    masks = read_video(clip.mask).frames[..., 0] > 127
    neck = np.round((clip.pose[:, 1, :2] + 1) * 32 - 0.5).astype(int)
    assert masks[np.arange(60), neck[:, 1], neck[:, 0]].all()


def test_two_processes_give_the_same_bytes(silent: Path, tmp_path: Path) -> None:
    build_embedded(tmp_path / "again", SILENT, workers=2, progress=False)
    assert digests(tmp_path / "again") == digests(silent)


def test_features_are_the_same_bytes_again(folder: Path) -> None:
    plan = plan_clips(CONFIG, "val")[0]
    again, stored = make_clip(plan, CONFIG), ShardReader(folder / "val").clip(0)
    assert np.array_equal(again.features["librosa"], stored.features["librosa"])
    assert again.audio == stored.audio


def test_a_stopped_build_continues(silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real, made = build.make_clip, []

    def fails_in_test(plan, config):
        made.append(plan.key)
        if plan.key == "test-00000" and len(made) < 6:
            raise KeyboardInterrupt
        return real(plan, config)

    monkeypatch.setattr(build, "make_clip", fails_in_test)
    with pytest.raises(KeyboardInterrupt):
        build_embedded(tmp_path / "set", SILENT, workers=1)
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["train", "val"]
    build_embedded(tmp_path / "set", SILENT, workers=1)
    assert made[5:] == ["test-00000"]
    assert digests(tmp_path / "set") == digests(silent)
    assert "1/1 clips" in capsys.readouterr().out


def test_other_shards_are_not_touched(folder: Path) -> None:
    with pytest.raises(ShardError, match="holds other shards"):
        build_embedded(folder, EmbeddedConfig(seed=1), workers=1)


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = "--clips 1 --val-clips 1 --test-clips 1 --video-clips 0 --evaluation-video-clips 0 --seconds 2 --workers 1 --features [librosa]"
    assert main(["embedded", "--out", str(tmp_path / "set"), *flags.split()]) == 0
    assert "1 + 1 + 1 clips of 2 s" in capsys.readouterr().out
    assert main(["embedded", "--out", str(tmp_path / "set"), "--seconds", "3"]) == 2
    assert "holds other shards" in capsys.readouterr().err
    assert main(["embedded", "--out", str(tmp_path / "new"), "--clips", "0"]) == 2
    assert "needs at least one clip" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_renderer_is_repeatable() -> None:
    from xdancer.embedded.choreography import sample_dance

    body, identity = sample_dance(1, frames=3).body, make_identity("train-dancer-004")
    assert render_frames(body, identity)[0].tobytes() == render_frames(body, identity)[0].tobytes()
