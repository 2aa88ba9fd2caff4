"""The baseline's skeleton picture."""

from collections.abc import Callable

import torch

from xdancer.types import PoseBatch
from xdancer.video_diffusion.pose_guider import PoseGuider, line_colours, skeleton_picture


def test_lines_lie_between_keypoints_in_their_colours(standing: Callable[..., PoseBatch]) -> None:
    pose = standing(1, 2)
    picture = skeleton_picture(pose, 128, 128)
    assert picture.shape == (1, 2, 3, 128, 128)
    knee = [round((float(value) + 1) * 64) for value in (pose.keypoints[0, 0, 8] + pose.keypoints[0, 0, 9]) / 2]  # middle of the right thigh
    torch.testing.assert_close(picture[0, 0, :, knee[1], knee[0]], line_colours()[7], atol=0.1, rtol=0)
    assert picture[0, 0, :, :5].abs().max() == 0


def test_hidden_keypoints_draw_nothing(standing: Callable[..., PoseBatch]) -> None:
    pose = standing(1, 1)
    assert skeleton_picture(PoseBatch(pose.keypoints, pose.confidence * 0), 32, 32).abs().max() == 0


def test_guider_reaches_the_latents_grid(standing: Callable[..., PoseBatch]) -> None:
    guider = PoseGuider(out_channels=8, stride=8)
    out = guider(standing(2, 3), 64, 32)
    assert out.shape == (6, 8, 8, 4)
    assert torch.equal(out, torch.zeros_like(out))
