"""Stage 2's windows: each row's music is its frame's, context lies before the segment, nothing leaves the usable range."""

from dataclasses import replace

import numpy as np
import pytest

from xdancer.data.dances import DanceShape, DanceWindows, beat_frames, spread_context
from xdancer.data.order import BlockOrder, Request
from xdancer.data.shards import ShardReader
from xdancer.errors import ShardError

SHAPE = DanceShape(segment_frames=16, history_frames=20, context_frames=4, lookahead_frames=6, features=("librosa", "musicnn"))


@pytest.fixture(scope="module")
def reader(tiny, tmp_path_factory) -> ShardReader:
    folder = tmp_path_factory.mktemp("dances") / "train"
    return ShardReader(tiny.write_split(folder, [tiny.make_clip(number, frames=[80, 10, 64, 33][number]) for number in range(4)]))


def frames_of(batch, item):
    """Clip and frame number of every row of `pose`, from the values that `make_clip` writes."""
    pose = batch.pose.keypoints[item, :, 0].numpy()
    return np.round(pose[:, 0] * 64).astype(int), np.round(pose[:, 1] * 1024).astype(int)


def requests(windows, epochs=1):
    return BlockOrder(windows.shard_sizes, 0).take(0, epochs * int(windows.shard_sizes.sum()))


@pytest.mark.parametrize("training", [True, False])
def test_music_poses_and_context_agree(tiny, reader, training):
    windows = DanceWindows(reader, SHAPE, training=training)
    assert int(windows.shard_sizes.sum()) == 80 // 16 + 0 + 64 // 16 + 33 // 16
    batch = windows.fetch(requests(windows, 20 if training else 1)).batch
    assert batch.segment_frames == 16
    starts = set()
    for item in range(len(batch.has_context)):
        clips, frames = frames_of(batch, item)
        total = len(reader.pose(int(clips[0])))
        valid = batch.pose.confidence[item, :, 0].numpy() > 0
        padding = int((~valid).sum())
        assert valid[padding:].all()
        assert (np.diff(frames[padding:]) == 1).all()
        start = frames[20]
        starts.add(int(start))
        assert start + 16 <= total
        assert padding == max(0, 20 - start)
        assert (frames[:padding] == frames[padding]).all()  # the held pose
        rows = start - 20 + np.arange(42)
        inside = (rows >= 0) & (rows < total)
        expected = np.where(inside, tiny.stamp(int(clips[0]), rows), 0)
        for name in SHAPE.features:
            music = batch.music.features[name][item].numpy()
            np.testing.assert_array_equal(music, np.repeat(expected[:, None], music.shape[1], axis=1))
        beats = np.isin(rows, beat_frames(reader.meta(int(clips[0]))["beats"])) & inside
        np.testing.assert_array_equal(batch.music.beats[item].numpy(), beats)
        context = batch.context_index[item].numpy()
        assert (np.diff(context) >= 1).all()
        assert context[-1] < 20
        if batch.has_context[item]:
            assert context[0] >= padding
        else:
            assert start < SHAPE.context_frames + SHAPE.largest_gap
    if not training:
        assert starts == {0, 16, 32, 48, 64}
    else:
        assert len(starts) > 30


def test_evaluation_has_the_geometry_of_the_rollout(reader):
    """Segments of 16 that overlap by 4: context from the 12 frames right before the segment."""
    windows = DanceWindows(reader, SHAPE, training=False)
    batch = windows.fetch(requests(windows)).batch
    for item in range(len(batch.has_context)):
        if batch.has_context[item]:
            assert batch.context_index[item].tolist() == [8 + 1, 8 + 4, 8 + 7, 8 + 10]
    assert batch.has_context.tolist().count(False) == 3  # the first segment of each of the three clips


def test_the_context_rule_is_the_rollouts():
    from xdancer.motion_gpt.rollout import context_frames_before

    for begin, span, count in ((52, 52, 8), (104, 52, 8), (30, 24, 2)):
        assert spread_context(np.array([begin]), span=np.array([span]), count=count)[0].tolist() == context_frames_before(
            begin, count=count, span=span
        )


def test_training_varies_gap_and_span_and_repeats_exactly(reader):
    windows = DanceWindows(reader, SHAPE, training=True)
    request = requests(windows, 30)
    batch, again = windows.fetch(request).batch, windows.fetch(request).batch
    assert batch.pose.keypoints.equal(again.pose.keypoints)
    assert batch.context_index.equal(again.context_index)
    last = {int(row[-1]) for row, known in zip(batch.context_index, batch.has_context, strict=True) if known}
    assert max(last) >= 18
    assert min(last) <= 14
    single = windows.fetch(Request(request.items[7:8], request.epochs[7:8])).batch
    assert single.pose.keypoints[0].equal(batch.pose.keypoints[7])  # the company in a batch does not matter


def test_frame_range_bounds_history_and_segment(reader):
    windows = DanceWindows(reader, SHAPE, training=True, frame_range=(0.5, 1.0))
    batch = windows.fetch(requests(windows, 20)).batch
    for item in range(len(batch.has_context)):
        clips, frames = frames_of(batch, item)
        assert frames.min() >= len(reader.pose(int(clips[0]))) // 2


def test_mirrored_samples_are_whole(reader):
    windows = DanceWindows(reader, SHAPE, training=True, mirror=True)
    batch = windows.fetch(requests(windows, 10)).batch
    x = batch.pose.keypoints[..., 0]
    signs = [set(np.sign(row[np.abs(row) > 0]).tolist()) for row in x.numpy()]
    assert all(len(sign) <= 1 for sign in signs)
    assert {-1.0} in signs
    assert {1.0} in signs


def test_what_cannot_be_cut_says_why(reader):
    with pytest.raises(ShardError, match=r"has the music features librosa, musicnn, but jukebox is asked for"):
        DanceWindows(reader, DanceShape(16, 20, 4, 0, ("jukebox", "librosa")), training=True)
    with pytest.raises(ShardError, match=r"No clip of .* has 100 usable frames \(one segment\) \(the longest has 80 frames\)"):
        DanceWindows(reader, DanceShape(100, 20, 4, 0, ("librosa",)), training=True)
    with pytest.raises(ShardError, match=r"frame_range \(0.8, 0.8\) must satisfy"):
        DanceWindows(reader, SHAPE, training=True, frame_range=(0.8, 0.8))
    with pytest.raises(ShardError, match="context_frames <= history_frames"):
        DanceShape(16, 2, 4, 0, ("librosa",))


def test_styles_are_numbered_in_the_given_order(tiny, tmp_path):
    names = ("rock", "house", None, "polka")
    clips = [replace(clip, meta={**clip.meta, "style": name}) for clip, name in zip(map(tiny.make_clip, range(4)), names, strict=True)]
    reader = ShardReader(tiny.write_split(tmp_path / "train", clips))
    windows = DanceWindows(reader, SHAPE, training=False, styles=("house", "rock"))
    batch = windows.fetch(requests(windows)).batch
    clip_of = [int(frames_of(batch, item)[0][0]) for item in range(len(batch.has_context))]
    assert set(clip_of) == {0, 1, 2, 3}
    assert batch.style.tolist() == [{0: 1, 1: 0, 2: -1, 3: -1}[clip] for clip in clip_of]
    assert DanceWindows(reader, SHAPE, training=False).fetch(Request(np.arange(2), np.zeros(2, dtype=np.int64))).batch.style is None
