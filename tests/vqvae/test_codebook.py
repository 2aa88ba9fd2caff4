"""Nearest codes, moving averages, revival, and the same codebook on every rank."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from xdancer.metrics.codebook import perplexity
from xdancer.vqvae.codebook import Codebook, Ranks

SUPPORT = Path(__file__).resolve().parents[1] / "support"
STEPS = 12


def make(*, codes: int = 16, decay: float = 0.9, revival_share: float = 0.3) -> Codebook:
    return Codebook(parts=3, codes=codes, width=4, decay=decay, revival_share=revival_share)


def test_nearest_is_the_nearest_by_brute_force() -> None:
    codebook, latents = make(), torch.randn(10, 3, 2, 4)
    distance = (latents[:, :, :, None] - codebook.vectors[None, :, None]).norm(dim=-1)
    assert torch.equal(codebook.nearest(latents), distance.argmin(-1))


def test_a_code_quantises_to_itself_and_the_gradient_passes() -> None:
    codebook = make().eval()
    ids = torch.randint(16, (5, 3, 2))
    latents = codebook.lookup(ids).requires_grad_()
    quantized = codebook(latents)
    assert torch.equal(quantized.ids, ids)
    torch.testing.assert_close(quantized.straight_through, latents)
    (gradient,) = torch.autograd.grad(quantized.straight_through.sum(), latents)
    assert gradient.eq(1).all()


def test_evaluation_changes_nothing() -> None:
    codebook = make().eval()
    before = {name: value.clone() for name, value in codebook.state_dict().items()}
    codebook(torch.randn(8, 3, 1, 4))
    assert all(torch.equal(value, before[name]) for name, value in codebook.state_dict().items())


def test_all_state_travels_in_the_state_dict() -> None:
    torch.manual_seed(3)
    one, two = make().train(), make().train()
    one(torch.randn(32, 3, 1, 4))
    two.load_state_dict(one.state_dict())
    batch = torch.randn(32, 3, 1, 4)
    for codebook in (one, two):
        codebook(batch)
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


def test_dead_codes_come_back() -> None:
    def use(revival_share: float) -> float:
        torch.manual_seed(0)
        codebook = make(codes=64, revival_share=revival_share).train()
        codebook.steps.fill_(1)
        codebook.vectors.add_(5.0)  # far from all latents: without revival one code takes everything
        codebook.sums.copy_(codebook.vectors)
        for _ in range(60):
            codebook(torch.randn(256, 3, 1, 4))
        ids = codebook.eval()(torch.randn(4096, 3, 1, 4)).ids
        return float(perplexity(torch.stack([torch.bincount(ids[:, part].flatten(), minlength=64) for part in range(3)]).double()).min())

    assert use(0.0) < 10
    assert use(0.3) > 40


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What two gloo processes found, half of every batch each."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, SUPPORT / "codebook_ranks.py", str(rank), "2", folder, str(STEPS)], env=environment)
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=240) for process in processes] == [0, 0]
    finally:
        for process in processes:  # one that died leaves the other waiting in an exchange
            process.kill()
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
def test_two_processes_hold_the_codebook_of_one(two_processes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Start, moving averages and revival, with encoders that train along; and the same use of codes."""
    monkeypatch.syspath_prepend(SUPPORT)
    import codebook_ranks  # pyright: ignore[reportMissingImports]

    revived: list[int] = []
    revive = Codebook._revive

    def counting(codebook: Codebook, fresh: torch.Tensor) -> None:
        revived.append(int((codebook.counts < codebook.revival_share * codebook.counts.mean(1, keepdim=True)).sum()))
        revive(codebook, fresh)

    monkeypatch.setattr(Codebook, "_revive", counting)
    whole, usage = codebook_ranks.train(0, 1, STEPS)
    assert sum(count > 0 for count in revived) >= 3, revived
    assert not torch.equal(whole[0]["vectors"], whole[-1]["vectors"])
    for step, expected in enumerate(whole):
        first, second = (states[step] for states, _ in two_processes)
        for name, value in expected.items():
            assert torch.equal(first[name], second[name]), f"step {step}: {name} differs between the processes"
            torch.testing.assert_close(first[name], value, atol=1e-5, rtol=0, msg=lambda text, at=(step, name): f"{at}: {text}")
    for _, found in two_processes:
        for name, figure in usage.items():
            torch.testing.assert_close(found[name], figure, msg=lambda text, name=name: f"{name}: {text}")


def test_candidates_are_latents_of_the_whole_batch_whoever_holds_them() -> None:
    latents = torch.randn(6, 3, 2, 4)
    whole = make()._candidates(latents, step=7)
    rows = latents.transpose(0, 1).flatten(1, 2)
    assert (whole[:, :, None] == rows[:, None]).all(-1).any(-1).all()
    shares = []
    for rank in range(3):
        codebook = make()
        codebook.ranks = Ranks(rank, 3)
        shares.append(codebook._candidates(latents[rank::3], step=7))
    assert torch.equal(torch.stack(shares).sum(0), whole)
    assert not torch.equal(make()._candidates(latents, step=8), whole)
