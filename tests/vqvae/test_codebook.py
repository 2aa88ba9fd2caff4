"""Nearest codes, moving averages, revival, and the same codebook on every rank."""

import torch

from xdancer.metrics.codebook import perplexity
from xdancer.vqvae.codebook import Codebook


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
        torch.manual_seed(4)  # revival draws candidates
        codebook(batch)
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


def test_dead_codes_come_back() -> None:
    def use(revival_share: float) -> float:
        torch.manual_seed(0)
        codebook = make(codes=64, revival_share=revival_share).train()
        codebook.initialised.fill_(True)
        codebook.vectors.add_(5.0)  # far from all latents: without revival one code takes everything
        codebook.sums.copy_(codebook.vectors)
        for _ in range(60):
            codebook(torch.randn(256, 3, 1, 4))
        ids = codebook.eval()(torch.randn(4096, 3, 1, 4)).ids
        return float(perplexity(torch.stack([torch.bincount(ids[:, part].flatten(), minlength=64) for part in range(3)]).double()).min())

    assert use(0.0) < 10
    assert use(0.3) > 40


def test_ranks_that_share_sums_hold_the_codebook_of_one_process() -> None:
    """Two codebooks fed halves of a batch, with sums over both, follow the codebook that is fed the whole batch."""
    generator = torch.Generator().manual_seed(5)
    whole = make(revival_share=0.0).train()
    halves = [make(revival_share=0.0).train() for _ in range(2)]
    for codebook in (whole, *halves):
        codebook.load_state_dict(whole.state_dict())
        codebook.initialised.fill_(True)
    for _ in range(5):
        batch = torch.randn(64, 3, 2, 4, generator=generator)
        sums: list[torch.Tensor] = []
        for codebook, part in zip(halves, batch.chunk(2), strict=True):  # first pass collects what each rank would send
            state = {name: value.clone() for name, value in codebook.state_dict().items()}
            codebook.reduce_sum = lambda value, sums=sums: sums.append(value.clone()) or value
            codebook(part)
            codebook.load_state_dict(state)
        total = torch.stack(sums).sum(0)
        for codebook, part in zip(halves, batch.chunk(2), strict=True):
            codebook.reduce_sum = lambda value, total=total: total.clone()
            codebook(part)
        whole(batch)
        for codebook in halves:
            torch.testing.assert_close(codebook.vectors, whole.vectors, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(codebook.vectors, halves[0].vectors, atol=0, rtol=0)


def test_revival_takes_what_the_first_rank_broadcasts() -> None:
    torch.manual_seed(0)
    one, two = make().train(), make().train()
    two.load_state_dict(one.state_dict())
    sent: list[torch.Tensor] = []
    one.broadcast = lambda value: sent.append(value.clone()) or value
    two.broadcast = lambda value: sent.pop(0)
    for _ in range(5):
        batch = torch.randn(64, 3, 1, 4)
        one(batch)
        torch.randn(7)  # the other rank's generator is elsewhere
        two(batch)
        assert torch.equal(one.vectors, two.vectors)
