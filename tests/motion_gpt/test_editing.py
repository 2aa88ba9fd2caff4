"""What is locked stays to the bit, through segments, guidance and a batch; what is not is drawn."""

import pytest
import torch

from xdancer.motion_gpt.editing import MotionEdit
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.rollout import generate_motion
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.types import MotionTokens

FRAMES = 9


def dance(frames: int = FRAMES, batch: int = 1) -> MotionTokens:
    return MotionTokens(torch.randint(11, (batch, frames, 3, 2)))


EDITS = {
    "given frames": MotionEdit.keep_frames(dance(), [3, 4, 7]),
    "locked parts": MotionEdit.lock_parts(dance(), ["upper_body", "head"]),
    "one part anew": MotionEdit.reroll_parts(dance(), ["lower_body"]),
    "a seed motion": MotionEdit.begin_with(dance(3)),
    "a last pose": MotionEdit.end_with(dance(1), frames=FRAMES),
    "both ends and the head": MotionEdit.begin_with(dance(2))
    | MotionEdit.end_with(dance(2), frames=FRAMES)
    | MotionEdit.lock_parts(dance(), ["head"]),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_locked_tokens_stay_and_the_others_are_drawn(tiny_gpt: MotionGPT, make_music, name: str) -> None:
    edit = EDITS[name]
    first, second = (
        generate_motion(
            tiny_gpt, make_music(FRAMES), dance(1, 2), frames=FRAMES, sampling=SamplingConfig(temperature=3.0), edit=edit,
            generator=torch.Generator().manual_seed(seed),
        ).ids
        for seed in (0, 1)
    )  # fmt: skip
    locked = edit.rows(0, FRAMES).locked.expand(first.shape)
    wanted = edit.rows(0, FRAMES).tokens.expand(first.shape)
    for ids in (first, second):
        assert torch.equal(ids[locked], wanted[locked])
    free = ~locked[:, 1:]
    assert (first[:, 1:][free] != second[:, 1:][free]).float().mean() > 0.5


def test_constructors_lock_what_they_say() -> None:
    tokens = dance(4)
    assert MotionEdit.keep_frames(tokens, [1, 9]).locked.all(dim=(0, 2, 3)).tolist() == [False, True, False, False]
    assert MotionEdit.lock_parts(tokens, ["head"]).locked.all(dim=(0, 1, 3)).tolist() == [False, False, True]
    assert MotionEdit.reroll_parts(tokens, ["head"]).locked.all(dim=(0, 1, 3)).tolist() == [True, True, False]
    end = MotionEdit.end_with(tokens, frames=6)
    assert end.locked.all(dim=(0, 2, 3)).tolist() == [False, False, True, True, True, True]
    assert torch.equal(end.tokens[:, 2:], tokens.ids)
    assert (end.next_whole(0), end.next_whole(6), end.whole(1), end.whole(2)) == (2, None, False, True)


def test_of_two_locks_on_one_token_the_left_one_stays() -> None:
    first, second = MotionEdit.begin_with(dance(2)), MotionEdit.lock_parts(dance(4), ["head"])
    both = first | second
    assert torch.equal(both.tokens[:, :2], first.tokens)
    assert torch.equal(both.tokens[:, 2:, 2], second.tokens[:, 2:, 2])
    assert both.locked.sum() == 2 * 6 + 2 * 2


def test_what_cannot_be_is_refused(tiny_gpt: MotionGPT, make_music) -> None:
    with pytest.raises(ValueError, match=r"'feet'.*upper_body, lower_body, head"):
        MotionEdit.lock_parts(dance(), ["feet"])
    with pytest.raises(ValueError, match="one part for the whole body"):
        MotionEdit.reroll_parts(MotionTokens(torch.zeros(1, 4, 1, 2, dtype=torch.long)), ["head"])
    with pytest.raises(ValueError, match="The end has 4 frames, the whole dance only 3"):
        MotionEdit.end_with(dance(4), frames=3)
    for ids, words in (
        (torch.full((1, 4, 3, 2), 11), r"from 11 to 11.*0 … 10"),
        (torch.zeros(1, 4, 5, 2, dtype=torch.long), "3 parts × 2 slots"),
    ):
        with pytest.raises(ValueError, match=words):
            generate_motion(tiny_gpt, make_music(4), dance(1, 2), frames=4, edit=MotionEdit.begin_with(MotionTokens(ids)))
