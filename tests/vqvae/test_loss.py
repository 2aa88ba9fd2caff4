"""The losses of stage 1 against their formula."""

from dataclasses import replace

import torch

from xdancer.types import PoseBatch
from xdancer.vqvae.loss import pose_error, vqvae_loss
from xdancer.vqvae.model import VQVAE, VQVAEConfig

CONFIG = VQVAEConfig(slots=2, codes=32, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)


def poses() -> PoseBatch:
    return PoseBatch(torch.randn(3, 1, 60, 2), torch.rand(3, 1, 60))


def test_total_is_the_sum_over_parts_of_lengths() -> None:
    model, batch = VQVAE(CONFIG).eval(), poses()
    output = model(batch)
    loss = vqvae_loss(output, target=batch, config=CONFIG)
    weight = CONFIG.invisible_weight + (1 - CONFIG.invisible_weight) * batch.confidence
    expected = 0.0
    for points in map(list, CONFIG.part_keypoints):
        place = (weight[..., points, None] * (output.pose.keypoints - batch.keypoints)[:, :, points].square()).sum((2, 3))
        confidence = CONFIG.confidence_weight * (output.pose.confidence - batch.confidence)[..., points].square().sum(2)
        expected = expected + (place + confidence).sqrt().mean()
    torch.testing.assert_close(loss.reconstruction, expected)
    latents = output.quantized
    torch.testing.assert_close(loss.commitment, (latents.z_e - latents.z_q).flatten(2).norm(dim=-1).sum(1).mean())
    torch.testing.assert_close(loss.total, loss.reconstruction + 0.25 * loss.commitment)


def test_the_commitment_moves_the_encoder_and_never_the_codebook() -> None:
    model = VQVAE(CONFIG).eval()
    loss = vqvae_loss(model(poses()), target=poses(), config=CONFIG)
    loss.commitment.backward()
    assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.encoder.parameters())
    assert all(parameter.grad is None or parameter.grad.eq(0).all() for parameter in model.decoder.parameters())
    assert not model.codebook.vectors.requires_grad


def test_a_missing_keypoint_counts_little_and_a_perfect_pose_nothing() -> None:
    target = PoseBatch(torch.zeros(1, 1, 60, 2), torch.ones(1, 1, 60).index_fill(2, torch.tensor([4]), 0.0))
    moved = PoseBatch(torch.ones(1, 1, 60, 2), target.confidence)
    error = pose_error(moved, target, CONFIG).norm(dim=-1)[0, 0]
    torch.testing.assert_close(error[4] / error[5], torch.tensor(CONFIG.invisible_weight**0.5))
    assert pose_error(target, target, CONFIG).eq(0).all()


def test_positions_may_count_alike_whatever_their_confidence() -> None:
    target = PoseBatch(torch.zeros(1, 1, 60, 2), torch.rand(1, 1, 60))
    moved = PoseBatch(torch.ones(1, 1, 60, 2), target.confidence)
    error = pose_error(moved, target, replace(CONFIG, confidence_weighted=False))
    assert error[..., :2].eq(1).all()
    assert pose_error(moved, target, CONFIG)[..., :2].lt(1).all()


def test_gradient_is_finite_at_a_perfect_reconstruction() -> None:
    batch = poses()
    predicted = PoseBatch(batch.keypoints.clone().requires_grad_(), batch.confidence)
    output = VQVAE(CONFIG).eval()(batch)
    output = type(output)(pose=predicted, tokens=output.tokens, quantized=output.quantized)
    vqvae_loss(output, target=batch, config=CONFIG).reconstruction.backward()
    assert predicted.keypoints.grad is not None
    assert predicted.keypoints.grad.isfinite().all()
