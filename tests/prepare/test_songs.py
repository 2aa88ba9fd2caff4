"""Videos of the same music are one song, whoever prepares them; a groups file is obeyed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xdancer.audio.fingerprint import fingerprint
from xdancer.audio.waveform import resample
from xdancer.embedded.grid import BeatGrid
from xdancer.embedded.song import make_song
from xdancer.prepare import Part, PrepareSettings, SplitChoice, merge_parts, prepare_part, prepare_videos
from xdancer.prepare.songs import hear, heard, join_songs
from xdancer.prepare.sources import Source

SETTINGS = PrepareSettings(width=32, height=56, min_seconds=1.0, min_person=40, features=("librosa",))
RATE = 44100


def song(style: str, tempo: float, start: float, seconds: float) -> np.ndarray:
    made = make_song(style, style, BeatGrid(tempo, 0.0), seconds=start + seconds)
    return resample(made.waveform[round(start * made.sample_rate) :].astype(np.float32), made.sample_rate, RATE)


def source(name: str, called: str = "", *, named: bool = False) -> Source:
    return Source(Path(name), name, called or Path(name).stem, "0" * 64, named)


@pytest.fixture(scope="module")
def pieces() -> dict[str, np.ndarray]:
    """Two pieces of one song, and another song."""
    return {"b.mp4": song("disco", 118.0, 0.0, 7.0), "c.mp4": song("disco", 118.0, 1.7, 7.0), "a.mp4": song("rock", 131.0, 0.0, 7.0)}


@pytest.fixture
def folder(video: Callable[..., Path], pieces: dict[str, np.ndarray]) -> Path:
    paths = [video(name, 6.5, fps=12.0, wave=wave) for name, wave in pieces.items()]
    return paths[0].parent


@pytest.mark.usefixtures("plain_page")
def test_one_song_for_the_same_music_in_one_run_and_in_parts(folder: Path, tmp_path: Path, detector: Any) -> None:
    report = prepare_videos(folder, tmp_path / "whole", SETTINGS, detector=detector)
    assert {row.video: row.song for row in report.videos} == {"a.mp4": "a", "b.mp4": "b", "c.mp4": "b"}
    assert [row.notes[0].partition(" (")[0] for row in report.videos if row.notes] == ["same music as c.mp4", "same music as b.mp4"]
    assert len({row.splits for row in report.videos if row.song == "b"}) == 1
    for index in range(2):
        prepare_part(folder, tmp_path / "parts", Part(index, 2), SETTINGS, detector=detector)
    merged = merge_parts([tmp_path / "parts"], tmp_path / "merged")
    assert [row.line for row in merged.videos] == [row.line for row in report.videos]
    shards = [sorted((out / split).glob("*")) for out in (tmp_path / "whole", tmp_path / "merged") for split in ("train", "val")]
    assert [path.read_bytes() for path in shards[0] + shards[1]] == [path.read_bytes() for path in shards[2] + shards[3]]
    by_name = prepare_videos(folder, tmp_path / "named", SETTINGS, detector=detector, split=SplitChoice(songs="name"))
    assert {row.song for row in by_name.videos} == {"a", "b", "c"}


def test_a_groups_file_is_obeyed_and_doubted(pieces: dict[str, np.ndarray]) -> None:
    prints = {name: fingerprint(wave, RATE) for name, wave in pieces.items()}
    sources = {"a.mp4": source("a.mp4"), "b.mp4": source("b.mp4", "Stayin'", named=True), "c.mp4": source("c.mp4")}
    joined, notes = join_songs(sources, prints)
    assert {name: one.song for name, one in joined.items()} == {"a.mp4": "a", "b.mp4": "Stayin'", "c.mp4": "Stayin'"}
    assert set(notes) == {"b.mp4", "c.mp4"}
    joined, notes = join_songs({**sources, "c.mp4": source("c.mp4", "Night", named=True)}, prints)
    assert joined["c.mp4"].song == "Night"
    assert notes["b.mp4"].endswith("which the groups file calls Night: is it?")


def test_equal_names_are_one_song_whatever_is_heard() -> None:
    silent = np.zeros((0, 12), np.uint8)
    sources = {name: source(name) for name in ("x/tune.mp4", "y/tune.mov", "z.mp4")}
    joined, notes = join_songs(sources, dict.fromkeys(sources, silent))
    assert [joined[name].song for name in sorted(joined)] == ["tune", "tune", "z"]
    assert notes == {}


def test_a_fingerprint_travels_as_text(video: Callable[..., Path], pieces: dict[str, np.ndarray], tmp_path: Path) -> None:
    rows = heard(hear(video("b.mp4", 6.5, fps=12.0, wave=pieces["b.mp4"])))
    assert rows.shape[0] > 100
    assert hear(tmp_path / "nothing.mp4") == ""
    assert heard("").shape == (0, 12)
    with pytest.raises(ValueError, match="no fingerprint"):
        heard("AAAA")
