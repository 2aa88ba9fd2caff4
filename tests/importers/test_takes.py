"""Motion capture files: both layouts give the same takes, other rates are interpolated, and what is wrong is said in one line."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.errors import XDancerError
from xdancer.importers.takes import read_takes, resampled


def body(frames: int = 40) -> np.ndarray:
    """A body of 1.8 m that faces +z and steps to the side; its left is +x."""
    joints = np.zeros((frames, 18, 3))
    joints[:, :, 1] = np.array([1.6, 1.45, 1.4, 1.2, 1.0, 1.4, 1.2, 1.0, 0.9, 0.5, 0.1, 0.9, 0.5, 0.1, 1.65, 1.65, 1.62, 1.62])
    joints[:, [2, 3, 4, 8, 9, 10, 14, 16], 0], joints[:, [5, 6, 7, 11, 12, 13, 15, 17], 0] = -0.1, 0.1
    joints[:, [0, 14, 15], 2] = 0.1
    return joints + np.linspace(0, 1, frames)[:, None, None] * np.array([1.0, 0, 0])


def test_both_layouts_give_the_same_takes(tmp_path: Path) -> None:
    first, second = body(30), body(50) + np.array([0.5, 0, 0])
    np.savez(tmp_path / "arrays.npz", a_1=first, b_2=second, fps=60)
    np.savez(tmp_path / "one.npz", positions=np.concatenate([first, second]), fps=60, starts=[0, 30], names=["a_1", "b_2"])
    arrays, one = read_takes(tmp_path / "arrays.npz"), read_takes(tmp_path / "one.npz")
    assert [take.name for take in arrays] == [take.name for take in one] == ["a_1", "b_2"]
    assert [take.group for take in one] == ["1", "2"]
    for left, right in zip(arrays, one, strict=True):
        np.testing.assert_array_equal(left.joints, right.joints)
    assert [len(take.joints) for take in one] == [15, 25]
    np.savez(tmp_path / "single.npz", positions=first)
    assert [take.name for take in read_takes(tmp_path / "single.npz")] == ["take_000"]


def test_other_rates_are_interpolated() -> None:
    slow = resampled(body(61), 60.0)
    assert len(slow) == 31
    np.testing.assert_allclose(slow[1], body(61)[2])
    np.testing.assert_allclose(resampled(body(21), 20.0)[1], body(21)[0] / 3 + body(21)[1] * 2 / 3)
    assert resampled(body(), 30.0).shape == (40, 18, 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a_1": np.zeros((5, 17, 3))}, "a_1: shape (5, 17, 3) of float64, needed are numbers (frames, 18, 3) of the joints nose, neck, right"),
        ({"a_1": np.where(np.arange(40)[:, None, None] == 7, np.nan, body())}, "positions are not finite (first in frame 7)"),
        ({"a_1": body() * 100}, "the neck is 135 above the ankles (median), possible are 0.6 to 1.9 m"),
        ({"a_1": body()[..., [0, 2, 1]]}, "the neck is 0 above the ankles"),
        ({"a_1": body() * [-1, 1, 1]}, "the nose lies behind the ears"),
        ({"a_1": body(), "fps": np.array(0.0)}, "fps is 0.0, needed is one number from 1 to 1000"),
        ({"a_1": body(), "fps": np.array(["30"])}, "needed is one number from 1 to 1000"),
        ({}, "holds no takes. Give an .npz with arrays (frames, 18, 3)"),
        ({"positions": body(), "starts": np.array([0, 50])}, "starts is [ 0 50], needed are first frames, ascending from 0 and below 40"),
        ({"positions": body(), "starts": np.array([3, 20])}, "needed are first frames, ascending from 0"),
        ({"positions": body(), "starts": np.array([0, 20]), "names": np.array(["a"])}, "needed are 2 different texts, one for each of starts"),
        ({"positions": body(), "velocity": body()}, "has velocity beside positions"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(content: dict[str, np.ndarray], words: str, tmp_path: Path, capsys) -> None:
    np.savez(tmp_path / "bad.npz", **content)
    assert main(["import", "mocap", str(tmp_path / "bad.npz"), "--out", str(tmp_path / "data")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_no_file_no_archive_and_pickles(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "pickle.npz", a_1=np.array([print], dtype=object))
    for name, words in (("none.npz", "no such file"), ("text.npz", "not a readable"), ("pickle.npz", "not a readable")):
        with pytest.raises(XDancerError, match=words):
            read_takes(tmp_path / name)


def test_real_takes_are_accepted(shared: Path) -> None:
    takes = read_takes(shared / "data/mocap/cmu_salsa_18_joints_30fps.npz")
    assert len(takes) == 28
    assert sum(len(take.joints) for take in takes) == 13758
    assert len({take.group for take in takes}) == 14
