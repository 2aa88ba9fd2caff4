"""A folder's dances are found by name, with their beats, music and portraits; what cannot be read is left out with its reason."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xdancer.errors import XDancerError
from xdancer.evaluation.items import find_items, read_beats
from xdancer.types import FPS


def test_a_video_and_a_pose_file_of_one_name_are_one_dance(dance_folder: Callable[..., Path]) -> None:
    folder = dance_folder("both", {"a": 0.5, "b": 0.4})
    (folder / "b.npy").unlink()
    items, excluded = find_items(folder)
    assert [item.key for item in items] == ["a", "b"]
    assert not excluded
    assert items[0].pose is not None
    assert items[0].pose.shape == (4 * FPS, 60, 3)
    assert items[1].pose is None
    assert items[0].digest != items[1].digest
    assert find_items(folder)[0][0].digest == items[0].digest


def test_pose_files_alone_are_dances_and_damaged_ones_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.full((40, 60, 3), 0.5, np.float32))
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "notes.txt").write_text("no dance")
    items, excluded = find_items(tmp_path)
    assert [item.key for item in items] == ["good"]
    assert [left.key for left in excluded] == ["bad"]
    assert "bad.json" in excluded[0].reason
    assert any("frame rate" in note for note in items[0].notes)


def test_shards_are_dances_with_exact_beats(tiny: ModuleType, tmp_path: Path) -> None:
    split = tiny.write_split(tmp_path / "test", [tiny.make_clip(0, video=True), tiny.make_clip(1)])
    items, excluded = find_items(split)
    assert not excluded
    assert [item.key for item in items] == ["clip-000", "clip-001"]
    assert items[0].video is not None
    assert items[0].mask is not None
    assert items[1].video is None
    np.testing.assert_allclose(items[0].beats, np.arange(0.25, 80 / 30, 0.5))


def test_further_folders_go_by_name(dance_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = dance_folder("named", {"a": 0.5, "b": 0.4})
    (tmp_path / "a.txt").write_text("0.5\n1.0\n1.5\n")
    items, _ = find_items(folder, beats=tmp_path)
    np.testing.assert_array_equal(items[0].beats, [0.5, 1.0, 1.5])
    assert items[1].beats is None
    assert items[0].digest != find_items(folder)[0][0].digest
    (tmp_path / "a.txt").rename(tmp_path / "c.txt")
    with pytest.raises(XDancerError, match=r"--beats .*no file is named like a dance, such as 'a'"):
        find_items(folder, beats=tmp_path)


@pytest.mark.parametrize(("text", "name"), [("[2, 1]", "a.json"), ("one two", "a.txt"), ('{"tempo": 1}', "a.json"), ("[[1]]", "b.json")])
def test_beats_that_are_none_are_refused(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(XDancerError, match="beats"):
        read_beats(tmp_path / name)


def test_an_empty_folder_and_a_doubled_dance_are_refused(tmp_path: Path) -> None:
    with pytest.raises(XDancerError, match="no dance in it"):
        find_items(tmp_path)
    with pytest.raises(XDancerError, match="no such folder"):
        find_items(tmp_path / "nowhere")
    for name in ("a.npy", "a.json"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(XDancerError, match="the same dance twice"):
        find_items(tmp_path)
