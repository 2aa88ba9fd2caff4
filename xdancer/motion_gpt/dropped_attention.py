"""Causal attention with dropout for processors without a fused kernel for it.

torch's own falls back to whole (query, key) matrices there: at the paper's window half a gigabyte kept for every layer, and two thirds of a
step's time, half of that for random numbers. Here a block of queries at a time meets the keys before it, nothing of the size query × key is
kept, and the backward pass computes the block again (FlashAttention's scheme, Dao et al. 2022, arXiv 2205.14135, over torch's matrix products).
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 128
"""Queries at a time: a block of scores stays in the cache and below the size from which malloc asks the system for fresh pages."""


def dropped_attention(
    query: Float[Tensor, "batch head position width"],
    key: Float[Tensor, "batch head position width"],
    value: Float[Tensor, "batch head position width"],
    *,
    dropout: float,
) -> Float[Tensor, "batch head position width"]:
    """As `scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)`; other random numbers."""
    flat = [x.flatten(0, 1).contiguous() for x in (query, key, value)]
    attend: Any = torch.compiler.disable(_DroppedAttention.apply)  # a compiler could not look into its generator
    return attend(*flat, dropout).view(query.shape)


class _DroppedAttention(torch.autograd.Function):
    """Batch and heads as one axis."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        seed = int(torch.randint(2**62, ()))
        output = torch.empty_like(value)
        for rows, keys, weights, dropped in _blocks(query, key, dropout, seed):
            torch.bmm(weights.masked_fill_(dropped, 0.0), value[:, keys], out=output[:, rows])
        output /= 1 - dropout
        ctx.save_for_backward(query, key, value, output)
        ctx.dropout, ctx.seed = dropout, seed
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, output = ctx.saved_tensors
        scale = query.shape[-1] ** -0.5
        along = (grad * output).sum(-1, keepdim=True)
        grad = grad / (1 - ctx.dropout)
        grad_query, grad_key, grad_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for rows, keys, weights, dropped in _blocks(query, key, ctx.dropout, ctx.seed):
            grad_scores = torch.bmm(grad[:, rows], value[:, keys].transpose(1, 2)).masked_fill_(dropped, 0.0)
            grad_scores.sub_(along[:, rows]).mul_(weights).mul_(scale)
            torch.bmm(grad_scores, key[:, keys], out=grad_query[:, rows])
            grad_key[:, keys].baddbmm_(grad_scores.transpose(1, 2), query[:, rows])
            grad_value[:, keys].baddbmm_(weights.masked_fill_(dropped, 0.0).transpose(1, 2), grad[:, rows])
        return grad_query, grad_key, grad_value, None


def _blocks(query: Tensor, key: Tensor, dropout: float, seed: int) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Blocks of queries, the keys that they see, the weights between them, and which of these are dropped."""
    generator = torch.Generator().manual_seed(seed)
    threshold = round(dropout * 2**16) - 2**15
    for start in range(0, query.shape[1], BLOCK):
        stop = min(start + BLOCK, query.shape[1])
        rows, keys = slice(start, stop), slice(0, stop)
        scores = torch.bmm(query[:, rows] * query.shape[-1] ** -0.5, key[:, keys].transpose(1, 2))
        future = torch.ones(stop - start, stop - start, dtype=torch.bool).triu(1)
        scores[:, :, start:].masked_fill_(future, -torch.inf)
        numbers = torch.empty(-(-scores.numel() // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)  # 16 bit for each weight
        dropped = numbers.view(torch.int16)[: scores.numel()].view(scores.shape) < threshold
        yield rows, keys, scores.softmax(-1), dropped
