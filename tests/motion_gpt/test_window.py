"""The moving window remembers what the next segment reads and forgets the rest; music comes from tensors and files alike."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xdancer.motion_gpt.editing import MotionEdit
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.window import Window, music_rows, repeated
from xdancer.types import MotionTokens


@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_only_frames_that_can_still_be_read_are_remembered(make_gpt, make_music, overlap: int) -> None:
    gpt = make_gpt(overlap_frames=overlap)
    tokens = torch.arange(40)[None, :, None, None].expand(1, 40, 3, 2) % 11
    nothing = MotionEdit.begin_with(MotionTokens(torch.zeros(1, 0, 3, 2, dtype=torch.long)))
    window = Window(gpt, make_music(40, 1), MotionTokens(tokens[:, :1]), nothing, {})
    for frame in range(1, 40):
        segment = window.segment()
        assert torch.equal(segment.motion[:, : window.known - window.begin], tokens[:, window.begin : window.known])
        assert window.begin <= window.known < window.stop
        window.append(tokens[:, frame : frame + 1])
        assert window.past.shape[1] <= 2 * gpt.config.frames
    assert window.known == 40
    window.replace_last(tokens[:, :1].expand(1, 50, 3, 2))
    assert window.known == 40
    assert window.past.eq(0).all()


def test_rows_behind_the_song_are_zero_whatever_it_is(tmp_path: Path) -> None:
    song = torch.randn(6, 5).half()
    np.save(tmp_path / "song.npy", song.numpy())
    mapped = np.load(tmp_path / "song.npy", mmap_mode="r")
    for begin in (0, 4, 9):
        expected = torch.cat([song.float(), torch.zeros(20, 5)])[None, begin : begin + 4]
        assert torch.equal(music_rows(mapped, begin, 4), expected)
        assert torch.equal(music_rows(song.float()[None], begin, 4), expected)
    writable = np.load(tmp_path / "song.npy", mmap_mode="c")
    writable[0] = 7
    music_rows(writable, 0, 4)
    assert (writable[0] == 7).all()  # what was written to a private copy is not forgotten


def test_repeated_items_stand_together(tiny_gpt: MotionGPT, make_segment) -> None:
    segment = make_segment(tiny_gpt)
    more = repeated(segment, 3)
    assert torch.equal(more.motion[:3], segment.motion[:1].expand(3, -1, -1, -1))
    assert torch.equal(more.has_music, torch.ones(6, dtype=torch.bool))
    assert more.style is None
