"""Finite scalar quantisation (Mentzer et al. 2023, arXiv 2309.15505) behind the interface of `Codebook`, from vector-quantize-pytorch.

Every number of a latent is bounded and rounded to a few levels of its own; the codes are the grid of all combinations, the same for every
part. Nothing is learned or followed, so several processes have nothing to share and no code can die of its start.
"""

from math import prod

import torch
from jaxtyping import Float, Int
from lightning_utilities.core.imports import RequirementCache
from torch import Tensor, nn

from xdancer.errors import MissingPackageError
from xdancer.vqvae.codebook import Quantized

REQUIREMENT = RequirementCache("vector-quantize-pytorch>=1.20,<2")


class FiniteScalarCodebook(nn.Module):
    """A grid of codes with as many numbers per code as there are levels.

    Args:
        levels: steps of each number, at least 3; `(8, 8, 8)` makes 512 codes.

    Raises:
        MissingPackageError: vector-quantize-pytorch is not installed.
    """

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        if not REQUIREMENT:
            raise MissingPackageError(f"fsq_levels {levels} needs vector-quantize-pytorch. Install it: pip install 'xdancer[fsq]'.")
        from vector_quantize_pytorch import FSQ

        self.codes, self.width = prod(levels), len(levels)
        self.grid = FSQ(levels=list(levels))

    def forward(self, z_e: Float[Tensor, "batch part slot width"]) -> Quantized:
        """Rounded latents in float32, whatever the precision around; the gradient passes the rounding and meets the bound's."""
        with torch.autocast(z_e.device.type, enabled=False):
            rounded, ids = self.grid(z_e.float().flatten(1, 2))  # (batch, part·slot, width)
        ids = ids.unflatten(1, z_e.shape[1:3]).long()
        straight_through = rounded.unflatten(1, z_e.shape[1:3]).to(z_e.dtype)
        return Quantized(z_e=z_e, z_q=self.lookup(ids).to(z_e.dtype), straight_through=straight_through, ids=ids)

    def nearest(self, latents: Float[Tensor, "batch part slot width"]) -> Int[Tensor, "batch part slot"]:
        """Ids of the rounded latents."""
        return self.forward(latents).ids

    def lookup(self, ids: Int[Tensor, "*batch part slot"]) -> Float[Tensor, "*batch part slot width"]:
        """The grid points of some ids, in [-1, 1]."""
        return self.grid.implicit_codebook[ids]  # pyright: ignore[reportIndexIssue]
