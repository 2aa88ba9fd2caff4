"""Flags become locks; what contradicts itself is refused in words."""

from pathlib import Path

import pytest
import torch

from xdancer.errors import XDancerError
from xdancer.pipelines.dance_file import save_tokens
from xdancer.pipelines.edits import EditRequest, parse_frames, read_edit
from xdancer.types import MotionTokens
from xdancer.vqvae.model import VQVAE, VQVAEConfig

FRAMES = 12


@pytest.fixture(scope="module")
def tokenizer() -> VQVAE:
    return VQVAE(VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)).eval()


@pytest.fixture
def dances(tmp_path: Path, tokenizer: VQVAE) -> dict[str, Path]:
    """Files of dances whose tokens are all 1, 2, …: a long one, a beginning, an end."""
    paths = {}
    for number, (name, frames) in enumerate({"dance": FRAMES, "beginning": 3, "end": 1}.items(), start=1):
        paths[name] = tmp_path / f"{name}.npz"
        save_tokens(paths[name], MotionTokens(torch.full((1, frames, 5, 1), number)), tokenizer)
    return paths


def test_frames_parts_beginning_and_end(dances: dict[str, Path], tokenizer: VQVAE) -> None:
    request = EditRequest(edit=dances["dance"], keep="5-6", lock="head", seed_motion=dances["beginning"], to=dances["end"])
    edit, first = read_edit(request, tokenizer, frames=FRAMES)
    assert edit is not None
    assert first is not None
    assert first.ids.flatten().tolist() == [2] * 5
    shown = torch.where(edit.locked, edit.tokens, 0)[0, :, :, 0].T.tolist()
    body = [2, 2, 2, 0, 0, 1, 1, 0, 0, 0, 0, 3]
    assert shown == [body, body, [2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 3], body, body]


def test_a_reroll_keeps_all_else_and_the_first_frame(dances: dict[str, Path], tokenizer: VQVAE) -> None:
    edit, first = read_edit(EditRequest(edit=dances["dance"], reroll="left_hand, right_hand"), tokenizer, frames=FRAMES)
    assert edit is not None
    assert first is not None
    assert edit.locked[0, :, :3].all()
    assert edit.locked[0, 0].all()
    assert not edit.locked[0, 1:, 3:].any()


def test_an_edit_that_ends_before_the_song_says_so(dances: dict[str, Path], tokenizer: VQVAE, capsys: pytest.CaptureFixture[str]) -> None:
    read_edit(EditRequest(edit=dances["dance"], lock="head"), tokenizer, frames=FRAMES)
    assert capsys.readouterr().out == ""
    read_edit(EditRequest(edit=dances["dance"], lock="head"), tokenizer, frames=FRAMES + 8)
    assert "12 of 20 frames; behind them nothing is locked" in capsys.readouterr().out


def test_nothing_asked_for_locks_nothing(tokenizer: VQVAE) -> None:
    assert read_edit(EditRequest(), tokenizer, frames=FRAMES) == (None, None)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"lock": "head"}, "--lock: of which dance"),
        ({"edit": Path("dance.npz")}, "what of the dance stays"),
        ({"edit": Path("dance.npz"), "lock": "head", "reroll": "head"}, "one of them"),
    ],
)
def test_contradictions_are_refused(flags: dict, words: str) -> None:
    with pytest.raises(XDancerError, match=words):
        EditRequest(**flags)


def test_unknown_parts_and_too_long_motions_are_refused(dances: dict[str, Path], tokenizer: VQVAE) -> None:
    for request, words in (
        (EditRequest(edit=dances["dance"], lock="feet"), "'feet'.*right_hand"),
        (EditRequest(seed_motion=dances["dance"]), "12 frames, the dance has 4"),
        (EditRequest(to=dances["dance"]), "The end has 12 frames"),
        (EditRequest(edit=dances["dance"], keep="1,4"), "frame 4, .* share 4 frames"),
        (EditRequest(edit=dances["dance"], keep=" "), "names no frames"),
        (EditRequest(edit=dances["dance"], reroll=","), "--reroll ',': names no body part"),
    ):
        with pytest.raises(XDancerError, match=words):
            read_edit(request, tokenizer, frames=4)


def test_ranges_of_frames() -> None:
    assert parse_frames("0-2, 7,9-9") == [0, 1, 2, 7, 9]
    for text in ("3-1", "a", "-3", "1-2-3"):
        with pytest.raises(XDancerError, match="is no range of frames"):
            parse_frames(text)
