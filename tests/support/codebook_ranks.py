"""Stage 1's training step on a share of every batch, in one process or several: `python codebook_ranks.py RANK WORLD FOLDER STEPS`."""

import sys
from pathlib import Path

import torch
from torch import Tensor

from xdancer.metrics.codebook import CodebookUsage
from xdancer.types import PoseBatch
from xdancer.vqvae.codebook import Ranks
from xdancer.vqvae.loss import vqvae_loss
from xdancer.vqvae.model import VQVAE, VQVAEConfig

CONFIG = VQVAEConfig(
    slots=2, codes=32, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1, ema_decay=0.7, revival_share=0.5
)  # fmt: skip


def sum_over_ranks(value: Tensor) -> Tensor:
    torch.distributed.all_reduce(value)
    return value


def train(rank: int, world: int, steps: int) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """Training on the same poses, whatever the number of processes: the codebook's state behind every step, and the use of its codes."""
    torch.manual_seed(0)
    model = VQVAE(CONFIG).train()
    if world > 1:
        model.codebook.ranks = Ranks(rank, world, sum_over_ranks)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)  # Adam would blow rounding up: it divides by the size of a gradient
    generator, states, usage = torch.Generator().manual_seed(1), [], CodebookUsage(parts=CONFIG.parts, codes=CONFIG.codes)
    for _ in range(steps):
        rows = torch.randn(64, 1, 60, 3, generator=generator)[rank::world]
        pose = PoseBatch(rows[..., :2], rows[..., 2].sigmoid())
        optimizer.zero_grad()
        output = model(pose)
        vqvae_loss(output, target=pose, config=CONFIG).total.backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad.copy_(model.codebook.ranks.reduce_sum(parameter.grad) / world)  # what DDP does, without its seconds of start-up
        usage.update(output.tokens.ids)
        optimizer.step()
        states.append({name: value.clone() for name, value in model.codebook.state_dict().items()})
    return states, usage.compute()


if __name__ == "__main__":
    place, processes = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[3]}/meeting", rank=place, world_size=processes)
    torch.save(train(place, processes, int(sys.argv[4])), Path(sys.argv[3], f"rank{place}.pt"))
    torch.distributed.destroy_process_group()
