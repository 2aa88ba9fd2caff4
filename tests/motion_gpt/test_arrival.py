"""A locked pose ahead is approached: nearer, and with a smaller jump, than by a model that does not know of it."""

import pytest
import torch

from xdancer.motion_gpt.arrival import Arrival
from xdancer.motion_gpt.editing import MotionEdit
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.rollout import generate_motion
from xdancer.types import MotionTokens, PoseBatch

FRAMES = 14


class Ladder:
    """A codec whose poses are the mean token of the upper body as height of every keypoint; the other parts' tokens are copies of it."""

    def encode(self, pose: PoseBatch) -> MotionTokens:
        level = (pose.keypoints[..., 0, 1] * 10).round().clamp(0, 10).long()
        return MotionTokens(level[..., None, None].expand(*level.shape, 3, 2).clone())

    def decode(self, tokens: MotionTokens) -> PoseBatch:
        level = tokens.ids[:, :, 0].float().mean(-1) / 10
        places = torch.stack([torch.zeros_like(level), level], dim=-1)[:, :, None].expand(*level.shape, 60, 2)
        return PoseBatch(places, torch.ones(*level.shape, 60))


def jump(ids: torch.Tensor, frame: int) -> float:
    """Distance of the poses on both sides of a border."""
    heights = Ladder().decode(MotionTokens(ids)).keypoints[..., 0, 1]
    return (heights[:, frame] - heights[:, frame - 1]).abs().mean().item()


def arrive(gpt: MotionGPT, music, edit: MotionEdit, arrival: Arrival | None) -> torch.Tensor:
    start = MotionTokens(torch.zeros(4, 1, 3, 2, dtype=torch.long))
    generator = torch.Generator().manual_seed(0)
    return generate_motion(gpt, music, start, frames=FRAMES, edit=edit, arrival=arrival, generator=generator).ids


@pytest.fixture
def last_pose() -> MotionEdit:
    return MotionEdit.end_with(MotionTokens(torch.full((1, 1, 3, 2), 10)), frames=FRAMES)


def test_candidates_come_nearer_and_warping_nearer_still(tiny_gpt: MotionGPT, make_music, last_pose: MotionEdit) -> None:
    music = make_music(FRAMES, 1)
    plain, chosen, warped = (
        arrive(tiny_gpt, music, last_pose, arrival)
        for arrival in (
            None,
            Arrival(Ladder(), candidates=6, frames=6, step=2, warp=False),
            Arrival(Ladder(), candidates=6, frames=6, step=2),
        )
    )  # fmt: skip
    for ids in (plain, chosen, warped):
        assert torch.equal(ids[:, -1:], last_pose.tokens[:, -1:].expand(4, -1, -1, -1))
        assert torch.equal(ids[:, 0], torch.zeros(4, 3, 2, dtype=torch.long))
    assert jump(plain, FRAMES - 1) > 0.3
    assert jump(chosen, FRAMES - 1) < 0.6 * jump(plain, FRAMES - 1)
    assert jump(warped, FRAMES - 1) < 0.15


def test_before_the_way_the_dance_is_the_models_own(tiny_gpt: MotionGPT, make_music, last_pose: MotionEdit) -> None:
    music = make_music(FRAMES, 1)
    plain = arrive(tiny_gpt, music, last_pose, None)
    arrived = arrive(tiny_gpt, music, last_pose, Arrival(Ladder(), candidates=3, frames=5, step=3))
    assert torch.equal(plain[:, : FRAMES - 6], arrived[:, : FRAMES - 6])
    assert not torch.equal(plain, arrived)


def test_kept_frames_are_approached_and_left(tiny_gpt: MotionGPT, make_music) -> None:
    """Two stretches in the middle, over the borders of the windows of four frames, and a locked part all the way."""
    kept = MotionTokens(torch.full((1, FRAMES, 3, 2), 9))
    head = MotionTokens(torch.randint(11, (1, FRAMES, 3, 2)))
    edit = MotionEdit.keep_frames(kept, [4, 5, 10]) | MotionEdit.lock_parts(head, ["head"])
    arrival = Arrival(Ladder(), candidates=4, frames=3, step=2)
    plain, arrived = (arrive(tiny_gpt, make_music(FRAMES, 1), edit, how) for how in (None, arrival))
    locked = edit.locked.expand(plain.shape)
    for ids in (plain, arrived):
        assert torch.equal(ids[locked], edit.tokens.expand(plain.shape)[locked])
    assert jump(arrived, 4) < jump(plain, 4)
    assert jump(arrived, 10) < jump(plain, 10)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="candidates 0"):
        Arrival(Ladder(), candidates=0)
