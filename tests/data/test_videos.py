"""Stage 3's samples: pictures, poses and masks of the same frames, the portrait from the same clip, cached or not."""

import pickle

import numpy as np
import pytest
import torch

from xdancer.data.order import BlockOrder
from xdancer.data.shards import ShardReader
from xdancer.data.videos import VideoShape, VideoWindows
from xdancer.errors import ShardError


@pytest.fixture(scope="module")
def reader(tiny, tmp_path_factory) -> ShardReader:
    clips = [tiny.make_clip(0, 48, video=True), tiny.make_clip(1, 48), tiny.make_clip(2, 40, video=True)]
    return ShardReader(tiny.write_split(tmp_path_factory.mktemp("videos") / "train", clips))


def fetch(windows, epochs=1):
    return windows.fetch(BlockOrder(windows.shard_sizes, 0).take(0, epochs * int(windows.shard_sizes.sum())))


def shown(pictures: torch.Tensor) -> np.ndarray:
    """Frame numbers by the brightness that `make_clip` paints, ± 1 for the codec."""
    return (pictures.mean(dim=(-3, -2, -1)).numpy() + 1) * 127.5 / 2


@pytest.mark.parametrize("cache", [0, 10**8])
@pytest.mark.parametrize(("frames", "consecutive"), [(16, True), (2, False), (5, True)])
def test_pictures_poses_and_portrait_belong_together(reader, frames, consecutive, cache):
    windows = VideoWindows(reader, VideoShape(frames, consecutive, 16, None), training=True, cache_bytes=cache)
    assert int(windows.shard_sizes.sum()) == 3 + 2  # the clip without video does not count
    batch = fetch(windows, 4).batch
    assert batch.frames.shape == (20, frames, 3, 32, 32)
    assert batch.pose.keypoints.shape == (20, 16, 60, 2)
    numbers = np.round(batch.pose.keypoints[:, :, 0, 1].numpy() * 1024)
    pictured = np.take_along_axis(numbers, batch.frame_index.numpy(), axis=1)
    np.testing.assert_allclose(shown(batch.frames), pictured, atol=1.1)
    np.testing.assert_allclose(shown(batch.reference), np.round(batch.reference_pose.keypoints[:, 0, 0, 1].numpy() * 1024), atol=1.1)
    np.testing.assert_array_equal(batch.clip.numpy(), np.round(batch.pose.keypoints[:, 0, 0, 0].numpy() * 64))
    assert (np.diff(batch.frame_index.numpy(), axis=1) > 0).all()
    if consecutive:
        assert (np.diff(batch.frame_index.numpy(), axis=1) == 1).all()
    assert len(np.unique(numbers[:, 0])) > 8
    assert batch.mask is not None
    assert batch.reference_mask is not None
    assert batch.mask.shape == (20, frames, 1, 32, 32)
    assert float(batch.mask[..., 8:-8, 8:-8].min()) > 0.9
    assert float(batch.mask[..., :2, :].max()) < 0.1


def test_cache_changes_nothing_but_time(reader):
    shape = VideoShape(4, True, 16, (16, 16))
    first, second = (fetch(VideoWindows(reader, shape, training=True, cache_bytes=cache)).batch for cache in (0, 10**8))
    assert first.frames.shape[-2:] == (16, 16)
    assert first.frames.equal(second.frames)
    windows = VideoWindows(reader, shape, training=True, cache_bytes=10**8)
    fetch(windows)
    assert windows.source._cache
    assert not pickle.loads(pickle.dumps(windows)).source._cache
    bounded = VideoWindows(reader, shape, training=True, cache_bytes=16 * 16 * 3 * 48)
    fetch(bounded, 2)
    assert bounded.source._used <= bounded.source.cache_bytes
    assert fetch(bounded).batch.frames.equal(first.frames)


def test_evaluation_tiles_and_keeps_the_portrait(reader):
    windows = VideoWindows(reader, VideoShape(16, True, 16, None, reference_frame=3), training=False, frame_range=(0.25, 1.0))
    batch = fetch(windows).batch
    starts = sorted(np.round(batch.pose.keypoints[:, 0, 0, 1].numpy() * 1024).astype(int))
    assert starts == [10, 12, 28]
    assert sorted(np.round(batch.reference_pose.keypoints[:, 0, 0, 1].numpy() * 1024).astype(int)) == [13, 15, 15]


def test_near_portraits(tiny, tmp_path):
    """Keypoints move with the frame, so the nearest frame is the nearest in time."""
    reader = ShardReader(tiny.write_split(tmp_path / "train", [tiny.make_clip(0, 96, video=True)]))
    shape = VideoShape(4, True, 16, None, nearest_portrait=True)

    def frames_of(batch):
        pose, portrait = (np.round(value.keypoints[:, 0, 0, 1].numpy() * 1024).astype(int) for value in (batch.pose, batch.reference_pose))
        np.testing.assert_allclose(shown(batch.reference), portrait, atol=1.1)
        return pose, portrait

    held_out = VideoWindows(reader, shape, training=False, frame_range=(0.5, 1.0), portrait_range=(0.0, 0.5))
    assert set(frames_of(fetch(held_out).batch)[1]) == {47}
    begin, portrait = frames_of(fetch(VideoWindows(reader, shape, training=True), 20).batch)
    apart = np.where(portrait < begin, begin - portrait, portrait - begin - 15)
    assert apart.min() > 12
    assert apart.max() <= 12 + 12
    assert len(set(apart)) > 6


def test_impossible_sizes_are_refused(tiny, tmp_path, reader):
    with pytest.raises(ShardError, match=r"pictures of 32×32 \(height × width\), data.size asks for 64×32"):
        VideoWindows(reader, VideoShape(2, False, 16, (64, 32)), training=True)
    with pytest.raises(ShardError, match="1 <= frames <= pose_window, got frames 17"):
        VideoShape(17, True, 16, None)
    mixed = [tiny.make_clip(0, 20, video=True), tiny.make_clip(1, 20, video=True, size=(32, 48))]
    with pytest.raises(ShardError, match=r"mixes picture sizes \[\(32, 32\), \(32, 48\)\]"):
        VideoWindows(ShardReader(tiny.write_split(tmp_path / "mixed", mixed)), VideoShape(2, False, 16, None), training=True)
    silent = ShardReader(tiny.write_split(tmp_path / "motion", [tiny.make_clip(0)]))
    with pytest.raises(ShardError, match="no clip with video"):
        VideoWindows(silent, VideoShape(2, False, 16, None), training=True)


def test_a_damaged_video_is_named_and_passed(tiny, tmp_path):
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(number, 32, video=True) for number in range(3)])
    tiny.corrupt(folder, "clip-001", "video.mp4")
    for training, count in ((True, 6), (False, 4)):
        fetched = fetch(VideoWindows(ShardReader(folder), VideoShape(4, True, 16, None), training=training))
        assert set(fetched.damaged) == {"clip-001"}
        assert len(fetched.batch.frames) == count
