"""The grid of codes: what PyPI's FSQ says, behind the interface of a codebook."""

from pathlib import Path

import pytest
import torch

from xdancer.checkpoint import fingerprint, load_model, save_model
from xdancer.errors import MissingPackageError
from xdancer.types import PoseBatch
from xdancer.vqvae import fsq
from xdancer.vqvae.fsq import FiniteScalarCodebook
from xdancer.vqvae.loss import vqvae_loss
from xdancer.vqvae.model import VQVAE, VQVAEConfig

pytest.importorskip("vector_quantize_pytorch")
CONFIG = VQVAEConfig(
    slots=2, codes=125, code_width=3, beta=0.0, fsq_levels=(5, 5, 5), encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1
)


def test_every_code_is_its_own_and_quantises_to_itself() -> None:
    grid = FiniteScalarCodebook((8, 5, 4))
    ids = torch.arange(160).reshape(20, 4, 2)
    vectors = grid.lookup(ids)
    assert len(vectors.reshape(-1, 3).unique(dim=0)) == 160
    assert vectors.abs().max() <= 1
    quantized = grid(torch.randn(20, 4, 2, 3) * 2)
    assert torch.equal(grid.lookup(quantized.ids), quantized.z_q)
    torch.testing.assert_close(quantized.straight_through, quantized.z_q)
    assert 0 <= int(quantized.ids.min()) <= int(quantized.ids.max()) < 160


def test_nothing_is_followed_and_the_gradient_passes_the_rounding() -> None:
    grid = FiniteScalarCodebook((8, 8, 8)).train()
    latents = torch.randn(6, 5, 2, 3, requires_grad=True)
    grid(latents).straight_through.sum().backward()
    assert latents.grad is not None
    assert latents.grad.gt(0).all()
    assert not grid.state_dict()


def test_a_tokenizer_with_a_grid_trains_and_is_handed_over(tmp_path: Path) -> None:
    model = VQVAE(CONFIG).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    pose = PoseBatch(torch.randn(32, 1, 60, 2), torch.rand(32, 1, 60))
    losses = []
    for _ in range(20):
        loss = vqvae_loss(model(pose), target=pose, config=CONFIG)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(float(loss.total.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert loss.total.equal(loss.reconstruction)
    save_model(model.eval(), tmp_path / "vqvae")
    again = load_model(tmp_path / "vqvae", VQVAE)
    assert again.config == CONFIG
    assert fingerprint(again) == fingerprint(model)
    assert torch.equal(again.encode(pose).ids, model.encode(pose).ids)
    assert torch.equal(again.codes(again.encode(pose)), model(pose).quantized.z_q.flatten(1)[:, None])


def test_a_missing_package_is_an_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsq, "REQUIREMENT", False)
    with pytest.raises(MissingPackageError, match=r"fsq_levels \(5, 5, 5\) .* pip install 'xdancer\[fsq\]'"):
        VQVAE(CONFIG)
