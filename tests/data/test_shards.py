"""Writer and reader: all or nothing on disk, only the window's bytes from it, and plain WebDataset reads the same."""

import gc
import io
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from xdancer.data.shards import DamagedSampleError, ShardReader, ShardWriter
from xdancer.errors import ShardError


@pytest.fixture(scope="module")
def split(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "train"
    return tiny.write_split(folder, [tiny.make_clip(number, frames=60 + number) for number in range(10)])


def test_what_is_written_is_read(tiny, split):
    reader = ShardReader(split)
    assert len(reader) == 10
    assert reader.keys[3] == "clip-003"
    expected = tiny.make_clip(3, frames=63)
    clip = reader.clip("clip-003")
    np.testing.assert_array_equal(clip.pose, expected.pose)
    for name, array in expected.features.items():
        np.testing.assert_array_equal(clip.features[name], array)
    assert clip.meta == {**expected.meta, "fps": 30, "aspect": 1.0}
    assert clip.video is None


def test_windows_are_the_same_as_slices_of_the_clip(split):
    reader = ShardReader(split)
    for clip in (0, 4, 9):
        np.testing.assert_array_equal(reader.pose(clip, 7, 31), reader.pose(clip)[7:31])
        np.testing.assert_array_equal(reader.feature(clip, "musicnn", 7, 31), reader.feature(clip, "musicnn")[7:31])
        assert reader.feature(clip, "musicnn", 5, 5).shape == (0, 753)
    with pytest.raises(ValueError, match=r"Frames \[50, 99\) are outside clip 'clip-000' of 60 frames"):
        reader.pose(0, 50, 99)


def test_only_the_bytes_of_the_window_are_read(split, monkeypatch):
    reader = ShardReader(split)
    reader.pose(2)
    sizes = []
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: sizes.append(memoryview(buffers[0]).nbytes) or preadv(fd, buffers, offset))
    reader.pose(2, 10, 14)
    reader.feature(2, "musicnn", 10, 14)
    assert sizes == [4 * 60 * 3 * 4, 256, 4 * 753 * 2]  # the pose's header is known already


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset 1.0.2 leaves the last tar to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the same, met in a finalizer
def test_plain_webdataset_reads_the_tars(split):
    import webdataset

    tars = sorted(str(path) for path in split.glob("*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode())
    assert [sample["__key__"] for sample in samples] == [f"clip-{number:03d}" for number in range(10)]
    np.testing.assert_array_equal(samples[4]["pose.npy"], ShardReader(split).pose(4))
    assert samples[4]["musicnn.npy"].dtype == np.float16
    assert samples[4]["librosa.npy"].dtype == np.float32
    assert samples[4]["meta.json"]["song"] == "song 4"
    del samples
    gc.collect()


def test_same_clips_same_bytes(tiny, tmp_path):
    for name in ("a", "b"):
        tiny.write_split(tmp_path / name / "train", [tiny.make_clip(number) for number in range(2)])
    files = [path.name for path in (tmp_path / "a/train").iterdir()]
    assert sorted(files) == ["index.json", "manifest.json", "shard-000000.tar"]
    for name in files:
        assert (tmp_path / "a/train" / name).read_bytes() == (tmp_path / "b/train" / name).read_bytes()


def test_manifest_counts_and_names_everything(split):
    manifest = ShardReader(split).manifest
    assert manifest.counts == {"clips": 10, "shards": 3, "frames": 645, "video": 0, "mask": 0, "audio": 0}
    assert manifest.features["musicnn"] == {"width": 753, "version": "test"}
    assert set(manifest.sha256) == {f"shard-{number:06d}.tar" for number in range(3)}
    assert (manifest.fps, manifest.keypoints, manifest.split, manifest.licence) == (30, "openpose18+hands42", "train", "test")


def _pose_sum(reader: ShardReader) -> float:
    return float(reader.pose(5).sum())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12 on fork; torch's own default
def test_reader_pickles_and_works_after_fork_and_spawn(split):
    reader = ShardReader(split)
    expected = _pose_sum(reader)  # opens a file before the fork
    assert _pose_sum(pickle.loads(pickle.dumps(reader))) == expected
    with get_context("fork").Pool(1) as pool:
        assert pool.apply(_pose_sum, (reader,)) == expected


def _every(clip, change):
    return {name: change(array) for name, array in clip.features.items()}


BAD_CLIPS = {
    "key": (lambda clip: replace(clip, key="a.b"), r"Clip key 'a.b' is not allowed"),
    "nan": (
        lambda clip: replace(clip, pose=np.where(np.arange(80)[:, None, None] == 7, np.nan, clip.pose)),
        r"'clip-000': pose holds NaN or infinite values \(first in frame 7\)",
    ),
    "shape": (lambda clip: replace(clip, pose=clip.pose[:, :59]), r"'clip-000': pose has shape \(80, 59, 3\), needed is \(frames, 60, 3\)"),
    "confidence": (lambda clip: replace(clip, pose=clip.pose * 3), r"'clip-000': confidence spans \[1.5, 1.5\], needed is \[0, 1\]"),
    "missing feature": (
        lambda clip: replace(clip, features={"librosa": clip.features["librosa"]}),
        r"'clip-000' has features \['librosa'\], the split has \['librosa', 'musicnn'\]",
    ),
    "feature rows": (
        lambda clip: replace(clip, features=_every(clip, lambda array: array[1:])),
        r"feature 'librosa' has shape \(79, 35\), needed is \(80, 35\)",
    ),
    "float16 overflow": (
        lambda clip: replace(clip, features=_every(clip, lambda array: array + 1e6)),
        r"feature 'musicnn' does not fit float16",
    ),
    "beats": (lambda clip: replace(clip, meta={**clip.meta, "beats": [1.0, 0.5]}), r"'clip-000': metadata needs ascending beat times"),
    "song": (lambda clip: replace(clip, meta={**clip.meta, "song": ""}), r"needs a text 'song', got ''"),
    "json": (lambda clip: replace(clip, meta={**clip.meta, "quality": {"sharp": float("nan")}}), r"metadata cannot be written as JSON"),
}


@pytest.mark.parametrize("fault", BAD_CLIPS)
def test_bad_clips_are_refused_by_name_and_leave_nothing(tiny, tmp_path, fault):
    change, message = BAD_CLIPS[fault]
    with pytest.raises(ShardError, match=message):
        tiny.write_split(tmp_path / "train", [tiny.make_clip(1), change(tiny.make_clip(0))])
    assert list(tmp_path.iterdir()) == []


def test_a_key_twice_an_empty_split_and_a_taken_folder_are_refused(tiny, tmp_path):
    with pytest.raises(ShardError, match="'clip-000' was written twice"):
        tiny.write_split(tmp_path / "train", [tiny.make_clip(0), tiny.make_clip(0)])
    with pytest.raises(ShardError, match="No clips to write"):
        tiny.write_split(tmp_path / "train", [])
    assert list(tmp_path.iterdir()) == []
    tiny.write_split(tmp_path / "train", [tiny.make_clip(0)])
    with pytest.raises(ShardError, match="already holds shards"):
        tiny.write_split(tmp_path / "train", [tiny.make_clip(1)])
    with ShardWriter(tmp_path / "train", split="train", features=tiny.FEATURES, licence="test", overwrite=True) as writer:
        writer.write(tiny.make_clip(2))
    assert ShardReader(tmp_path / "train").keys == ["clip-002"]
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_overwriting_never_touches_other_files(tiny, tmp_path):
    folder = tmp_path / "train"

    def overwrite(number):
        with ShardWriter(folder, split="train", features=tiny.FEATURES, licence="test", overwrite=True) as writer:
            writer.write(tiny.make_clip(number))

    folder.mkdir()
    overwrite(0)
    (folder / "dance.mp4").write_bytes(b"mine")
    with pytest.raises(ShardError, match=r"train holds what is no shards \(dance.mp4\), which is never overwritten"):
        overwrite(1)
    (folder / "dance.mp4").unlink()
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(ShardError, match=r"\(index.json, manifest.json, shard-000000.tar\)"):
        overwrite(1)
    assert sorted(path.name for path in folder.iterdir()) == ["index.json", "manifest.json", "shard-000000.tar"]
    assert list(tmp_path.iterdir()) == [folder]


def test_an_exception_of_the_caller_leaves_nothing(tiny, tmp_path):
    def clips():
        yield tiny.make_clip(0)
        raise RuntimeError("the caller's")

    with pytest.raises(RuntimeError, match="the caller's"):
        tiny.write_split(tmp_path / "train", clips())
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import importlib.util, resource, sys
from pathlib import Path
from xdancer.errors import ShardError
spec = importlib.util.spec_from_file_location("tiny_shards", sys.argv[1])
tiny = importlib.util.module_from_spec(spec); spec.loader.exec_module(tiny)
clips = [tiny.make_clip(number) for number in range(9)]
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    tiny.write_split(Path(sys.argv[2]), clips)
except ShardError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_leaves_nothing(tiny, tmp_path):
    """A limit on the file size fails writes in the middle of a tar, as a full disk does."""
    command = [sys.executable, "-W", "ignore", "-c", FULL_DISK, tiny.__file__, str(tmp_path / "train")]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert result.stdout.startswith(f"Cannot write shards to {tmp_path / 'train'}: File too large. No part of them was left")
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_missing_and_foreign_folders_say_what_to_do(tiny, tmp_path, split):
    with pytest.raises(ShardError, match=r"the folder does not exist\. Make shards with `xdancer prepare"):
        ShardReader(tmp_path / "nothing")
    with pytest.raises(ShardError, match="the folder is empty"):
        ShardReader(tmp_path)
    with pytest.raises(ShardError, match=r"folder of splits \(train\)"):
        ShardReader(split.parent)


def test_another_schema_is_refused_with_both_versions(tiny, tmp_path):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0)])
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema": 7}))
    with pytest.raises(ShardError, match="schema version 7, this xdancer reads version 1"):
        ShardReader(folder)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "fps": 25}))
    with pytest.raises(ShardError, match="holds 25 frames per second"):
        ShardReader(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ShardError, match="Cannot read"):
        ShardReader(folder)


def test_an_array_that_needs_pickle_is_never_loaded(tiny, tmp_path):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0)])
    reader = ShardReader(folder)
    offset, _ = reader.files.place(0, "pose.npy")
    stream = io.BytesIO()
    np.save(stream, np.array([print] * 3, dtype=object), allow_pickle=True)
    with (folder / "shard-000000.tar").open("r+b") as tar:
        tar.seek(offset)
        tar.write(stream.getvalue())
    with pytest.raises(DamagedSampleError, match=r"'clip-000' is damaged: pose.npy: an array of \|O is not accepted"):
        ShardReader(folder).pose(0)


def test_damage_names_the_clip(tiny, tmp_path):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(number) for number in range(4)])
    tiny.corrupt(folder, "clip-001", "pose.npy")
    tiny.corrupt(folder, "clip-002", "meta.json")
    reader = ShardReader(folder)
    with pytest.raises(DamagedSampleError, match=r"'clip-001' is damaged: pose\.npy"):
        reader.pose(1)
    with pytest.raises(DamagedSampleError, match=r"'clip-002' is damaged: meta.json"):
        reader.meta(2)
    path = folder / "shard-000000.tar"
    path.write_bytes(path.read_bytes()[:-200_000])
    with pytest.raises(DamagedSampleError, match=r"ends \d+ bytes too early"):
        ShardReader(folder).pose(3)
    path.unlink()
    with pytest.raises(ShardError, match=r"incomplete: shard-000000.tar missing of 1 tars"):
        ShardReader(folder)


def test_nan_that_crept_in_is_damage(tiny, tmp_path):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0)])
    reader = ShardReader(folder)
    offset, _ = reader.files.place(0, "pose.npy")
    with (folder / "shard-000000.tar").open("r+b") as tar:
        tar.seek(offset + 128 + 20 * 720)
        tar.write(np.float32(np.nan).tobytes())
    assert reader.pose(0, 0, 20).shape == (20, 60, 3)
    with pytest.raises(DamagedSampleError, match=r"NaN or infinite values in frames \[15, 25\)"):
        reader.pose(0, 15, 25)
