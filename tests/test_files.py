"""A file or folder is whole or not there."""

from pathlib import Path

import pytest

from xdancer.files import replace_folder, whole, write_text


def test_a_failure_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_text(path, "old")

    def fail() -> None:
        with whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert [item.name for item in tmp_path.iterdir()] == ["figures.json"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("made", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "whose.txt").write_text(name)
    replace_folder(tmp_path / "made", tmp_path / "target")
    assert (tmp_path / "target/whose.txt").read_text() == "made"
    assert [item.name for item in tmp_path.iterdir()] == ["target"]
