"""The baseline's skeleton pictures and its small network."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from xdancer.pose.render import draw_skeleton
from xdancer.types import PoseBatch
from xdancer.video_diffusion.pose_guider import PoseGuider, skeleton_pictures


def test_pictures_are_dwposes(standing: Callable[..., PoseBatch]) -> None:
    pose = standing(2, 3, shift=0.05)
    pictures = skeleton_pictures(pose, 128, 64)
    assert pictures.shape == (2, 3, 3, 128, 64)
    expected = draw_skeleton(pose.to_array(1)[2], 128, 64)
    assert np.array_equal((pictures[1, 2] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy(), expected)
    assert expected.any()


def test_hidden_keypoints_draw_nothing(standing: Callable[..., PoseBatch]) -> None:
    pose = standing(1, 1)
    assert skeleton_pictures(PoseBatch(pose.keypoints, pose.confidence * 0), 32, 32).abs().max() == 0


@pytest.mark.parametrize(("stride", "halvings"), [(8, 3), (4, 2)])
def test_guider_reaches_the_latents_grid_and_says_nothing_at_the_start(
    stride: int, halvings: int, standing: Callable[..., PoseBatch]
) -> None:  # fmt: skip
    guider = PoseGuider(out_channels=8, stride=stride)
    out = guider(standing(2, 3), 64, 32)
    assert out.shape == (6, 8, 64 // stride, 32 // stride)
    assert torch.equal(out, torch.zeros_like(out))
    assert len(guider.blocks) == 2 * halvings
    torch.nn.init.normal_(guider.conv_out.weight)
    assert guider(standing(1, 1), 64, 32).std() > 0
    with pytest.raises(ValueError, match="16 pixels per latent cell; it can halve at most 3 times"):
        PoseGuider(out_channels=8, stride=16)


def test_the_papers_guider_has_the_names_and_sizes_that_people_have() -> None:
    shapes = {
        name: tuple(value.shape) for name, value in PoseGuider(out_channels=320, stride=8).state_dict().items() if name.endswith("weight")
    }
    assert shapes == {
        "conv_in.weight": (16, 3, 3, 3),
        "blocks.0.weight": (16, 16, 3, 3), "blocks.1.weight": (32, 16, 3, 3), "blocks.2.weight": (32, 32, 3, 3),
        "blocks.3.weight": (96, 32, 3, 3), "blocks.4.weight": (96, 96, 3, 3), "blocks.5.weight": (256, 96, 3, 3),
        "conv_out.weight": (320, 256, 3, 3),
    }  # fmt: skip
