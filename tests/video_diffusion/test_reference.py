"""ReferenceNet's features enter the renderer's self-attention, and nothing else changes."""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from xdancer.planning.watch import StepWatch
from xdancer.types import PoseBatch, VideoBatch
from xdancer.video_diffusion.loss import diffusion_loss
from xdancer.video_diffusion.model import Portrait, VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.reference import ZERO_KEYS, ReferenceNet, install_processors
from xdancer.video_diffusion.sampling import render_video
from xdancer.video_diffusion.unet import build_unet2d


def test_without_portrait_attention_is_that_of_diffusers(tiny: VideoDiffusionConfig) -> None:
    unet = build_unet2d(tiny, in_channels=4, out_channels=4)
    sample, embedding = torch.randn(2, 4, 8, 4), torch.randn(2, 3, tiny.cross_attention_dim)
    unet.set_attn_processor(AttnProcessor2_0())
    expected = unet(sample, 5, embedding).sample
    install_processors(unet, write=False)
    torch.testing.assert_close(unet(sample, 5, embedding).sample, expected)


def test_reader_attends_to_own_and_portrait_positions(tiny: VideoDiffusionConfig) -> None:
    unet = build_unet2d(tiny, in_channels=4, out_channels=4)
    names = install_processors(unet, write=False)
    attention = unet.get_submodule(names[0].removesuffix(".processor"))
    own, portrait = torch.randn(4, 6, attention.query_dim), torch.randn(2, 5, attention.query_dim)
    result = attention(own, reference={names[0]: portrait})
    attention.set_processor(AttnProcessor2_0())
    expected = attention(own, encoder_hidden_states=torch.cat([own, portrait.repeat_interleave(2, 0)], dim=1))
    torch.testing.assert_close(result, expected)


def test_features_per_spatial_attention(tiny: VideoDiffusionConfig) -> None:
    net = ReferenceNet(build_unet2d(tiny, in_channels=4, out_channels=4))
    features = net(torch.randn(3, 4, 8, 4), torch.randn(3, 1, tiny.cross_attention_dim))
    assert set(features) == set(net.names)
    assert len(net.names) == 2 + 1 + 4  # down, middle, up: one attention per layer
    assert {len(value) for value in features.values()} == {3}


def test_every_trained_parameter_gets_a_gradient(
    helped: VideoDiffusionConfig, tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]
) -> None:
    """Else DDP raises."""
    for config in (
        tiny,
        replace(helped, heatmap_weight=0.0),
        replace(tiny, temporal=True),
        replace(tiny, motion_decoder=False, pose_guider=True),
    ):
        model = VideoDiffusion(config)
        batch = make_batch(config)
        portrait = model.encode_portrait(batch.reference, batch.reference_pose)
        motion = model.encode_motion(portrait, torch.randn(2, 16, 30), batch.pose, frame_index=batch.frame_index)
        diffusion_loss(model, portrait, motion, batch.frames).total.backward()
        assert [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None] == []
        assert any(not parameter.requires_grad for parameter in model.reference_net.parameters())


def test_checkpointed_gradients_are_the_same(tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    plain = VideoDiffusion(replace(tiny, temporal=True))
    thrifty = VideoDiffusion(replace(tiny, temporal=True, gradient_checkpointing=True))
    thrifty.load_state_dict(plain.state_dict())
    batch, codes = make_batch(tiny, frames=3), torch.randn(2, 3, 30)
    thrifty = copy.deepcopy(thrifty)  # as weight averaging does
    kept: list[int] = []
    for model in (plain, thrifty):
        kept.append(0)

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[-1] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            portrait = model.train().encode_portrait(batch.reference, batch.reference_pose)
            output = model(torch.ones(2, 3, 12, 8, 4), torch.tensor([7, 7]), portrait, model.encode_motion(portrait, codes, None))
        output.square().sum().backward()
    assert kept[1] < 0.35 * kept[0]
    pairs = zip(plain.named_parameters(), thrifty.named_parameters(), strict=True)
    assert all((a.grad is None and b.grad is None) or torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-4) for (_, a), (_, b) in pairs)


@torch.no_grad()
def test_an_absent_reference_is_not_read(tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    """A dropped item attends to its own positions alone, in a batch with others and in guidance; zeros would take part of the attention."""
    config = replace(tiny, dropped_reference="absent")
    model, batch = VideoDiffusion(config).eval(), make_batch(config)
    noisy, steps, codes = torch.randn(2, 2, 12, 8, 4), torch.tensor([7, 300]), torch.randn(2, 2, 30)

    def predict(portrait: Portrait) -> torch.Tensor:
        return model(noisy, steps, portrait, model.encode_motion(portrait, codes, None))

    whole = model.encode_portrait(batch.reference, batch.reference_pose)
    mixed = model.encode_portrait(batch.reference, batch.reference_pose, keep=torch.tensor([1.0, 0.0]))
    kept, dropped, some = predict(whole), predict(model.drop(whole)), predict(mixed)
    torch.testing.assert_close(some, torch.stack([kept[0], dropped[1]]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(kept, dropped, atol=1e-4)
    zeros = VideoDiffusion(tiny).eval()
    zeros.load_state_dict(model.state_dict())
    blank = zeros.encode_portrait(batch.reference, batch.reference_pose, keep=torch.zeros(2))
    assert not torch.allclose(zeros(noisy, steps, blank, zeros.encode_motion(blank, codes, None)), dropped, atol=1e-5)


@torch.no_grad()
def test_guidance_reads_no_zeros_one_by_one(tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    """The unconditional branch equals attention over a portrait of zeros, without that many keys."""
    model, batch = VideoDiffusion(tiny).eval(), make_batch(tiny)
    noisy, steps, codes = torch.randn(2, 2, 12, 8, 4), torch.tensor([7, 300]), torch.randn(2, 2, 30)
    predictions, multiplied = list[torch.Tensor](), list[int]()
    whole = model.encode_portrait(batch.reference, batch.reference_pose)
    for portrait in (model.drop(whole), model.encode_portrait(batch.reference, batch.reference_pose, keep=torch.zeros(2))):
        motion = model.encode_motion(portrait, codes, None)
        with StepWatch() as watch:
            predictions.append(model(noisy, steps, portrait, motion))
        multiplied.append(watch.flops)
    torch.testing.assert_close(*predictions, rtol=1e-4, atol=1e-5)
    saved = 0
    for name, value in whole.features.items():
        attention, rows = model.unet.get_submodule(name.removesuffix(".processor")), value.shape[1]
        saved += 2 * 2 * value.numel() * attention.inner_dim  # keys and values of both portraits
        saved += 2 * 2 * 4 * rows * (rows - ZERO_KEYS) * attention.inner_dim  # what four pictures do with them
    assert multiplied[1] - multiplied[0] == saved


def test_portraits_do_not_mix(tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    model = VideoDiffusion(tiny).eval()
    batch = make_batch(tiny, frames=3)
    codes, noisy, timesteps = torch.randn(2, 3, 30), torch.randn(2, 3, 12, 8, 4), torch.tensor([7, 7])

    def predict(rows: slice) -> torch.Tensor:
        pose = PoseBatch(batch.reference_pose.keypoints[rows], batch.reference_pose.confidence[rows])
        portrait = model.encode_portrait(batch.reference[rows], pose)
        return model(noisy[rows], timesteps[rows], portrait, model.encode_motion(portrait, codes[rows], None))

    both, second = predict(slice(0, 2)), predict(slice(1, 2))
    torch.testing.assert_close(both[1:], second, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(both[0], both[1])


def test_without_reference_net_the_portrait_reaches_nothing_but_the_helps(
    tiny: VideoDiffusionConfig, helped: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]
) -> None:
    for config, seen in ((tiny, False), (helped, True)):
        model, batch = VideoDiffusion(replace(config, reference_net=False)).eval(), make_batch(config)
        assert not any(name.startswith("reference_net") for name, _ in model.named_parameters())
        with torch.no_grad():
            for parameter in model.unet.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
            pictures = [
                render_video(
                    model, reference=reference, reference_pose=batch.reference_pose, codes=torch.ones(2, 2, 30),
                    pose=batch.pose.frames(slice(0, 2)), generator=torch.Generator().manual_seed(0),
                )
                for reference in (batch.reference, -batch.reference)
            ]  # fmt: skip
        assert torch.equal(*pictures) != seen
