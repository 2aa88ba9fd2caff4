"""verify: sound shards pass, every kind of damage is named with its clip."""

import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from xdancer.data.shards import ShardReader, ShardWriter, verify
from xdancer.errors import ShardError


def test_sound_shards_pass_at_either_level(tiny, tmp_path):
    tiny.write_split(tmp_path / "train", [tiny.make_clip(0, 32, video=True), tiny.make_clip(1)])
    tiny.write_split(tmp_path / "val", [tiny.make_clip(2)])
    report = verify(tmp_path)
    assert report.problems == []
    assert report.warnings == []
    assert [split.split for split in report.splits] == ["train", "val"]
    assert str(verify(tmp_path / "train").splits[0]).endswith("2 clips, 0.1 minutes, 2 songs, features librosa, musicnn, 1 with video: ok")


def test_flipped_bytes_fail_the_checksum(tiny, tmp_path):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0), tiny.make_clip(1)])
    tiny.corrupt(folder, "clip-001", "pose.npy")
    problems = verify(folder).problems
    assert len(problems) == 2
    assert "shard-000000.tar: sha256 is" in problems[0]
    assert "clip 'clip-001' is damaged: pose.npy" in problems[1]


def test_nan_poses_are_named(tiny, tmp_path):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0), tiny.make_clip(1)])
    offset, _ = ShardReader(folder).files.place(1, "pose.npy")
    with (folder / "shard-000000.tar").open("r+b") as tar:
        tar.seek(offset + 128)
        tar.write(np.float32(np.nan).tobytes())
    assert any("clip 'clip-001' is damaged: pose.npy holds NaN" in problem for problem in verify(folder).problems)


def test_foreign_members_and_moved_members_are_found(tiny, tmp_path):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0)])
    with tarfile.open(folder / "shard-000000.tar", "a:") as tar:
        for name in ("clip-000.evil.pkl", "../up.pose.npy"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            tar.addfile(entry, io.BytesIO(b"abc"))
    index = json.loads((folder / "index.json").read_text())
    index["clips"][0]["members"]["librosa.npy"][0] += 512
    (folder / "index.json").write_text(json.dumps(index))
    problems = "\n".join(verify(folder).problems)
    assert "member 'clip-000.evil.pkl' is not accepted" in problems
    assert "member '../up.pose.npy' is not accepted" in problems
    assert "member 'clip-000.librosa.npy' lies elsewhere than index.json says" in problems


def test_videos_and_sound_of_another_length_are_found(tiny, tmp_path):
    whole, short = tiny.make_clip(0, 32, video=True), tiny.make_clip(0, 20, video=True)
    folder = tiny.write_split(tmp_path / "train", [replace(whole, video=short.video, audio=short.audio, mask=b"no video")])
    problems = verify(folder).problems
    assert any("'clip-000', video.mp4: 20 pictures at 30.00 per second, needed are 32 at 30" in problem for problem in problems)
    assert any("'clip-000', audio.m4a: 0.6" in problem for problem in problems)
    assert any("'clip-000', mask.mp4: media in memory: cannot be read" in problem for problem in problems)


def test_splits_that_share_are_found(tiny, tmp_path):
    tiny.write_split(tmp_path / "train", [tiny.make_clip(0), tiny.make_clip(1)])
    tiny.write_split(tmp_path / "val", [replace(tiny.make_clip(1), key="other"), tiny.make_clip(0)])
    report = verify(tmp_path)
    assert any("clip 'clip-000' is in train as well" in problem for problem in report.problems)
    assert report.warnings == ["train and val share 2 songs, such as 'song 0'"]


def test_a_split_by_frames_shares_its_clips_on_purpose(tiny, tmp_path):
    for name in ("train", "val"):
        with ShardWriter(tmp_path / name, split=name, features=tiny.FEATURES, licence="test", notes={"split_by": "frames"}) as writer:
            writer.write(tiny.make_clip(0))
    report = verify(tmp_path)
    assert not report.problems
    assert report.warnings == ["train and val hold the same clips, held apart by frame_range alone"]


def test_nothing_there(tmp_path):
    with pytest.raises(ShardError, match="neither it nor its sub-folders have a manifest"):
        verify(tmp_path)
    with pytest.raises(ShardError, match="the folder does not exist"):
        verify(tmp_path / "missing")
