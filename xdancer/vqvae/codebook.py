"""EMA codebooks, one per body part: nearest-code lookup, moving-average update, revival of dead codes.

Vector quantisation with exponential moving averages: van den Oord et al. 2017, appendix A.1. All state lies in buffers; what several
processes must share goes through two callables (sums of all ranks; the first rank's latents for revival), so that every rank computes the
same codebook. Dead codes move to latents of the current batch: without this a codebook of 512 collapses to a few dozen codes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

EPSILON = 1e-5
"""Laplace smoothing of the counts, as in the public EMA quantisers."""


@dataclass(frozen=True)
class Quantized:
    """Latents with their nearest codes."""

    z_e: Float[Tensor, "batch part slot width"]
    """What the encoder wrote."""
    z_q: Float[Tensor, "batch part slot width"]
    """The codes themselves, without gradient."""
    straight_through: Float[Tensor, "batch part slot width"]
    """Value of `z_q`, gradient of `z_e` (what the decoder reads)."""
    ids: Int[Tensor, "batch part slot"]


def keep_local(value: Tensor) -> Tensor:
    """Sum over one process, or broadcast to one process."""
    return value


class Codebook(nn.Module):
    """`parts` tables of `codes` vectors; the slots of a part share its table.

    Args:
        parts: number of tables.
        codes: vectors per table.
        width: length of a vector.
        decay: share of the moving averages that one update keeps.
        revival_share: a code whose moving count falls below this share of an even count is dead and is revived; 0 switches revival off.
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    initialised: Tensor

    def __init__(self, *, parts: int, codes: int, width: int, decay: float = 0.99, revival_share: float = 0.05) -> None:
        super().__init__()
        self.decay = decay
        self.revival_share = revival_share
        self.reduce_sum: Callable[[Tensor], Tensor] = keep_local
        self.broadcast: Callable[[Tensor], Tensor] = keep_local
        vectors = torch.randn(parts, codes, width)
        self.register_buffer("vectors", vectors)
        self.register_buffer("counts", torch.ones(parts, codes))
        self.register_buffer("sums", vectors.clone())
        self.register_buffer("initialised", torch.zeros((), dtype=torch.bool))

    def forward(self, z_e: Float[Tensor, "batch part slot width"]) -> Quantized:
        """Nearest codes in float32, whatever the precision around; in training mode the codebook then follows the latents."""
        with torch.autocast(z_e.device.type, enabled=False), torch.no_grad():
            latents = z_e.detach().float()
            if self.training and not bool(self.initialised):
                self._start(latents)
            ids = self.nearest(latents)
            z_q = self.lookup(ids)
            if self.training:
                self._follow(latents, ids, z_q)
        z_q = z_q.to(z_e.dtype)
        return Quantized(z_e=z_e, z_q=z_q, straight_through=z_e + (z_q - z_e).detach(), ids=ids)

    def nearest(self, latents: Float[Tensor, "batch part slot width"]) -> Int[Tensor, "batch part slot"]:
        """Ids of the nearest codes (Euclidean)."""
        batch, parts, slots, width = latents.shape
        points = latents.transpose(0, 1).reshape(parts, batch * slots, width)
        scores = torch.baddbmm(self.vectors.square().sum(-1)[:, None], points, self.vectors.transpose(1, 2), alpha=-2.0)
        return scores.argmin(-1).reshape(parts, batch, slots).transpose(0, 1)

    def lookup(self, ids: Int[Tensor, "*batch part slot"]) -> Float[Tensor, "*batch part slot width"]:
        """The vectors of some ids."""
        part = torch.arange(len(self.vectors), device=ids.device)[:, None]
        return self.vectors[part, ids]

    def _start(self, latents: Tensor) -> None:
        """Place the codes on latents of the first batch."""
        rows = latents.transpose(0, 1).flatten(1, 2)  # (part, point, width)
        self.vectors.copy_(self._candidates(rows))
        self.counts.fill_(self.reduce_sum(rows.new_tensor(float(rows.shape[1]))) / self.vectors.shape[1])
        self.sums.copy_(self.vectors * self.counts[..., None])
        self.initialised.fill_(True)

    def _candidates(self, rows: Tensor) -> Tensor:
        """Latents drawn at random, one per code; the same on every rank."""
        parts, codes, _ = self.vectors.shape
        part = torch.arange(parts, device=rows.device)[:, None]
        return self.broadcast(rows[part, torch.randint(rows.shape[1], (parts, codes), device=rows.device)].contiguous())

    def _follow(self, latents: Tensor, ids: Tensor, z_q: Tensor) -> None:
        """One moving-average step over the sums of all ranks, then revival."""
        parts, codes, width = self.vectors.shape
        rows = latents.transpose(0, 1).reshape(-1, width)  # (part·point, width)
        place = (ids.transpose(0, 1).reshape(parts, -1) + codes * torch.arange(parts, device=ids.device)[:, None]).reshape(-1)
        local = rows.new_zeros(parts * codes, width + 1)  # last column counts
        local.index_add_(0, place, F.pad(rows, (0, 1), value=1.0))
        sums = self.reduce_sum(local).reshape(parts, codes, width + 1)
        self.counts.lerp_(sums[..., -1], 1 - self.decay)
        self.sums.lerp_(sums[..., :-1], 1 - self.decay)
        if self.revival_share > 0:
            self._revive(rows.reshape(parts, -1, width))
        whole = self.counts.sum(-1, keepdim=True)
        smoothed = (self.counts + EPSILON) / (whole + codes * EPSILON) * whole
        self.vectors.copy_(self.sums / smoothed[..., None])

    def _revive(self, rows: Tensor) -> None:
        """Move dead codes to random latents of the batch, with the count of a code that is barely alive."""
        alive = 2 * self.revival_share * self.counts.mean(1, keepdim=True)
        dead = self.counts < alive / 2
        fresh = self._candidates(rows)
        self.counts.copy_(torch.where(dead, alive, self.counts))
        self.sums.copy_(torch.where(dead[..., None], fresh * alive[..., None], self.sums))
