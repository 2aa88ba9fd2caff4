"""How much of a codebook is used: counts of codes per part, perplexity, dead codes."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric


def perplexity(counts: Float[Tensor, "part code"]) -> Float[Tensor, " part"]:
    """Exponential of the entropy of use: 1 when one code does everything, the number of codes when all are used alike; 0 without any use."""
    total = counts.sum(-1, keepdim=True)
    share = counts / total.clamp_min(1)
    return torch.where(total[:, 0] > 0, torch.special.entr(share).sum(-1).exp(), 0.0)


class CodebookUsage(Metric):
    """Counts of codes per part over any number of batches and ranks.

    `compute()` gives per part (tensors of that length): `perplexity`, `used` (share of the codes used at least once) and `dead` (codes never
    used). With fewer tokens than codes the numbers are bounded by the tokens seen: use at least some thousand poses.

    Args:
        parts: codebooks.
        codes: vectors per codebook.
    """

    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, *, parts: int, codes: int) -> None:
        super().__init__()
        self.codes = codes
        self.add_state("counts", torch.zeros(parts, codes, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, ids: Int[Tensor, "batch frame part slot"]) -> None:
        """Count the ids of some poses."""
        parts = self.counts.shape[0]
        rows = ids.permute(2, 0, 1, 3).reshape(parts, -1)
        places = rows + self.codes * torch.arange(parts, device=ids.device)[:, None]
        self.counts += torch.bincount(places.flatten(), minlength=parts * self.codes).reshape(parts, self.codes)

    def compute(self) -> dict[str, Float[Tensor, " part"]]:
        used = (self.counts > 0).sum(-1)
        return {"perplexity": perplexity(self.counts), "used": used / self.codes, "dead": self.codes - used}
