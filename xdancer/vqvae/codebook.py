"""EMA codebooks, one per body part: nearest-code lookup, moving-average update, revival of dead codes.

Vector quantisation with exponential moving averages: van den Oord et al. 2017, appendix A.1. All state lies in buffers. Several processes
train the codebook that one process with all their poses would train: sums go through one callable, and the latents on which codes start or
come back to life are drawn by the pose's number in the batch of all processes. Dead codes move to latents of the current batch: without this a
codebook of 512 collapses to a few dozen codes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

EPSILON = 1e-5
"""Laplace smoothing of the counts, as in the public EMA quantisers."""
CACHED_POINTS = 512
"""Latents per part whose distances to all codes a CPU keeps in its cache: twice as fast as all at once."""


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
    """Sum over one process."""
    return value


@dataclass(frozen=True)
class Ranks:
    """The processes that train one codebook together, each with as many poses.

    Pose `i` of process `rank` is pose `i · world + rank` of the whole batch, as the training loader deals them out.
    """

    rank: int = 0
    world: int = 1
    reduce_sum: Callable[[Tensor], Tensor] = keep_local
    """Sum of a tensor over all processes."""


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
    steps: Tensor
    """Batches followed so far; numbers the random draws, so that a resumed run repeats them."""

    def __init__(self, *, parts: int, codes: int, width: int, decay: float = 0.99, revival_share: float = 0.05) -> None:
        super().__init__()
        self.decay = decay
        self.revival_share = revival_share
        self.ranks = Ranks()
        vectors = torch.randn(parts, codes, width)
        self.register_buffer("vectors", vectors)
        self.register_buffer("counts", torch.ones(parts, codes))
        self.register_buffer("sums", vectors.clone())
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, z_e: Float[Tensor, "batch part slot width"]) -> Quantized:
        """Nearest codes in float32, whatever the precision around; in training mode the codebook then follows the latents."""
        with torch.autocast(z_e.device.type, enabled=False), torch.no_grad():
            latents = z_e.detach().float()
            step = int(self.steps) if self.training else None
            if step == 0:
                self._start(latents)
            ids = self.nearest(latents)
            z_q = self.lookup(ids)
            if step is not None:
                self._follow(latents, ids, self._candidates(latents, step=step))
        z_q = z_q.to(z_e.dtype)
        return Quantized(z_e=z_e, z_q=z_q, straight_through=z_e + (z_q - z_e).detach(), ids=ids)

    def nearest(self, latents: Float[Tensor, "batch part slot width"]) -> Int[Tensor, "batch part slot"]:
        """Ids of the nearest codes (Euclidean)."""
        batch, parts, slots, width = latents.shape
        points = F.pad(latents.transpose(0, 1).reshape(parts, batch * slots, width), (0, 1), value=1.0)
        codes = torch.cat([-2 * self.vectors, self.vectors.square().sum(-1, keepdim=True)], dim=-1).transpose(1, 2)
        pieces = points.split(CACHED_POINTS if points.device.type == "cpu" else batch * slots, dim=1)
        ids = [torch.bmm(piece, codes).argmin(-1) for piece in pieces]  # ‖code‖² − 2 latent·code: distances but for ‖latent‖²
        return torch.cat(ids, dim=1).reshape(parts, batch, slots).transpose(0, 1)

    def lookup(self, ids: Int[Tensor, "*batch part slot"]) -> Float[Tensor, "*batch part slot width"]:
        """The vectors of some ids."""
        part = torch.arange(len(self.vectors), device=ids.device)[:, None]
        return self.vectors[part, ids]

    def _candidates(self, latents: Tensor, *, step: int) -> Tensor:
        """One latent of the whole batch per code, drawn at random by number: this process fills in its own, the others are 0 here.

        Which numbers are drawn depends on the step alone, so every process draws the same ones. Each code draws from a stretch of its own, so
        that no two are equal: between equal codes rounding would decide.
        """
        parts, codes, _ = self.vectors.shape
        batch, _, slots, _ = latents.shape
        generator = torch.Generator().manual_seed(step)
        place = (torch.arange(codes) + torch.rand(parts, codes, generator=generator, dtype=torch.float64)) / codes  # in [0, 1)
        drawn = (place * (batch * self.ranks.world * slots)).long().to(latents.device)
        pose, slot = drawn // slots, drawn % slots
        part = torch.arange(parts, device=latents.device)[:, None]
        return latents[pose // self.ranks.world, part, slot] * (pose % self.ranks.world == self.ranks.rank)[..., None]

    def _start(self, latents: Tensor) -> None:
        """Place the codes on latents of the first batch."""
        points = latents.shape[0] * latents.shape[2] * self.ranks.world
        self.vectors.copy_(self.ranks.reduce_sum(self._candidates(latents, step=0)))
        self.counts.fill_(points / self.vectors.shape[1])
        self.sums.copy_(self.vectors * self.counts[..., None])

    def _follow(self, latents: Tensor, ids: Tensor, candidates: Tensor) -> None:
        """One moving-average step over the sums of all processes, then revival."""
        parts, codes, width = self.vectors.shape
        rows = latents.transpose(0, 1).reshape(-1, width)  # (part·point, width)
        place = (ids.transpose(0, 1).reshape(parts, -1) + codes * torch.arange(parts, device=ids.device)[:, None]).reshape(-1)
        local = rows.new_zeros(parts * codes, width + 1)  # last column counts
        local.index_add_(0, place, F.pad(rows, (0, 1), value=1.0))
        both = torch.cat([local, candidates.reshape(-1, width)], dim=1)  # one exchange between the processes
        sums, counts, fresh = self.ranks.reduce_sum(both).reshape(parts, codes, -1).split([width, 1, width], dim=-1)
        self.counts.lerp_(counts[..., 0], 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        if self.revival_share > 0:
            self._revive(fresh)
        whole = self.counts.sum(-1, keepdim=True)
        smoothed = (self.counts + EPSILON) / (whole + codes * EPSILON) * whole
        self.vectors.copy_(self.sums / smoothed[..., None])
        self.steps.add_(1)

    def _revive(self, fresh: Tensor) -> None:
        """Move dead codes to random latents of the batch, with the count of a code that is barely alive."""
        alive = 2 * self.revival_share * self.counts.mean(1, keepdim=True)
        dead = self.counts < alive / 2
        self.counts.copy_(torch.where(dead, alive, self.counts))
        self.sums.copy_(torch.where(dead[..., None], fresh * alive[..., None], self.sums))
