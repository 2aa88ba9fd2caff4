"""GPT-2's blocks over embeddings, with a preallocated key/value cache for decoding.

Names follow GPT-2's own, so that its weights load by name (`gpt2_weights`). Radford et al. 2019; checked against transformers' GPT-2 in
`tests/parity`.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from xdancer.motion_gpt.rotary import rotate


class KeyValueCache:
    """Keys and values of every layer for up to `length` positions, allocated once and overwritten segment after segment."""

    def __init__(
        self,
        *,
        layers: int,
        batch: int,
        heads: int,
        length: int,
        head_width: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.keys = torch.empty(layers, batch, heads, length, head_width, device=device, dtype=dtype)
        self.values = torch.empty_like(self.keys)
        self.filled = 0

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write behind the filled positions and return all of them; `advance` moves on once every layer has written."""
        stop = self.filled + keys.shape[2]
        self.keys[layer, :, :, self.filled : stop] = keys
        self.values[layer, :, :, self.filled : stop] = values
        return self.keys[layer, :, :, :stop], self.values[layer, :, :, :stop]

    def advance(self, positions: int) -> None:
        self.filled += positions

    def clear(self) -> None:
        self.filled = 0


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch position width"], *, cache: KeyValueCache | None = None, layer: int = 0, turn: Tensor | None = None
    ) -> Tensor:  # fmt: skip
        batch, length, width = x.shape
        query, key, value = self.c_attn(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if turn is not None:
            query, key = rotate(query, turn), rotate(key, turn)
        causal = cache is None or cache.filled == 0
        if cache is not None:
            key, value = cache.append(layer, key, value)
        mask = None
        if length > 1 and not causal:  # several positions behind those of the cache, such as a run of locked tokens
            mask = torch.ones(length, key.shape[2], dtype=torch.bool, device=x.device).tril(key.shape[2] - length)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal and length > 1, dropout_p=dropout)
        return self.c_proj(y.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    """GPT-2's feed-forward layer, tanh-approximated GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """One GPT-2 block: 12·width² + 13·width parameters."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, dropout)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        self.dropout = dropout

    def forward(
        self, x: Float[Tensor, "batch position width"], cache: KeyValueCache | None = None, layer: int = 0, turn: Tensor | None = None
    ) -> Tensor:  # fmt: skip
        x = x + F.dropout(self.attn(self.ln_1(x), cache=cache, layer=layer, turn=turn), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.ln_2(x)), self.dropout, self.training)


class Transformer(nn.Module):
    """Blocks and final normalisation; embeddings in, features out."""

    def __init__(self, *, layers: int, heads: int, width: int, dropout: float = 0.0, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads.")
        self.h = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.heads, self.dropout, self.gradient_checkpointing = heads, dropout, gradient_checkpointing

    def forward(
        self, x: Float[Tensor, "batch position width"], *, cache: KeyValueCache | None = None,
        turn: Float[Tensor, "window half 2"] | None = None,
    ) -> Float[Tensor, "batch position width"]:  # fmt: skip
        """Features at every position. With a cache, `x` continues what the cache holds, by one position or several.

        `turn` are the rotations of the whole window's positions (`rotary.rotations`); None leaves queries and keys as they are (GPT-2).
        """
        if turn is not None:
            begin = 0 if cache is None else cache.filled
            turn = turn[begin : begin + x.shape[1]]
        x = F.dropout(x, self.dropout, self.training)
        for layer, block in enumerate(self.h):
            if self.gradient_checkpointing and self.training and cache is None:
                x = cast(Tensor, checkpoint(block, x, None, layer, turn, use_reentrant=False))
            else:
                x = block(x, cache, layer, turn)
        if cache is not None:
            cache.advance(x.shape[1])
        return self.ln_f(x)

    def new_cache(self, batch: int, length: int) -> KeyValueCache:
        """An empty cache on this model's device, in its number format (or autocast's)."""
        weight = self.ln_f.weight
        device = weight.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        width = weight.shape[0] // self.heads
        return KeyValueCache(
            layers=len(self.h), batch=batch, heads=self.heads, length=length, head_width=width, device=weight.device, dtype=dtype
        )


def initialise(transformer: Transformer) -> None:
    """GPT-2's initialisation: normal .02, projections onto the residual stream divided by √(2·layers), biases zero."""
    residual = 0.02 / (2 * len(transformer.h)) ** 0.5
    for name, parameter in transformer.named_parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=residual if name.endswith("c_proj.weight") else 0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
