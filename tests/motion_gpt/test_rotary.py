"""Relative positions: distances are all that attention sees (decoding with them: `test_decoding`)."""

import pytest
import torch

from xdancer.motion_gpt.layout import TokenLayout
from xdancer.motion_gpt.rotary import rotate, rotations

LAYOUT = TokenLayout(frames=4, context_frames=2, parts=3, slots=2)


def score(query: torch.Tensor, key: torch.Tensor, at: int, other: int) -> float:
    turn = rotations(LAYOUT, 16)
    turned = [rotate(x[None, None, None], turn[place : place + 1])[0, 0, 0] for x, place in ((query, at), (key, other))]
    return float(turned[0] @ turned[1])


def test_moments_are_those_of_the_predicted_token() -> None:
    assert LAYOUT.moment(0) == (0, 0)
    assert LAYOUT.moment(3) == (3, 0)
    assert LAYOUT.moment(LAYOUT.first_prediction) == (0, 0)
    assert LAYOUT.moment(LAYOUT.motion_start + 5) == (1, 0)
    assert LAYOUT.moment(LAYOUT.motion_start + 6) == (1, 1)
    assert LAYOUT.moment(LAYOUT.music_length) == (-2, 1)


def test_scores_depend_on_distances_in_frames_and_slots_only() -> None:
    query, key = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    start = LAYOUT.first_prediction
    assert score(query, key, start + 13, start + 8) == pytest.approx(
        score(query, key, start + 19, start + 14), abs=1e-5
    )  # 1 frame back, 1 slot
    assert score(query, key, start + 13, start + 8) != pytest.approx(score(query, key, start + 13, start + 7), abs=1e-3)
    assert score(query, key, start + 13, start + 13) == pytest.approx(float(query @ key), abs=1e-5)


def test_heads_without_room_for_two_clocks_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4 channels, got 6"):
        rotations(LAYOUT, 6)
