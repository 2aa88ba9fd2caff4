"""Windows, joint denoising, guidance, determinism."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from xdancer.errors import XDancerError
from xdancer.types import PoseBatch, VideoBatch
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.noise import make_scheduler
from xdancer.video_diffusion.sampling import render_video, stream_latents, window_starts


@pytest.mark.parametrize("frames", [1, 15, 16, 17, 28, 40, 133])
@pytest.mark.parametrize("offset", [0, 5, 11])
def test_windows_cover_every_frame_and_never_wrap(frames: int, offset: int) -> None:
    windows = window_starts(frames, window=16, overlap=4, offset=offset)
    assert set().union(*(range(*window) for window in windows)) == set(range(frames))
    assert all(0 <= start < stop <= frames and stop - start == min(16, frames) for start, stop in windows)
    assert all(before[1] - after[0] >= 4 for before, after in pairwise(windows))


def render(model: VideoDiffusion, batch: VideoBatch, codes: torch.Tensor, **arguments: Any) -> torch.Tensor:
    pose = PoseBatch(
        batch.reference_pose.keypoints.expand(-1, codes.shape[1], -1, -1), batch.reference_pose.confidence.expand(-1, codes.shape[1], -1)
    )
    generator = torch.Generator().manual_seed(1)
    return render_video(
        model, reference=batch.reference, reference_pose=batch.reference_pose, codes=codes, pose=pose, generator=generator, **arguments
    )


def test_any_number_of_frames_and_the_same_bits_for_the_same_seed(helped: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    model = VideoDiffusion(replace(helped, temporal=True)).eval()
    batch, codes = make_batch(helped), torch.randn(2, 21, 30)
    video = render(model, batch, codes)
    assert video.shape == (2, 21, 3, 64, 32)
    assert video.abs().max() <= 1
    assert torch.equal(video, render(model, batch, codes))
    assert render(model, batch, codes[:, :1], steps=1).shape == (2, 1, 3, 64, 32)


def test_portrait_is_encoded_once_and_guidance_costs_one_more_branch(
    tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = VideoDiffusion(tiny).eval()
    calls = {"portrait": 0, "unet": 0}
    for name, module in (("portrait", model.reference_net), ("unet", model.unet)):
        module.register_forward_hook(lambda *_, name=name: calls.__setitem__(name, calls[name] + 1))
    render(model, make_batch(tiny), torch.randn(2, 16, 30), steps=3)
    assert calls == {"portrait": 1, "unet": 3}
    render(model, make_batch(tiny), torch.randn(2, 16, 30), steps=3, guidance=2.0)
    assert calls == {"portrait": 2, "unet": 9}


@pytest.mark.parametrize(("temporal", "rendered"), [(False, 2), (True, 16)])
def test_without_temporal_modules_only_the_wanted_frames_are_rendered(
    temporal: bool, rendered: int, tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]
) -> None:
    model, batch = VideoDiffusion(replace(tiny, temporal=temporal)).eval(), make_batch(tiny)
    pictures = []
    model.unet.register_forward_hook(lambda _, inputs, __: pictures.append(inputs[0].shape[2] if temporal else len(inputs[0]) // 2))
    index = torch.tensor([[3, 15], [0, 8]])
    assert render(model, batch, torch.randn(2, 16, 30), steps=1, frame_index=index).shape == (2, 2, 3, 64, 32)
    assert pictures == [rendered]


@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("frames", [16, 40])
def test_wanted_frames_are_guided_by_their_own_codes(
    frames: int, temporal: bool, helped: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that draws nothing but its base picture (the warped portrait) shows which pose every picture got."""
    model, batch = VideoDiffusion(replace(helped, temporal=temporal)).eval(), make_batch(helped, pose_frames=frames)
    monkeypatch.setattr(model, "forward", lambda *inputs: inputs[-1].base)
    given = {"reference": batch.reference, "reference_pose": batch.reference_pose, "codes": torch.randn(2, frames, 30), "pose": batch.pose}
    index = torch.tensor([[3, frames - 1], [0, 8]])
    whole, wanted = render_video(model, **given), render_video(model, **given, frame_index=index)
    torch.testing.assert_close(wanted, whole[torch.arange(2)[:, None], index], atol=1e-2, rtol=0)


@pytest.mark.parametrize("frames", [5, 16, 17, 61])
def test_streaming_is_denoising_all_frames_step_by_step(frames: int, tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    """Against the loop over steps that holds the whole clip."""
    config = replace(tiny, temporal=True)
    model, batch, codes = VideoDiffusion(config).eval(), make_batch(config), torch.randn(2, frames, 30)
    with torch.no_grad():
        for parameter in model.unet.parameters():  # motion modules start as nothing
            parameter.add_(0.05 * torch.randn_like(parameter))
    arguments = {"reference": batch.reference, "reference_pose": batch.reference_pose, "codes": codes, "steps": 3}
    parts = list(stream_latents(model, **arguments, generator=torch.Generator().manual_seed(5)))
    if frames == 61:
        assert max(part.shape[1] for part in parts) <= 16  # never the whole clip
    generator, scheduler = torch.Generator().manual_seed(5), make_scheduler(config)
    scheduler.set_timesteps(3)
    offsets = torch.randint(0, 12, (3,), generator=generator).tolist()
    latents = torch.cat([torch.randn(2, min(16, frames - start), 12, 8, 4, generator=generator) for start in range(0, frames, 16)], dim=1)
    with torch.no_grad():
        portrait = model.encode_portrait(batch.reference, batch.reference_pose)
        for timestep, offset in zip(scheduler.timesteps, offsets, strict=True):
            totals, counts = torch.zeros_like(latents), torch.zeros(1, frames, 1, 1, 1)
            for start, stop in window_starts(frames, window=16, overlap=4, offset=offset):
                motion = model.encode_motion(portrait, codes[:, start:stop], None)
                totals[:, start:stop] += model(latents[:, start:stop], timestep.expand(2), portrait, motion)
                counts[:, start:stop] += 1
            latents = scheduler.step(totals / counts, timestep, latents, eta=0.0).prev_sample
    torch.testing.assert_close(torch.cat(parts, dim=1), latents, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("guidance", [pytest.param(1.0, marks=pytest.mark.slow), 2.0])
def test_windows_that_are_predicted_together_give_the_same_pictures(
    guidance: float, helped: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]
) -> None:
    """With every help and a pose guider, one, three and all windows in a prediction."""
    config = replace(helped, temporal=True, pose_guider=True)
    model, batch, codes = VideoDiffusion(config).eval(), make_batch(config, pose_frames=61), torch.randn(2, 61, 30)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    sizes, told, made = [], [], []
    model.unet.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0]) // 2))
    for together in (1, 3, 9):
        parts = stream_latents(
            model, reference=batch.reference, reference_pose=batch.reference_pose, codes=codes, pose=batch.pose, together=together,
            guidance=guidance, generator=torch.Generator().manual_seed(5), progress=lambda *done: told.append(done),
        )  # fmt: skip
        made.append(torch.cat(list(parts), dim=1))
    assert {1, 3} < set(sizes)
    assert max(sizes) >= 5
    assert all(done == total for done, total in told[-1:])
    torch.testing.assert_close(made[1], made[0], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(made[2], made[0], atol=1e-4, rtol=1e-3)


def test_guidance_weighs_the_branches(tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    model, batch, codes = VideoDiffusion(tiny).eval(), make_batch(tiny), torch.randn(2, 4, 30)
    plain, guided, none = (render(model, batch, codes, steps=1, guidance=scale) for scale in (1.0, 3.0, 0.0))
    inside = (guided.abs() < 1) & (plain.abs() < 1) & (none.abs() < 1)
    torch.testing.assert_close(guided[inside], (none + 3 * (plain - none))[inside], atol=1e-4, rtol=0)


def test_a_perfect_network_gives_the_truth(
    tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(tiny, prediction="sample", latent_channels=192)
    model, batch = VideoDiffusion(config).eval(), make_batch(tiny, frames=16)
    truth = model.image_space.encode(batch.frames.flatten(0, 1)).unflatten(0, (2, 16))
    monkeypatch.setattr(model, "forward", lambda *_: truth)
    torch.testing.assert_close(render(model, batch, torch.randn(2, 16, 30), steps=4), batch.frames, atol=1e-4, rtol=0)


def test_wrong_sizes_are_named(tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    model, batch = VideoDiffusion(tiny), make_batch(tiny)
    with pytest.raises(XDancerError, match=r"codes are 31 wide, this renderer reads 30"):
        render(model, batch, torch.randn(2, 4, 31))
    with pytest.raises(XDancerError, match=r"portrait is 32×32"):
        render_video(model, reference=batch.reference[:, :, :32], reference_pose=batch.reference_pose, codes=torch.randn(2, 4, 30))
    with pytest.raises(XDancerError, match=r"steps 0"):
        render(model, batch, torch.randn(2, 4, 30), steps=0)
    helped = VideoDiffusion(replace(tiny, limb_warp=True))
    with pytest.raises(XDancerError, match=r"needs keypoints"):
        render_video(helped, reference=batch.reference, reference_pose=batch.reference_pose, codes=torch.randn(2, 4, 30))
