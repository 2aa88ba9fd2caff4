"""Damage of known kind and strength, and whether figures are judged to follow it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from xdancer.evaluation.items import Item
from xdancer.media import write_video
from xdancer.reproduce import degradation as dg


def pictures(frames: int = 40, side: int = 48) -> np.ndarray:
    """A bright square that moves over a dark gradient."""
    made = np.zeros((frames, side, side, 3), np.uint8)
    made[...] = np.linspace(0, 120, side).astype(np.uint8)[None, None, :, None]
    for number in range(frames):
        left = 4 + number % 30
        made[number, 10:24, left : left + 12] = (220, 160, 90)
    return made


def item(key: str = "a") -> Item:
    return Item(key, "0123456789abcdef", frames=pictures())


def test_more_strength_is_more_damage() -> None:
    for kind in ("blur", "noise", "shuffle"):
        clean = pictures().astype(float)
        errors = []
        for strength in (0.0, *dg.STRENGTHS[kind]):
            frames = dg.damaged(item(), kind, strength, frames=40, seed=0).frames
            assert frames is not None
            errors.append(float(np.square(frames - clean).mean()))
        assert errors[0] == 0
        assert errors[1] < errors[2] <= errors[3] <= errors[4]


def test_shuffled_frames_are_all_there_and_stay_in_their_block() -> None:
    numbered = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    for size in (2, 16, 64):
        order = dg.shuffled(numbered, float(size), np.random.default_rng(1))[:, 0, 0, 0].astype(int)
        assert sorted(order) == list(range(40))
        assert (order // size == np.arange(40) // size).all()
        assert all((order[first : first + size] != np.arange(40)[first : first + size]).any() for first in range(0, 39, size))


def test_a_hurried_video_shows_every_moment_sooner_and_is_cut() -> None:
    made = dg.damaged(item(), "speed", 2.0, frames=20, seed=0).frames
    assert made is not None
    assert np.array_equal(made, pictures()[::2])
    cut = dg.damaged(item(), "speed", 0.0, frames=20, seed=0).frames
    assert cut is not None
    assert np.array_equal(cut, pictures()[:20])


def test_damage_has_its_own_digest_and_is_the_same_again() -> None:
    some = {dg.damaged(item(), kind, of, frames=40, seed=0).digest for kind in dg.STRENGTHS for of in (0.0, *dg.STRENGTHS[kind])}
    assert len(some) == 1 + sum(len(of) for of in dg.STRENGTHS.values())  # untouched is one thing under every kind
    first, again = (dg.damaged(item(), "noise", 0.1, frames=40, seed=0) for _ in range(2))
    assert first.frames is not None
    assert again.frames is not None
    assert first.digest == again.digest
    assert np.array_equal(first.frames, again.frames)


@pytest.mark.parametrize(
    ("values", "sign", "seen"),
    [
        ([0.0, 1.0, 2.0, 2.0, 3.0], 1, "monotone"),
        ([0.0, 1.0, 0.5, 2.0, 3.0], 1, "direction"),
        ([0.0, 1.0, 2.0, 3.0, 4.0], -1, "no"),
        ([None, 40.0, 30.0, 20.0, 10.0], -1, "monotone"),
        ([1.0, 1.0, 1.0, 1.0, 1.0], 1, "no"),
        ([1.0, None, 2.0, 3.0, 4.0], 1, "unknown"),
    ],
)
def test_judgement(values: list[float | None], sign: int, seen: str) -> None:
    assert dg.moved(values, sign) == seen


def test_two_videos_to_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "videos").mkdir()
    for name, turn in (("a", 1), ("b", -1)):
        write_video(tmp_path / "videos" / f"{name}.mp4", np.ascontiguousarray(pictures()[:, :, ::turn]), fps=30.0)
    monkeypatch.setattr(dg, "detector_if_installed", lambda: None)
    monkeypatch.setattr(sys, "argv", ["degradation", str(tmp_path / "videos"), "--out", str(tmp_path / "out.json")])
    monkeypatch.setattr(dg, "STRENGTHS", {"noise": (0.05, 0.4), "speed": (2.0,)})
    dg.main()
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["seen"]["noise"]["ssim"] == report["seen"]["noise"]["lpips"] == report["seen"]["noise"]["psnr"] == "monotone"
    assert report["seen"]["noise"]["pck"] == "unknown"  # nobody looked for people
    assert report["values"]["speed"]["psnr"][0] is None
    assert report["seen"]["speed"]["lpips"] == "monotone"
    assert "| noise | `ssim` | fall | 1 |" in capsys.readouterr().out
