"""Smoothing takes the tremble and leaves the movement."""

import torch

from xdancer.motion_gpt.smoothing import smooth_pose
from xdancer.types import PoseBatch


def batch(tracks: torch.Tensor) -> PoseBatch:
    return PoseBatch(tracks[None, :, None, None].expand(1, -1, 60, 2).contiguous(), torch.rand(1, len(tracks), 60))


def test_straight_movement_and_stillness_are_kept() -> None:
    line = batch(torch.linspace(-1, 1, 30))
    smooth = smooth_pose(line, 1.0)
    torch.testing.assert_close(smooth.keypoints[:, 4:-4], line.keypoints[:, 4:-4])
    assert smooth.confidence is line.confidence


def test_tremble_of_single_frames_goes() -> None:
    tremble = batch(torch.tensor([0.0, 1.0]).repeat(20))
    assert (smooth_pose(tremble, 1.0).keypoints.diff(dim=1)[:, 4:-4].abs() < 0.02).all()


def test_zero_is_the_same_pose() -> None:
    pose = batch(torch.rand(8))
    assert smooth_pose(pose, 0.0) is pose
