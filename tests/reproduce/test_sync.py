"""The study of measures of synchrony, small: made motion with known answers, candidates, table, and its command line."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xdancer.errors import XDancerError
from xdancer.reproduce import sync
from xdancer.reproduce.sync_candidates import CANDIDATES, beat_powers, spectra, speed_minima
from xdancer.reproduce.sync_sets import Window, as_pose, at_rate, made_sets, mocap_set, windows_of

SECONDS = 6


def song(seed: int) -> tuple[Window, NDArray[np.float64]]:
    """A window without motion whose music has onsets at known, uneven beats."""
    beats = np.cumsum(np.random.default_rng(seed).uniform(0.4, 0.8, 20)) - 0.5
    beats = beats[(beats > 0) & (beats < SECONDS)]
    music = np.exp(-((np.arange(30 * SECONDS)[:, None] / 30 - beats) ** 2) / (2 * 0.03**2)).sum(axis=1)
    return Window(f"clip-{seed}", f"song-{seed}", 30.0, as_pose(np.zeros((30 * SECONDS, 18, 2))), music), beats


@pytest.fixture(scope="module")
def made() -> tuple[list[Window], dict[str, list[Window]]]:
    windows, beats = zip(*(song(seed) for seed in range(6)), strict=True)
    return list(windows), made_sets(list(windows), list(beats), count=6, seed=0)


def test_locked_motion_is_told_from_free_motion(made: tuple[list[Window], dict[str, list[Window]]]) -> None:
    songs, sets = made
    chosen = {name: sets[name][:12] for name in ("locked: stop, clean", "locked: turn, clean", "free: smooth noise")}
    results = sync.study(chosen, songs, seed=0)
    braking = {name: rows["braking"] for name, rows in results.items()}
    assert min(braking[name]["percentile"] for name in list(chosen)[:2]) > 0.9
    assert min(braking[name]["auc"] for name in list(chosen)[:2]) > 0.9
    assert 0.25 < braking["free: smooth noise"]["percentile"] < 0.75
    assert set(results["locked: stop, clean"]) >= set(CANDIDATES) | {"spectrum, slowness", "power at the beat, deceleration"}
    assert "percentile" not in results["locked: stop, clean"]["spectrum, slowness"]
    text = sync.table(results)
    assert text.splitlines()[0] == "| candidate | locked: stop, clean | locked: turn, clean | free: smooth noise |"
    assert f"| braking | {braking['locked: stop, clean']['percentile']:.2f} / " in text


def test_a_set_without_motion_is_stated(made: tuple[list[Window], dict[str, list[Window]]]) -> None:
    songs, _ = made
    results = sync.study({"still": songs[:2]}, songs, seed=0)
    assert results["still"]["braking"] == {"windows": 0}
    assert "– / –" in sync.table(results)


def test_one_song_has_no_others() -> None:
    with pytest.raises(XDancerError, match="has 1 song"):
        sync.OtherSongs([song(0)[0]], seed=0)


def test_envelopes_at_another_rate() -> None:
    ramp = np.arange(60.0)
    np.testing.assert_allclose(at_rate(ramp, 24.0, 48), np.arange(48) * 1.25)
    np.testing.assert_allclose(at_rate(ramp, 30.0, 60), ramp)


def test_windows_leave_the_rest() -> None:
    found = windows_of("c", "s", np.zeros((100, 60, 3), dtype=np.float32), 24.0, np.arange(130.0), 2.0)
    assert [window.clip for window in found] == ["c:0", "c:1"]
    assert found[1].music[0] == 60
    assert len(found[1].pose) == 48


def test_the_field_s_minima_of_a_group_of_joints() -> None:
    time = np.arange(120) / 30
    body = np.zeros((120, 18, 2))
    body[:, 4, 0] = time - np.sin(2 * np.pi * time) / (2 * np.pi)  # the right wrist stands still at every full second
    envelope = speed_minima(as_pose(body), 30.0, joints=(4,))
    assert abs(envelope[15:45].argmax() + 15 - 30) <= 1
    assert not speed_minima(as_pose(body), 30.0, joints=(9,)).any()


def test_the_beat_of_a_song_is_found_in_its_spectrum() -> None:
    time = np.arange(240) / 30
    music = spectra(np.cos(2 * np.pi * 2 * time) + np.cos(2 * np.pi * 4 * time), 30.0)[None]
    on, off = (spectra(np.cos(2 * np.pi * rate * time + 1.0), 30.0) for rate in (1.0, 1.5))
    assert beat_powers(on, music)[0] > 0.8
    assert beat_powers(off, music)[0] < 0.2


def test_motion_capture_goes_under_songs(tmp_path: Path) -> None:
    np.savez(tmp_path / "takes.npz", a=np.zeros((400, 18, 3), dtype=np.float16), b=np.zeros((10, 18, 3), dtype=np.float16))
    found = mocap_set(tmp_path / "takes.npz", [song(0)[0]], seed=0)
    assert [window.clip for window in found] == ["a:0", "a:180"]
    assert found[0].song == "song-0"


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    windows, beats = zip(*(song(seed) for seed in range(3)), strict=True)
    monkeypatch.setattr(sync, "read_split", lambda folder, seconds, limit: (list(windows), list(beats)))
    monkeypatch.setattr(sync, "CANDIDATES", {"braking": CANDIDATES["braking"]})
    out = tmp_path / "sync.json"
    monkeypatch.setattr(sys, "argv", ["sync", str(tmp_path), "--made", "2", "--seconds", "6", "--out", str(out)])
    sync.main()
    report = json.loads(out.read_text())
    assert report["settings"]["made"] == 2
    assert report["results"]["locked: slow, hard"]["braking"]["windows"] == 2
    assert "| braking | " in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["sync", str(tmp_path / "none.mp4"), "--out", str(out)])
    monkeypatch.setattr(sync, "read_clip", lambda path, seconds, cache: [windows[0]])
    with pytest.raises(XDancerError, match="at least one folder of shards"):
        sync.main()
