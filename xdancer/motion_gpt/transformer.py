"""GPT-2's blocks over embeddings. Whole windows only: `decoding` reads their weights for one position after another.

Names follow GPT-2's own, so that its weights load by name (`gpt2_weights`). Radford et al. 2019; checked against transformers' GPT-2 in
`tests/parity`.
"""

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from xdancer.motion_gpt.dropped_attention import dropped_attention
from xdancer.motion_gpt.rotary import rotate


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch position width"], turn: Tensor | None = None) -> Tensor:
        batch, length, width = x.shape
        query, key, value = self.c_attn(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if turn is not None:
            query, key = rotate(query, turn), rotate(key, turn)
        dropout = self.dropout if self.training else 0.0
        if dropout and x.device.type == "cpu":
            y = dropped_attention(query, key, value, dropout=dropout)
        else:
            y = F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
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

    def forward(self, x: Float[Tensor, "batch position width"], turn: Tensor | None = None) -> Tensor:
        x = x + F.dropout(self.attn(self.ln_1(x), turn), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.ln_2(x)), self.dropout, self.training)


class Transformer(nn.Module):
    """Blocks and final normalisation; embeddings in, features out."""

    def __init__(self, *, layers: int, heads: int, width: int, dropout: float = 0.0, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads.")
        self.h = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.dropout, self.gradient_checkpointing = dropout, gradient_checkpointing

    def forward(
        self, x: Float[Tensor, "batch position width"], *, turn: Float[Tensor, "window half 2"] | None = None
    ) -> Float[Tensor, "batch position width"]:
        """Features at every position.

        `turn` are the rotations of the whole window's positions (`rotary.rotations`); None leaves queries and keys as they are (GPT-2).
        """
        turn = None if turn is None else turn[: x.shape[1]]
        x = F.dropout(x, self.dropout, self.training)
        for block in self.h:
            if self.gradient_checkpointing and self.training:
                x = cast(Tensor, checkpoint(block, x, turn, use_reentrant=False))
            else:
                x = block(x, turn)
        return self.ln_f(x)


def initialise(transformer: Transformer) -> None:
    """GPT-2's initialisation: normal .02, projections onto the residual stream divided by √(2·layers), biases zero."""
    residual = 0.02 / (2 * len(transformer.h)) ** 0.5
    for name, parameter in transformer.named_parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=residual if name.endswith("c_proj.weight") else 0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
