"""Shapes, parts and confidence of stage 1's model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from xdancer.checkpoint import config_from_dict
from xdancer.skeleton import KEYPOINT_COUNT, PART_KEYPOINTS
from xdancer.types import MotionTokens, PoseBatch
from xdancer.vqvae.loss import vqvae_loss
from xdancer.vqvae.model import VQVAE, VQVAEConfig

TINY = VQVAEConfig(slots=2, codes=32, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)


GRID = replace(TINY, fsq_levels=(4, 4, 4), codes=64, code_width=3, beta=0.0)


def poses(batch: int = 3, frames: int = 4) -> PoseBatch:
    return PoseBatch(torch.randn(batch, frames, KEYPOINT_COUNT, 2), torch.rand(batch, frames, KEYPOINT_COUNT))


def test_parts_partition_the_keypoints() -> None:
    points = [keypoint for part in TINY.part_keypoints for keypoint in part]
    assert sorted(points) == list(range(KEYPOINT_COUNT))
    assert TINY.part_keypoints == tuple(PART_KEYPOINTS.values())


def test_the_papers_sizes() -> None:
    with torch.device("meta"):
        model = VQVAE()
    assert tuple(model.codebook.vectors.shape) == (5, 512, 6)
    assert model.decoder[0].in_features == 180
    per_frame = model.config.parts * model.config.part_slots
    assert per_frame == 30
    assert per_frame * 9 == 270  # bit
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    print({**counts, "total": sum(counts.values())})
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["single_part", "fsq", "unweighted"])
def test_the_ablations_have_as_many_tokens(name: str) -> None:
    """Thirty tokens a frame out of 512 codes, each config read as it is."""
    path = Path(__file__).resolve().parents[2] / f"configs/ablations/vqvae_{name}.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["init_args"]["config"]
    config = config_from_dict(VQVAEConfig, values, source=path)
    assert config.parts * config.part_slots == 30
    assert config.codes == 512
    assert config != VQVAEConfig()


def test_the_sizes_of_a_grid_of_codes_must_fit() -> None:
    with pytest.raises(ValueError, match=r"fsq_levels \(8, 8, 8\) needs code_width 3, codes 512, beta 0.0 .* got code_width 6, beta 0.25"):
        VQVAEConfig(fsq_levels=(8, 8, 8))


@pytest.mark.parametrize("config", [TINY, replace(TINY, single_part=True), GRID])
def test_tokens_go_out_and_come_back(config: VQVAEConfig) -> None:
    model, batch = VQVAE(config).eval(), poses()
    tokens = model.encode(batch)
    assert tokens.ids.shape == (3, 4, config.parts, config.part_slots)
    assert config.parts * config.part_slots == 10  # the ablation has the same number of tokens per frame
    decoded, output = model.decode(tokens), model(batch)
    torch.testing.assert_close(decoded.keypoints, output.pose.keypoints, atol=1e-5, rtol=1e-4)
    assert torch.equal(tokens.ids, output.tokens.ids)
    assert decoded.confidence.min() >= 0
    assert decoded.confidence.max() <= 1


def test_codes_are_the_vectors_of_the_tokens_part_by_part() -> None:
    model = VQVAE(TINY)
    ids = torch.randint(32, (1, 2, 5, 2))
    codes = model.codes(MotionTokens(ids))
    assert codes.shape == (1, 2, 5 * 2 * 6)
    for part in range(5):
        for slot in range(2):
            at = (part * 2 + slot) * 6
            assert torch.equal(codes[0, 1, at : at + 6], model.codebook.vectors[part, ids[0, 1, part, slot]])


def test_a_part_reads_its_own_keypoints_and_confidence_only() -> None:
    model, batch = VQVAE(TINY).eval(), poses(1, 1)
    latents = model._latents(batch)
    for part, points in enumerate(TINY.part_keypoints):
        for changed in (
            PoseBatch(batch.keypoints.index_add(2, torch.tensor(points), torch.ones(1, 1, len(points), 2)), batch.confidence),
            PoseBatch(batch.keypoints, 1 - batch.confidence),
        ):
            moved = (model._latents(changed) - latents).abs().amax((0, 2, 3)) > 1e-6
            expected = [index == part for index in range(5)] if changed.confidence is batch.confidence else [True] * 5
            assert moved.tolist() == expected


def test_every_frame_stands_alone() -> None:
    model, batch = VQVAE(TINY).eval(), poses(1, 4)
    assert torch.equal(model.encode(batch).ids[:, 2:3], model.encode(batch.frames(slice(2, 3))).ids)


def test_the_rows_of_the_head_are_the_keypoints() -> None:
    model = VQVAE(TINY)
    torch.nn.init.zeros_(model.heads.weight)
    with torch.no_grad():
        model.heads.bias.copy_(torch.tensor([[float(p), -float(p), 0.0] for p in range(KEYPOINT_COUNT)]).flatten())
    decoded = model.decode(MotionTokens(torch.zeros(1, 1, 5, 2, dtype=torch.long)))
    assert decoded.keypoints[0, 0, :, 0].tolist() == [float(p) for p in range(KEYPOINT_COUNT)]
    assert decoded.keypoints[0, 0, :, 1].tolist() == [-float(p) for p in range(KEYPOINT_COUNT)]


@pytest.mark.parametrize("config", [TINY, GRID])
def test_a_loss_behind_the_codes_trains_the_encoder(config: VQVAEConfig) -> None:
    """Straight through: of the decoder's poses, and of the codes that stage 3 reads."""
    model, batch = VQVAE(config).train(), poses(8, 1)
    output = model(batch)
    torch.testing.assert_close(output.quantized.straight_through.detach(), output.quantized.z_q, atol=1e-6, rtol=0)
    downstream = torch.nn.Linear(model.codes(output.tokens).shape[-1], 1)
    for loss in (output.pose.keypoints.square().mean(), downstream(output.quantized.straight_through.flatten(1)).square().mean()):
        gradients = torch.autograd.grad(loss, list(model.encoder.parameters()), retain_graph=True)
        assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients)


def test_the_gradient_of_the_codes_is_that_of_the_latents() -> None:
    model, batch = VQVAE(TINY).train(), poses(8, 1)
    output = model(batch)
    direction = torch.randn_like(output.quantized.z_e)
    through, direct = (
        torch.autograd.grad((value * direction).sum(), list(model.encoder.parameters()), retain_graph=True)
        for value in (output.quantized.straight_through, output.quantized.z_e)
    )
    for one, other in zip(through, direct, strict=True):
        torch.testing.assert_close(one, other)


def test_tokens_and_poses_do_not_depend_on_the_precision_around() -> None:
    model, batch = VQVAE(TINY).eval(), poses(8, 16)
    ids, target = model.encode(batch).ids, model.decode(model.encode(batch))
    with torch.autocast("cpu", torch.bfloat16):
        tokens, output = model.encode(batch), model(batch)
        decoded, of_half = model.decode(tokens), model.decode_codes(model.codes(tokens).bfloat16())
    for found in (tokens, output.tokens):
        assert torch.equal(found.ids, ids)
    for pose in (decoded, of_half, output.pose):
        assert pose.keypoints.dtype == pose.confidence.dtype == torch.float32
    assert torch.equal(decoded.keypoints, target.keypoints)
    assert torch.equal(decoded.confidence, target.confidence)


def test_training_follows_the_precision_around() -> None:
    model, batch = VQVAE(TINY).train(), poses()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch)
        loss = vqvae_loss(output, target=batch, config=TINY).total
    assert output.quantized.z_e.dtype == torch.bfloat16
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
