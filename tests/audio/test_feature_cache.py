"""Stored features: named by content, written in pieces, whole or not there, made again when damaged."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.audio.feature_cache import cache_folder, content_digest, find_fault, stored_rows, writable

ROWS = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float32)


def pieces():
    yield ROWS[:30]
    yield ROWS[30:]


def never():
    raise AssertionError("made although it is there")
    yield


def test_rows_come_back_memory_mapped_and_are_made_once(tmp_path):
    path = tmp_path / "new/rows.npy"
    first = stored_rows(path, 70, pieces)
    assert isinstance(first, np.memmap)
    assert first.mode == "r"
    np.testing.assert_array_equal(first, ROWS)
    np.testing.assert_array_equal(stored_rows(path, 70, never), ROWS)
    np.testing.assert_array_equal(np.load(path), ROWS)  # a plain .npy file for everybody else
    assert [entry.name for entry in path.parent.iterdir()] == ["rows.npy"]


@pytest.mark.parametrize("damage", ["cut", "changed", "longer", "empty", "other", "frames"])
def test_damage_is_noticed_said_and_repaired(tmp_path, caplog, damage):
    path = tmp_path / "rows.npy"
    stored_rows(path, 70, pieces)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "other":
        np.save(path, ROWS.astype(np.float64))
    elif damage == "frames":
        np.save(path, ROWS[:60])
    else:
        path.write_bytes({"cut": data[:-40], "changed": data, "longer": path.read_bytes() + b"x", "empty": b""}[damage])
    assert find_fault(path, 70) is not None
    np.testing.assert_array_equal(stored_rows(path, 70, pieces), ROWS)
    assert f"{path} is damaged (" in caplog.text
    assert find_fault(path, 70) is None


def test_an_interrupted_encoder_leaves_nothing(tmp_path):
    def broken():
        yield ROWS[:30]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored_rows(tmp_path / "rows.npy", 70, broken)
    assert not list(tmp_path.iterdir())


def test_the_name_changes_with_every_sample_and_fact():
    sound = np.linspace(-1, 1, 1000, dtype=np.float32)
    other = sound.copy()
    other[500] += 1e-6
    names = {
        content_digest(sound, 44100, "a", "v1", 30),
        content_digest(other, 44100, "a", "v1", 30),
        content_digest(sound, 44100, "a", "v2", 30),
    }
    names |= {content_digest(sound, 22050, "a", "v1", 30), content_digest(sound, 44100, "a", "v1", 31), content_digest(sound[:0], 44100)}
    assert len(names) == 6
    assert content_digest(sound, 1) == content_digest(sound.astype(np.float64), 1)


def test_the_folder_obeys_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "xdancer/features"
    assert writable(cache_folder())
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/xdancer/features"
    (tmp_path / "file").touch()
    assert not writable(tmp_path / "file/below")
