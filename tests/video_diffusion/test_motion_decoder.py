"""The motion decoder fits the UNet's skips, starts silent, and reads its whole window."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from xdancer.types import VideoBatch
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.motion_decoder import skip_channels


def test_skips_of_stable_diffusion() -> None:
    expected = [(0, 320)] * 3 + [(1, 320), (1, 640), (1, 640), (2, 640), (2, 1280), (2, 1280), (3, 1280), (3, 1280), (3, 1280)]
    assert skip_channels((320, 640, 1280, 1280), 2) == expected


@pytest.mark.parametrize("guide", ["motion_decoder", "pose_guider"])
def test_unet_is_unchanged_at_the_start(guide: str, tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    config = replace(tiny, motion_decoder=guide == "motion_decoder", pose_guider=guide == "pose_guider")
    model = VideoDiffusion(config).eval()
    batch = make_batch(config, frames=3)
    portrait = model.encode_portrait(batch.reference, batch.reference_pose)
    motion = model.encode_motion(portrait, torch.randn(2, 3, 30), batch.pose.frames(slice(0, 3)))
    noisy, timesteps = torch.randn(2, 3, 12, 8, 4), torch.tensor([3, 900])
    guided = model(noisy, timesteps, portrait, motion)
    plain = model(noisy, timesteps, portrait, replace(motion, decoder=None, guider=None))
    assert torch.equal(guided, plain)


def test_a_frame_reads_the_whole_window(tiny: VideoDiffusionConfig) -> None:
    decoder = VideoDiffusion(tiny).motion_decoder
    assert decoder is not None
    codes = torch.randn(1, 16, 30, requires_grad=True)
    (decoder.style(codes)[:, 3] * torch.randn(tiny.motion_width)).sum().backward()
    assert codes.grad is not None
    assert (codes.grad.abs().amax(-1) > 0).all()


def test_every_picture_of_a_long_clip_has_its_own_window(tiny: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    model = VideoDiffusion(tiny).eval()
    batch = make_batch(tiny)
    portrait = model.encode_portrait(batch.reference, batch.reference_pose)
    codes = torch.randn(2, 40, 30)
    index = torch.tensor([[0, 25], [39, 10]])
    motion = model.encode_motion(portrait, codes, None, frame_index=index).decoder
    window = model.encode_motion(portrait, codes[:, 17:33], None, frame_index=torch.tensor([[8], [8]])).decoder
    assert motion is not None
    assert window is not None
    torch.testing.assert_close(motion.finest[1], window.finest[0])
