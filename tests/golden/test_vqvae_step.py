"""Three training steps of stage 1 give the stored numbers.

Made with torch 2.13 on x86-64 by running this file's `steps()`; the tolerance covers other BLAS builds. New numbers are a reviewed commit that
says what changed the training.
"""

import pytest
import torch

from xdancer.types import PoseBatch
from xdancer.vqvae.loss import vqvae_loss
from xdancer.vqvae.model import VQVAE, VQVAEConfig

GOLDEN = {"loss": [8.63792, 8.48885, 8.36394], "gradient": [3.54796, 3.04344, 2.74959]}


def steps() -> dict[str, list[float]]:
    """Loss and gradient norm of three steps on fixed poses."""
    torch.manual_seed(0)
    model = VQVAE(VQVAEConfig(slots=2, codes=16, encoder_width=8, encoder_depth=1, decoder_width=32, decoder_depth=1)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    axis = torch.linspace(0, 6, 32 * 60 * 2).reshape(32, 1, 60, 2)
    pose = PoseBatch(axis.sin() * 0.7, axis.cos().mean(-1).abs())
    found: dict[str, list[float]] = {"loss": [], "gradient": []}
    for _ in range(3):
        optimizer.zero_grad()
        loss = vqvae_loss(model(pose), target=pose, config=model.config).total
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found["loss"].append(float(loss.detach()))
        found["gradient"].append(float(norm))
    return found


def test_three_steps() -> None:
    found = steps()
    for name, expected in GOLDEN.items():
        assert found[name] == pytest.approx(expected, rel=2e-3), found
