"""Attention with dropout block by block: exact without dropout, exact gradients with it, the right share of weights dropped."""

import pytest
import torch
from torch.nn import functional as F

from xdancer.motion_gpt import dropped_attention as module
from xdancer.motion_gpt.dropped_attention import BLOCK, dropped_attention


def inputs(positions: int, width: int) -> list[torch.Tensor]:
    return [torch.randn(1, 2, positions, width, dtype=torch.float64, requires_grad=True) for _ in range(3)]


def test_without_dropout_it_is_plain_attention() -> None:
    values, direction = inputs(2 * BLOCK + 7, 4), torch.randn(1, 2, 2 * BLOCK + 7, 4, dtype=torch.float64)
    expected, found = F.scaled_dot_product_attention(*values, is_causal=True), dropped_attention(*values, dropout=0.0)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(torch.autograd.grad(found, values, direction), torch.autograd.grad(expected, values, direction), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_are_those_of_the_same_dropped_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 4)

    def attend(*values: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return dropped_attention(*values, dropout=0.3)

    assert torch.autograd.gradcheck(attend, inputs(10, 4))


def test_weights_are_dropped_with_their_probability_and_the_rest_made_up_for() -> None:
    """With one-hot values the output is the weights themselves; here all earlier keys weigh alike."""
    positions = 200
    flat = torch.zeros(8, 4, positions, positions)
    weights = dropped_attention(flat, flat, torch.eye(positions).expand_as(flat), dropout=0.25)
    seen = torch.ones(positions, positions, dtype=torch.bool).tril().expand_as(weights)
    assert weights[~seen].eq(0).all()
    share = torch.arange(1, positions + 1)[:, None].reciprocal().expand_as(weights)
    kept = weights[seen] != 0
    torch.testing.assert_close(weights[seen][kept], share[seen][kept] / 0.75)
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.003)
    assert (weights[0, 0] != 0).ne(weights[1, 0] != 0).any()


def test_the_seed_of_torch_decides() -> None:
    values = inputs(9, 4)
    first, second, third = (torch.manual_seed(seed) and dropped_attention(*values, dropout=0.5) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
