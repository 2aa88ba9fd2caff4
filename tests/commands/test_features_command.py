"""`xdancer features`: a feature added later equals one made with the shards, an interrupted run continues, every mistake is one line."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from xdancer import workers
from xdancer.__main__ import main
from xdancer.audio import jukebox
from xdancer.audio.encoder import feature_table
from xdancer.commands import features as command
from xdancer.data.shards import ShardReader, ShardWriter, verify
from xdancer.embedded.clip import make_clip
from xdancer.embedded.plan import EmbeddedConfig, plan_clips
from xdancer.types import ClipSample

NAMES = ("librosa", "beat_phase", "musicnn")
CONFIG = EmbeddedConfig(train_clips=3, val_clips=1, seconds=3, video_clips=0, evaluation_video_clips=0, features=NAMES)


@pytest.fixture(scope="module")
def clips() -> dict[str, list[ClipSample]]:
    return {split: [make_clip(plan, CONFIG) for plan in plan_clips(CONFIG, split)] for split in ("train", "val")}


@pytest.fixture
def data(clips, tmp_path) -> Path:
    """Both splits with the librosa feature alone, two clips in a tar."""
    for split, samples in clips.items():
        with ShardWriter(
            tmp_path / "data" / split, split=split, features=feature_table(["librosa"]), licence="test", samples_per_shard=2
        ) as writer:
            for sample in samples:
                writer.write(ClipSample(sample.key, sample.pose, {"librosa": sample.features["librosa"]}, sample.meta, audio=sample.audio))
    return tmp_path / "data"


@contextmanager
def threads(count):
    with ThreadPoolExecutor(count) as pool:
        yield pool


def refused(capsys, *arguments) -> str:
    assert main(["features", *map(str, arguments)]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("count", [1, 2])
def test_added_features_are_those_of_the_build(clips, data, monkeypatch, capsys, count):
    """Up to what AAC loses: the beats stay where they are, the tagger's features correlate to .99."""
    monkeypatch.setattr(workers, "worker_pool", threads)  # processes take seconds to start; test_workers.py has them
    tars = {path: path.read_bytes() for path in data.rglob("*.tar")}
    for name in ("beat_phase", "musicnn"):
        assert main(["features", str(data), "--add", name, "--workers", str(count)]) == 0
    assert f"{data / 'val'}: musicnn (mtt-1+librosa" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tars} == tars
    for split, samples in clips.items():
        reader = ShardReader(data / split)
        assert reader.features == list(NAMES)
        assert reader.manifest.features == feature_table(NAMES)
        for sample in samples:
            np.testing.assert_allclose(reader.feature(sample.key, "beat_phase"), sample.features["beat_phase"], atol=1e-6)
            pair = reader.feature(sample.key, "musicnn").ravel(), sample.features["musicnn"].ravel()
            assert np.corrcoef(*pair)[0, 1] > 0.99
    assert verify(data).problems == []
    assert main(["features", str(data / "train"), "--add", "musicnn"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("is there already.")


def test_an_interrupted_run_continues(data, monkeypatch):
    seen = []
    real = command.encode_clip

    def stopping(key, *rest):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(key)
        return real(key, *rest)

    monkeypatch.setattr(command, "encode_clip", stopping)
    assert main(["features", str(data / "train"), "--add", "beat_phase"]) == 130
    assert ShardReader(data / "train").features == ["librosa"]
    monkeypatch.setattr(command, "encode_clip", lambda key, *rest: (seen.append(key), real(key, *rest))[1])
    assert main(["features", str(data / "train"), "--add", "beat_phase"]) == 0
    assert seen == ShardReader(data / "train").keys


def test_a_wrong_feature_is_refused_before_any_work(data, monkeypatch, capsys):
    assert "Which music feature? Give --add NAME, one of librosa, beat_phase, musicnn, jukebox" in refused(capsys, data)
    assert "Unknown music feature 'mfcc'. Choose among librosa, beat_phase, musicnn, jukebox" in refused(capsys, data, "--add", "mfcc")
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: False)
    line = refused(capsys, data, "--add", "jukebox")
    assert "pip install 'xdancer[jukebox]'" in line
    assert "git+https://github.com/rodrigo-castellon/jukemirlib.git" in line
    assert "--workers 0: at least 1" in refused(capsys, data, "--add", "beat_phase", "--workers", 0)
    assert "--device cuda: beat_phase computes on the CPU" in refused(capsys, data, "--add", "beat_phase", "--device", "cuda")
    assert "No shards in" in refused(capsys, data / "none", "--add", "beat_phase")
    assert not list(data.rglob("features"))


def test_clips_without_or_with_damaged_sound_are_named(clips, tiny, data, tmp_path, capsys):
    tiny.write_split(tmp_path / "mute", [tiny.make_clip(number) for number in range(3)])
    line = refused(capsys, tmp_path / "mute", "--add", "beat_phase")
    assert "mute: 3 of 3 clips have no sound, such as 'clip-000'" in line
    tiny.corrupt(data / "train", clips["train"][1].key, "audio.m4a")
    line = refused(capsys, data / "train", "--add", "beat_phase")
    assert f"Clip '{clips['train'][1].key}': its sound cannot be read" in line
    assert ShardReader(data / "train").features == ["librosa"]


def test_another_version_is_replaced_only_when_asked(data, monkeypatch, capsys):
    from xdancer.audio.beat_phase import BeatPhaseEncoder

    train = data / "train"
    assert main(["features", str(train), "--add", "beat_phase"]) == 0
    monkeypatch.setattr(BeatPhaseEncoder, "version", "next")
    assert "has beat_phase of version phase4-1+librosa" in refused(capsys, train, "--add", "beat_phase")
    assert main(["features", str(train), "--add", "beat_phase", "--overwrite"]) == 0
    assert ShardReader(train).manifest.features["beat_phase"]["version"] == "next"
