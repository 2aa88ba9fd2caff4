"""Sets of dances: what is worse is measured as worse, null rows are told from dances, damage costs one dance, a second run decodes nothing."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from xdancer.evaluation import recording
from xdancer.evaluation.comparison import Comparison, Row
from xdancer.evaluation.items import find_items
from xdancer.evaluation.null_rows import NULLS, Null
from xdancer.evaluation.recording import Instruments
from xdancer.evaluation.result import cell, remarks, show_rows, side_by_side
from xdancer.media import read_video, write_video
from xdancer.metrics.pose import body_height
from xdancer.metrics.video_networks import make_features
from xdancer.metrics.video_protocols import protocol_named

PERIODS = {"a": 0.5, "b": 0.42, "c": 0.6}


@pytest.fixture(scope="module")
def tools() -> Instruments:
    protocol = protocol_named("xdancer16")
    return Instruments(protocol, make_features(protocol.network), detector=None, face_net=None)


class Blind:
    """A network that costs nothing and sees nothing."""

    name, digest, window, width, size, value_range = "alex16", "none", 16, 64, 128, (-1.0, 1.0)

    def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]:
        return torch.zeros(len(windows), self.width)


@pytest.fixture(scope="module")
def blind(tools: Instruments) -> Instruments:
    return replace(tools, network=Blind())


@pytest.fixture(scope="module")
def real(dance_folder: Callable[..., Path]) -> Path:
    return dance_folder("real", PERIODS)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one test measured, the others need not measure again."""
    return tmp_path_factory.mktemp("cache")


def compared(generated: Path | None, real: Path, tools: Instruments, *, cache: Path, nulls: tuple[Null, ...] = ()) -> dict[str, Row]:
    own = [] if generated is None else find_items(generated)[0]
    return {row.name: row for row in Comparison(tools, cache=cache).rows(own, find_items(real)[0], nulls)}


def test_a_set_against_itself_differs_in_nothing(real: Path, tools: Instruments, kept: Path) -> None:
    rows = compared(real, real, tools, cache=kept)
    own, true = rows["generated"].figures, rows["real"].figures
    assert own["kernel_alex16@xdancer16"] == pytest.approx(0, abs=1e-9)
    assert own["motion_kernel_alex16@xdancer16"] == pytest.approx(0, abs=1e-9)
    assert own["frechet_alex16@xdancer16"] is None
    assert own["ssim"] == pytest.approx(1, abs=1e-6)
    assert own["lpips"] == pytest.approx(0, abs=1e-6)
    assert own["pck"] == 1
    assert own["n/psnr"] == 0
    assert any("PSNR is infinite" in note for note in rows["generated"].notes["a"])
    for name in ("beat_f1", "speed", "n/dances", "div_kinetic"):
        assert own[name] == true[name]


def test_music_locked_motion_keeps_the_beat_and_null_rows_do_not(real: Path, tools: Instruments, kept: Path) -> None:
    rows = compared(None, real, tools, nulls=NULLS, cache=kept)
    assert "generated" not in rows
    assert "grey" not in rows  # no masks
    beats = {name: row.figures["beat_f1"] for name, row in rows.items()}
    assert beats["locked"] > 0.8
    assert beats["locked"] > max(beats["white"], beats["smooth"], beats["shuffled"]) + 0.2
    assert rows["frozen"].figures["beat_f1"] is None
    assert rows["frozen"].figures["n/without_motion_beats"] == 3
    assert rows["frozen"].figures["speed"] == 0
    assert rows["copy"].figures["psnr"] < 60
    assert rows["mean"].figures["n/psnr"] == 3
    assert rows["white"].figures["jerk"] > 10 * rows["smooth"].figures["jerk"]


def test_noise_of_more_strength_is_further_away(real: Path, tools: Instruments, kept: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = []
    for strength in (5, 40):
        folder = tmp_path / str(strength)
        folder.mkdir()
        for path in real.glob("*.mp4"):
            frames = read_video(path).frames
            noisy = np.clip(frames + rng.normal(0, strength, frames.shape), 0, 255).astype(np.uint8)
            write_video(folder / path.name, iter(noisy), fps=30.0, crf=4)
        found.append(compared(folder, real, tools, cache=kept)["generated"].figures)
    less, more = found
    for name, sign in (("psnr", -1), ("ssim", -1), ("lpips", 1), ("kernel_alex16@xdancer16", 1)):
        assert sign * (more[name] - less[name]) > 0, name


def test_one_damaged_file_costs_one_dance(real: Path, tools: Instruments, kept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "generated"
    shutil.copytree(real, folder)
    (folder / "b.mp4").write_bytes((folder / "b.mp4").read_bytes()[:2000])
    (folder / "b.npy").unlink()
    rows = compared(folder, real, tools, cache=kept)
    assert [left.key for left in rows["generated"].excluded] == ["b"]
    assert rows["generated"].figures["n/dances"] == 2
    assert rows["real"].figures["n/dances"] == 3


@pytest.mark.slow
def test_every_file_is_decoded_once_whatever_is_measured_of_it(real: Path, tools: Instruments, tmp_path: Path) -> None:
    """Features, poses, faces, pairs with two null rows of pictures: one decoding; without those later none; a damaged cache is made again."""
    decoded: list[str] = []

    def counted(path: Path, **part: int) -> object:
        decoded.extend([] if part else [path.name])
        return read_video(path, **part)

    def rows(*nulls: Null) -> dict[str, Row]:
        decoded.clear()
        with mock.patch.object(recording, "read_video", side_effect=counted):
            return compared(None, real, tools, cache=tmp_path, nulls=nulls)

    first = rows("copy", "mean", "frozen")
    assert first["copy"].figures["n/lpips"] == first["mean"].figures["n/ssim"] == 3
    assert sorted(decoded) == ["a.mp4", "b.mp4", "c.mp4"]
    second = rows("frozen")
    assert decoded == []
    assert {name: row.figures for name, row in second.items()} == {name: first[name].figures for name in ("real", "frozen")}
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:50])
    assert rows()["real"].figures == first["real"].figures
    assert sorted(decoded) == ["a.mp4", "b.mp4", "c.mp4"]


def test_other_lengths_sizes_and_missing_partners_are_said(
    real: Path, tools: Instruments, kept: Path, dance_folder: Callable[..., Path]
) -> None:  # fmt: skip
    short = dance_folder("short", {"a": 0.5, "z": 0.5}, frames=90)
    small = dance_folder("small", {"a": 0.5}, size=48)
    rows = compared(short, real, tools, cache=kept)
    assert any("90 frames, the real one 120: compared over the first 90" in note for note in rows["generated"].notes["a"])
    assert rows["generated"].figures["n/ssim"] == 1
    assert rows["generated"].figures["n/dances"] == 2
    assert "no real dance of this name was measured: not compared in pairs" in rows["generated"].notes["z"]
    assert not any("not compared in pairs" in note for notes in rows["real"].notes.values() for note in notes)
    rows = compared(small, real, tools, cache=kept)
    assert any("48×48 pixels, the real one 64×64: pictures not compared" in note for note in rows["generated"].notes["a"])
    assert rows["generated"].figures["kernel_alex16@xdancer16"] is None


def test_a_single_frame_and_silence_have_a_stated_result(
    tools: Instruments, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    write_video(tmp_path / "still.mp4", iter(np.zeros((1, 32, 32, 3), np.uint8)), fps=30.0)
    write_video(
        tmp_path / "mute.mp4", iter(np.zeros((40, 32, 32, 3), np.uint8)), fps=30.0, audio=np.zeros(30000, np.float32), sample_rate=22050
    )
    rows = compared(tmp_path, tmp_path, tools, cache=kept, nulls=("grey", "shuffled"))
    assert set(rows) == {"generated", "real"}
    assert "no null row grey: no real dance has pictures and the person's mask" in rows["real"].remarks
    assert "no null row shuffled: no real dance has poses while another has music" in rows["real"].remarks
    show_rows(list(rows.values()), tools)
    shown = capsys.readouterr().out
    assert "generated: mute: silent" in shown
    assert "real: no null row grey" in shown
    row = rows["generated"]
    assert row.figures["n/dances"] == 2
    assert row.figures["beat_f1"] is None
    assert row.figures["n/with_pose"] == 0
    assert "silent" in row.notes["mute"]
    assert all(value is None or np.isfinite(value) for value in row.figures.values())


def test_why_figures_are_unknown_is_said_of_the_set(real: Path, blind: Instruments, kept: Path, tmp_path: Path) -> None:
    shutil.copy(real / "a.mp4", tmp_path)  # its sound
    pose = np.load(real / "a.npy")
    np.save(tmp_path / "a.npy", np.repeat(pose[:1], len(pose), axis=0))
    seen = pose.copy()
    seen[:, 1:, 2] = 0  # a nose is no body
    np.save(tmp_path / "nose.npy", seen)
    row = compared(None, tmp_path, blind, cache=kept)["real"]
    assert row.figures["beat_f1"] is None
    assert "beats (seconds, bailando60, aist60): clips without motion beats, in no mean: 1 of 2" in row.remarks
    assert "no brake_sync: no motion: 1 of 2 dances" in row.remarks
    assert any(remark.startswith("no body height") and remark.endswith(": 1 of 2 dances") for remark in row.remarks)
    assert any(remark.startswith("no kinetic distances and no diversity: 1 dances") for remark in row.remarks)


def test_torn_segments_show_at_their_borders_and_jitter_beside_the_real_dance(real: Path, blind: Instruments, tmp_path: Path) -> None:
    for side in ("torn", "true"):
        (tmp_path / side).mkdir()
    pose = np.load(real / "a.npy")
    torn = pose.copy()
    torn[32:64, :, 0] += 0.2
    np.save(tmp_path / "true" / "a.npy", pose)
    np.save(tmp_path / "torn" / "a.npy", torn)
    np.save(tmp_path / "torn" / "short.npy", torn[:30])
    rows = compared(tmp_path / "torn", tmp_path / "true", replace(blind, segment_frames=32), cache=tmp_path / "cache")
    gaps = {name: row.figures["border_gap"] for name, row in rows.items()}
    assert gaps["generated"] - gaps["real"] == pytest.approx(0.2 * 2 / 3 / body_height(pose), rel=0.05)  # two of three borders
    assert rows["generated"].figures["n/border_gap"] == 1
    assert "no border_gap: shorter than a segment of 32 frames: 1 of 2 dances" in rows["generated"].remarks
    assert rows["generated"].figures["jerk_ratio"] > 1.5
    assert compared(None, tmp_path / "true", blind, cache=tmp_path / "cache")["real"].figures["border_gap"] is None


def test_where_beats_are_from_is_said_and_the_trackers_octave_errors_are_counted(real: Path, blind: Instruments, tmp_path: Path) -> None:
    for key, period in (("a", PERIODS["a"]), ("b", PERIODS["b"] / 2)):
        (tmp_path / f"{key}.txt").write_text("\n".join(str(beat) for beat in np.arange(0, 4, period)))
    comparison = Comparison(blind, cache=tmp_path / "cache")
    for _ in range(2):  # the second from the cache
        true, frozen = comparison.rows([], find_items(real, beats=tmp_path)[0], ("frozen",))
        assert {one.key: one.beats_from for one in true.recordings} == {"a": "file", "b": "file", "c": "librosa"}
        assert {one.key: one.beats_from for one in frozen.recordings} == {"a": "file", "b": "file", "c": "librosa"}
        assert "music beats from file: 2 of 3 dances" in true.remarks
        assert true.figures["n/music_tempo_half"] == 2
        assert true.figures["music_tempo_same"] == true.figures["music_tempo_half"] == 0.5


def test_a_set_without_any_figure_is_shown_all_the_same(
    blind: Instruments, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "alone.mp4", iter(np.zeros((20, 32, 32, 3), np.uint8)), fps=30.0)
    show_rows(Comparison(blind, cache=kept).rows(find_items(tmp_path)[0], [], ()), blind)
    shown = capsys.readouterr().out
    assert "dances: 1 generated" in shown
    assert "generated: alone: no poses: no detector" in shown


def test_equal_remarks_are_one_line_and_many_are_cut() -> None:
    row = Row("own", notes={f"clip{number}": ["silent", f"{number} frames"] for number in range(12)})
    lines = remarks([row])
    assert lines[0] == "own: clip0, clip1, clip2 and 9 more: silent"
    assert lines[1] == "own: clip0: 0 frames"
    assert len(lines) == 11
    assert lines[-1] == "own: 3 further remarks on single dances; --json and --html have them all"


def test_many_rows_stay_readable_on_a_narrow_terminal(
    real: Path, tools: Instruments, kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert side_by_side([10, 20, 30], 35) == [[0, 1], [2]]
    assert side_by_side([50, 20], 35) == [[0], [1]]
    rows = Comparison(tools, cache=kept).rows([], find_items(real)[0], ("frozen", "smooth", "locked"))
    monkeypatch.setenv("COLUMNS", "80")
    show_rows(rows, tools)
    shown = capsys.readouterr().out
    assert "…" not in shown
    for row in rows:
        assert cell(row.figures, "brake_sync") in shown
    for name in ("beat_f1_null", "beat_f1_chance", "div_kinetic_real"):
        assert name in shown
