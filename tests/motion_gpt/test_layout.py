"""TokenLayout: the paper's window, and which music and which tokens stand at a position."""

import pytest

from xdancer.motion_gpt.layout import TokenLayout

PAPER = TokenLayout(frames=64, context_frames=8, parts=5, slots=6)
SMALL = TokenLayout(frames=3, context_frames=2, parts=2, slots=2, previous_frames=2)


def test_window_matches_the_paper() -> None:
    assert PAPER.window == 2224
    assert (PAPER.music_length, PAPER.context_length, PAPER.motion_length) == (64, 240, 1920)


def test_music_is_that_of_the_predicted_frame() -> None:
    # window: 3 music, 8 context (frames 0, 1), 12 motion (frames 0, 1, 2 of 4 tokens)
    rows = [SMALL.music_row(position) for position in range(SMALL.music_length, SMALL.window)]
    context = [0, 0, 0, 0, 1, 1, 1]  # their own frames' music
    motion = [2] * 4 + [3] * 4 + [4] * 4  # from the last context position on: the frame of the next token
    assert rows == [*context, *motion, 4]


@pytest.mark.parametrize("position", [303, 304, 332, 333, 334, 2222])
def test_music_of_the_paper_window(position: int) -> None:
    predicted_token = position + 1 - 304
    assert PAPER.music_row(position) == 8 + predicted_token // 30
    assert PAPER.predicted_frame(position) == predicted_token // 30


def test_parts_and_slots_follow_the_order_of_the_paper() -> None:
    first = range(SMALL.motion_start, SMALL.motion_start + 4)
    assert [(SMALL.part(p), SMALL.slot(p)) for p in first] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert (SMALL.part(SMALL.music_length), SMALL.slot(SMALL.music_length)) == (0, 0)


def test_sources_are_the_token_read_and_the_predicted_slot_of_earlier_frames() -> None:
    # columns: 0 absent, 1–8 context, 9–16 the two frames before the segment, 17–28 the segment
    assert SMALL.columns == 29
    assert SMALL.sources(SMALL.music_length) == (1, 0, 0)  # context predicts nothing
    assert SMALL.sources(SMALL.first_prediction) == (8, 13, 9)  # last context token; token 0 of frames -1 and -2
    assert SMALL.sources(SMALL.motion_start) == (17, 14, 10)  # reads token 0, predicts token 1
    assert SMALL.sources(SMALL.motion_start + 4) == (21, 18, 14)  # frame 1: token 1 of frames 0 and -1
    assert SMALL.sources(SMALL.window - 1) == (28, 0, 0)  # closes the window


def test_no_source_lies_in_the_future() -> None:
    for position in range(SMALL.motion_start, SMALL.window):
        assert max(SMALL.sources(position)) <= SMALL.segment_column + position - SMALL.motion_start


@pytest.mark.parametrize("global_music", [True, False])
def test_without_context_a_start_position_predicts_the_first_token(global_music: bool) -> None:
    layout = TokenLayout(frames=4, context_frames=0, parts=5, slots=1, global_music=global_music, previous_frames=1)
    assert layout.window == (4 if global_music else 0) + 1 + 20
    assert layout.sources(layout.first_prediction)[0] == 0
    assert layout.music_row(layout.first_prediction) == 0
    assert layout.sources(layout.first_prediction)[1] == layout.previous_column


def test_impossible_layouts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TokenLayout(frames=0, context_frames=8, parts=5, slots=6)
