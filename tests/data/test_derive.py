"""Features added to standing shards: the split's tars stay as they are, an interrupted run continues, readers see all or nothing."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest

from xdancer.data.dances import DanceShape, DanceWindows
from xdancer.data.derive import add_feature
from xdancer.data.order import BlockOrder
from xdancer.data.shards import ShardReader, ShardWriter, verify
from xdancer.errors import ShardError

INFO = {"width": 5, "version": "v1"}


@pytest.fixture
def split(tiny, tmp_path) -> Path:
    return tiny.write_split(tmp_path / "train", [tiny.make_clip(number, frames=40 + number) for number in range(10)])


class Counting:
    """A feature whose rows say clip and frame; stops after some clips."""

    def __init__(self, stop: int = 100) -> None:
        self.seen: list[str] = []
        self.stop = stop

    def __call__(self, clip):
        if len(self.seen) == self.stop:
            raise KeyboardInterrupt
        self.seen.append(clip.key)
        return np.repeat(int(clip.meta["song"].split()[1]) + np.arange(clip.frames)[:, None] / 64, 5, axis=1)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "manifest.json"}


def test_an_added_feature_is_read_like_any_other(split):
    before = bytes_of(split)
    ticks = []
    assert add_feature(split, "beat", INFO, Counting(), progress=lambda done, total: ticks.append((done, total)))
    assert ticks[-1] == (10, 10)
    assert bytes_of(split) == before
    reader = ShardReader(split)
    assert reader.features == ["librosa", "musicnn", "beat"]
    assert reader.manifest.features["beat"] == INFO
    for clip in (0, 5, 9):
        np.testing.assert_array_equal(reader.feature(clip, "beat", 3, 30)[:, 2], clip + np.arange(3, 30) / 64)
    assert reader.clip(7).features["beat"].shape == (47, 5)
    windows = DanceWindows(reader, DanceShape(16, 20, 4, 0, ("beat", "librosa")), training=True)
    batch = windows.fetch(BlockOrder(windows.shard_sizes, 0).take(0, 8)).batch
    assert batch.music.features["beat"].shape == (8, 36, 5)
    assert verify(split).problems == []


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset 1.0.2 leaves the last tar to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the same, met in a finalizer
def test_plain_webdataset_reads_an_added_feature(split):
    import webdataset

    add_feature(split, "beat", INFO, Counting())
    tars = sorted(str(path) for path in (split / "features/beat").glob("*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode())
    assert [sample["__key__"] for sample in samples] == ShardReader(split).keys
    assert samples[3]["beat.npy"].dtype == np.float16
    del samples
    gc.collect()


def test_an_interrupted_run_continues_behind_the_last_clip(split):
    """Four clips per tar: stopped in the second tar."""
    first, second = Counting(stop=6), Counting()
    with pytest.raises(KeyboardInterrupt):
        add_feature(split, "beat", INFO, first)
    assert ShardReader(split).features == ["librosa", "musicnn"]
    assert verify(split).problems == []
    assert add_feature(split, "beat", INFO, second)
    assert first.seen + second.seen == ShardReader(split).keys
    straight = split.parent / "straight"
    add_feature(split, "other", INFO, Counting())
    (split / "features/other").rename(straight)
    assert sorted(path.name for path in straight.iterdir()) == sorted(path.name for path in (split / "features/beat").iterdir())
    assert [path.name for path in (split / "features").iterdir()] == ["beat"]


def test_a_run_of_another_version_drops_unfinished_work(split):
    with pytest.raises(KeyboardInterrupt):
        add_feature(split, "beat", INFO, Counting(stop=6))
    fresh = Counting()
    add_feature(split, "beat", {"width": 5, "version": "v2"}, fresh)
    assert len(fresh.seen) == 10


def test_standing_features_are_kept_or_refused(split):
    add_feature(split, "beat", INFO, Counting())
    idle = Counting()
    assert not add_feature(split, "beat", INFO, idle)
    assert idle.seen == []
    with pytest.raises(ShardError, match=r"train has beat of version v1, not v2. Pass --overwrite to replace it"):
        add_feature(split, "beat", {"width": 5, "version": "v2"}, idle)
    assert add_feature(split, "beat", {"width": 5, "version": "v2"}, Counting(), overwrite=True)
    assert ShardReader(split).manifest.features["beat"]["version"] == "v2"
    with pytest.raises(ShardError, match=r"was written with musicnn, which is part of its tars"):
        add_feature(split, "musicnn", INFO, idle, overwrite=True)


def test_a_stopped_replacement_leaves_a_readable_split(split):
    add_feature(split, "beat", INFO, Counting())
    with pytest.raises(KeyboardInterrupt):
        add_feature(split, "beat", {"width": 5, "version": "v2"}, Counting(stop=6), overwrite=True)
    assert ShardReader(split).features == ["librosa", "musicnn"]
    assert add_feature(split, "beat", {"width": 5, "version": "v2"}, Counting(), overwrite=True)
    assert verify(split).problems == []


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda clip: np.zeros((clip.frames - 1, 5)), r"'clip-000': feature 'beat' has shape \(39, 5\), needed is \(40, 5\)"),
        (lambda clip: np.full((clip.frames, 5), 1e6), r"'clip-000': feature 'beat' does not fit float16"),
        (lambda clip: np.zeros((len(clip.audio), 5)), r"Clip 'clip-000' of .*train has no sound"),
    ],
)
def test_wrong_rows_are_refused_by_name(split, compute, message):
    with pytest.raises(ShardError, match=message):
        add_feature(split, "beat", INFO, compute)


def test_damage_to_an_added_feature_is_found(split):
    add_feature(split, "beat", INFO, Counting())
    path = split / "features/beat/shard-000001.tar"
    content = bytearray(path.read_bytes())
    content[512:576] = b"\xff" * 64
    path.write_bytes(content)
    problems = verify(split).problems
    assert any("features/beat/shard-000001.tar: sha256 is" in problem for problem in problems)
    assert any("clip 'clip-004' is damaged: beat.npy" in problem for problem in problems)
    path.unlink()
    with pytest.raises(ShardError, match=r"features/beat is incomplete: shard-000001.tar missing of 3 tars"):
        ShardReader(split)


def test_a_feature_of_other_shards_is_refused(tiny, split):
    add_feature(split, "beat", INFO, Counting())
    other = tiny.write_split(split.parent / "other", [tiny.make_clip(number, frames=60) for number in range(10)])
    (split / "features").rename(other / "features")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "features": {**manifest["features"], "beat": INFO}}))
    with pytest.raises(ShardError, match="was made from other shards"):
        ShardReader(other)


def test_shards_with_an_added_feature_may_be_overwritten(tiny, split):
    add_feature(split, "beat", INFO, Counting())
    (split / "features/notes").mkdir()
    with pytest.raises(ShardError, match=r"holds what is no shards \(features\)"):
        ShardWriter(split, split="train", features={}, licence="test", overwrite=True).__enter__()
    (split / "features/notes").rmdir()
    with ShardWriter(split, split="train", features=tiny.FEATURES, licence="test", overwrite=True) as writer:
        writer.write(tiny.make_clip(2))
    assert not (split / "features").exists()
