"""Temporal modules start as identity: a video begins as its pictures."""

from collections.abc import Callable
from dataclasses import replace

import torch

from xdancer.types import VideoBatch
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.unet import MOTION_MODULES


def test_video_equals_pictures_at_the_start(helped: VideoDiffusionConfig, make_batch: Callable[..., VideoBatch]) -> None:
    image, video = VideoDiffusion(helped).eval(), VideoDiffusion(replace(helped, temporal=True)).eval()
    missing = video.load_state_dict(image.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all(MOTION_MODULES in name for name in missing.missing_keys)
    batch = make_batch(helped, frames=4)
    codes, noisy, timesteps = torch.randn(2, 4, 30), torch.randn(2, 4, 12, 8, 4), torch.tensor([5, 999])
    results = []
    for model in (image, video):
        portrait = model.encode_portrait(batch.reference, batch.reference_pose)
        results.append(model(noisy, timesteps, portrait, model.encode_motion(portrait, codes, batch.pose.frames(slice(0, 4)))))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)
