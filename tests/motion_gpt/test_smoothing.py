"""Smoothing takes the tremble and leaves the movement."""

from collections.abc import Iterator

import pytest
import torch

from xdancer.motion_gpt.smoothing import smooth_pose, smooth_stream
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


@pytest.mark.parametrize("frames", [1, 2, 5, 12])
@pytest.mark.parametrize("sigma", [0.0, 1.0, 1.4])
def test_a_stream_is_smoothed_as_the_whole_dance(frames: int, sigma: float) -> None:
    pose = PoseBatch(torch.randn(2, frames, 60, 2), torch.rand(2, frames, 60))
    single = list(smooth_stream((pose.frames(slice(frame, frame + 1)) for frame in range(frames)), sigma))
    whole = smooth_pose(pose, sigma)
    torch.testing.assert_close(torch.cat([one.keypoints for one in single], dim=1), whole.keypoints)
    assert torch.equal(torch.cat([one.confidence for one in single], dim=1), whole.confidence)


def test_a_stream_waits_only_for_the_frames_that_it_needs() -> None:
    asked: list[int] = []

    def poses() -> Iterator[PoseBatch]:
        for frame in range(100):
            asked.append(frame)
            yield PoseBatch(torch.zeros(1, 1, 60, 2), torch.ones(1, 1, 60))

    next(smooth_stream(poses(), 1.0))
    assert asked == [0, 1, 2, 3]
