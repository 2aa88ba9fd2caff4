"""The limb warp moves pixels where the limbs go."""

from collections.abc import Callable

import torch

from xdancer.pose.render import draw_skeleton
from xdancer.types import PoseBatch
from xdancer.video_diffusion.warp import LimbWarp, body_height, fill_holes, limb_ends, steadied


def picture_of(pose: PoseBatch, *, stick: int) -> torch.Tensor:
    """A skeleton of 64×64 pixels in [0, 1], for want of a person."""
    return torch.from_numpy(draw_skeleton(pose.to_array()[0], 64, 64, stick=stick)).permute(2, 0, 1)[None] / 255


def test_the_same_pose_gives_back_the_portrait(standing: Callable[..., PoseBatch]) -> None:
    pose = standing(1, 1)
    portrait = picture_of(pose, stick=1)
    warped = LimbWarp()(portrait, pose, pose)
    figure = warped.parts.sum(2) > 0.9
    inside = torch.nn.functional.interpolate(figure.float(), (64, 64)) > 0
    difference = (warped.picture[:, 0] - portrait).abs().mean(1, keepdim=True)
    assert inside.float().mean() > 0.05
    assert difference[inside].mean() < 0.02


def test_a_step_to_the_side_moves_the_person_and_uncovers_the_background(standing: Callable[..., PoseBatch]) -> None:
    pose, target = standing(1, 1), standing(1, 1, shift=0.5)
    portrait = (picture_of(pose, stick=2) > 0.1).float()
    warped = LimbWarp()(portrait, pose, target).picture[0, 0]
    assert warped[:, :, 44:52].mean() > 3 * warped[:, :, 26:38].mean()  # the person stands at column 48 and left column 32
    torch.testing.assert_close(warped[:, :, :16], portrait[0, :, :, :16])


def test_missing_keypoints_carry_no_limb(standing: Callable[..., PoseBatch]) -> None:
    pose = standing(1, 1)
    pose.confidence[:, :, 4] = 0  # right wrist
    placed = limb_ends(pose).placed[0, 0]
    assert placed.sum() == len(placed) - 2  # forearm and hand


def test_steadied_poses_keep_still_and_steady_motion(standing: Callable[..., PoseBatch]) -> None:
    pose = standing(1, 5)
    torch.testing.assert_close(steadied(pose).keypoints, pose.keypoints)
    drift = PoseBatch(pose.keypoints + torch.arange(5.0)[:, None, None] * 0.1, pose.confidence)
    torch.testing.assert_close(steadied(drift).keypoints[:, 1:-1], drift.keypoints[:, 1:-1])


def test_body_height_is_the_path_from_nose_to_ankle(standing: Callable[..., PoseBatch]) -> None:
    pose = standing(2, 1)
    assert 1.3 < float(body_height(pose)[0]) < 1.6
    half = PoseBatch(pose.keypoints / 2, pose.confidence)
    torch.testing.assert_close(body_height(half) * 2, body_height(pose))


def test_holes_take_the_surrounding_colour() -> None:
    picture = torch.full((1, 3, 32, 32), 0.4)
    keep = torch.ones(1, 1, 32, 32)
    keep[..., 8:20, 8:20] = 0
    torch.testing.assert_close(fill_holes(picture * keep, keep), picture, atol=1e-4, rtol=0)
