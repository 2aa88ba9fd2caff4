"""Clips for callbacks hold the frames of their split and nothing else, with time counted anew."""

from pathlib import Path

import numpy as np
import pytest

from datamodules.clips import cut_beats, read_clip
from datamodules.motion import MotionDataModule
from datamodules.video import VideoDataModule
from xdancer.data.shards import ShardReader
from xdancer.media import read_audio, read_video

FRAMES = 100


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory) -> Path:
    clips = [tiny.make_clip(number, FRAMES, video=True) for number in range(3)]
    return tiny.write_split(tmp_path_factory.mktemp("clips") / "train", clips)


def numbers(clip) -> list[int]:
    """Frames of the source that the poses stand for."""
    return np.round(clip.pose[:, 0, 1] * 1024).astype(int).tolist()


def test_a_cut_clip_is_one_time_line(folder, tiny):
    clip = read_clip(ShardReader(folder), 1, 80, 100, pictures=True)
    assert numbers(clip) == list(range(80, 100))
    np.testing.assert_array_equal(clip.features["librosa"][:, 0], tiny.stamp(1, np.arange(80, 100)))
    assert clip.meta["beats"] == pytest.approx([2.75 - 80 / 30, 3.25 - 80 / 30])
    assert clip.meta["tempo"] == 120
    brightness = read_video(clip.video).frames.mean(axis=(1, 2, 3)) / 2
    np.testing.assert_allclose(brightness, np.arange(80, 100), atol=1.1)
    assert len(read_video(clip.mask).frames) == 20
    sound = read_audio(clip.audio, sample_rate=22050)
    assert len(sound) == pytest.approx(20 * 735, abs=1024)
    click = 66150 - 80 * 735  # the seventh, 3 s from the beginning of the source
    assert abs(int(np.abs(sound).argmax()) - click) < 40


def test_a_whole_clip_stays_as_it_lies_in_the_shard(folder):
    reader = ShardReader(folder)
    whole, stored = read_clip(reader, 0, 0, FRAMES, pictures=True), reader.clip(0)
    assert (whole.video, whole.audio, whole.mask, whole.meta) == (stored.video, stored.audio, stored.mask, stored.meta)
    np.testing.assert_array_equal(whole.pose, stored.pose)
    assert read_clip(reader, 0, 0, FRAMES, pictures=False).video is None


def test_beats_on_the_edges():
    assert cut_beats([0.9, 1.0, 1.5, 2.0], 30, 60) == [0.0, 0.5]


@pytest.mark.parametrize("kind", [MotionDataModule, VideoDataModule])
def test_held_out_frames_never_meet_training_frames(folder, kind):
    """One folder for both splits: figures and normalisation see their own share only."""
    data = kind(train=str(folder), val=str(folder), frame_range=(0.0, 0.8), val_frame_range=(0.8, 1.0))
    assert [numbers(clip) for clip in data.evaluation_clips(9, split="train")] == [list(range(80))] * 3
    held_out = data.evaluation_clips(9, split="val")
    assert [numbers(clip) for clip in held_out] == [list(range(80, 100))] * 3
    assert (held_out[0].video is not None) is (kind is VideoDataModule)


def test_damaged_clips_are_left_out_and_named(tiny, tmp_path, caplog):
    folder = tiny.write_split(tmp_path / "val", [tiny.make_clip(number, FRAMES, video=True) for number in range(3)])
    tiny.corrupt(folder, "clip-001", "audio.m4a")
    data = MotionDataModule(val=str(folder), val_frame_range=(0.5, 1.0))
    assert [clip.key for clip in data.evaluation_clips(3)] == ["clip-000", "clip-002"]
    assert "clip 'clip-001' is damaged and skipped (audio.m4a" in caplog.text
