"""Our codebook follows PyPI's vector-quantize-pytorch."""

import pytest
import torch

from xdancer.vqvae.codebook import Codebook

vector_quantize_pytorch = pytest.importorskip("vector_quantize_pytorch")


@pytest.mark.parametrize("slots", [1, 3])
def test_twenty_moving_average_steps_equal_the_oracles(slots: int) -> None:
    parts, codes, width = 2, 32, 6
    ours = Codebook(parts=parts, codes=codes, width=width, decay=0.9, revival_share=0.0).train()
    ours.steps.fill_(1)
    oracles = [
        vector_quantize_pytorch.VectorQuantize(dim=width, codebook_size=codes, decay=0.9, threshold_ema_dead_code=0, eps=1e-5).train()
        for _ in range(parts)
    ]
    for part, oracle in enumerate(oracles):
        oracle._codebook.embed.copy_(ours.vectors[part][None])
        oracle._codebook.embed_avg.copy_(ours.sums[part][None])
        oracle._codebook.cluster_size.copy_(ours.counts[part][None])
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        latents = torch.randn(64, parts, slots, width, generator=generator)
        quantized = ours(latents)
        for part, oracle in enumerate(oracles):
            z_q, ids, _ = oracle(latents[:, part])
            assert torch.equal(ids, quantized.ids[:, part])
            torch.testing.assert_close(z_q, quantized.z_q[:, part], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(oracle._codebook.embed[0], ours.vectors[part], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(oracle._codebook.cluster_size[0], ours.counts[part], atol=1e-5, rtol=1e-5)
