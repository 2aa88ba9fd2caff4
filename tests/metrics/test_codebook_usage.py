"""Perplexity and dead codes from counts."""

import pytest
import torch

from xdancer.metrics.codebook import CodebookUsage, perplexity


def test_perplexity_of_even_single_and_no_use() -> None:
    counts = torch.tensor([[5.0, 5, 5, 5], [7, 0, 0, 0], [0, 0, 0, 0]])
    assert perplexity(counts).tolist() == pytest.approx([4.0, 1.0, 0.0])


def test_usage_adds_batches_up_by_part() -> None:
    metric = CodebookUsage(parts=2, codes=4)
    metric.update(torch.tensor([[[[0], [3]], [[1], [3]]]]))  # (batch 1, frame 2, part 2, slot 1)
    metric.update(torch.tensor([[[[2], [3]]]]))
    result = metric.compute()
    assert metric.counts.tolist() == [[1, 1, 1, 0], [0, 0, 0, 3]]
    assert result["dead"].tolist() == [1, 3]
    assert result["used"].tolist() == [0.75, 0.25]
    assert result["perplexity"].tolist() == pytest.approx([3.0, 1.0])
