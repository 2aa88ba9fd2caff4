"""Cuts between shots, and clips that lie within them."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from xdancer import media
from xdancer.errors import MissingPackageError
from xdancer.prepare import shots
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.shots import shot_finder, shot_starts
from xdancer.prepare.sources import Source, plan_cuts
from xdancer.prepare.work import plan_video

NEEDS_SCENEDETECT = pytest.mark.skipif(find_spec("scenedetect") is None, reason="PySceneDetect (extra `pose`) is not installed")
SETTINGS = PrepareSettings(min_seconds=1.0, max_seconds=2.0)
FPS = 24.0


def room(number: int) -> np.ndarray:
    """A textured wall of its own colour."""
    rng = np.random.default_rng(number)
    colour = np.array([(200, 40, 40), (40, 60, 200)][number])
    return (colour + rng.integers(-30, 30, (15, 20, 1)).repeat(3, axis=2)).clip(0, 255).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)


def write(path: Path, rooms: list[int], *, flash: int | None = None) -> Path:
    """A block dances through the rooms, one entry per picture; at `flash` everything is white."""
    frames = []
    for time, number in enumerate(rooms):
        frame = room(number).copy()
        left = 60 + round(40 * np.sin(time / 4))
        frame[30:110, left : left + 24] = 20
        frames.append(np.full_like(frame, 255) if time == flash else frame)
    sound = np.sin(np.arange(round(len(rooms) / FPS * 44100)) * 0.05).astype(np.float32)
    media.write_video(path, frames, fps=FPS, audio=sound)
    return path


@NEEDS_SCENEDETECT
def test_a_cut_is_found_at_its_picture_and_clips_stop_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [0] * 41 + [1] * 60 + [0] * 12)
    assert shot_starts(path, SETTINGS) == pytest.approx([41 / FPS, 101 / FPS])
    assert shot_starts(path, PrepareSettings(source_fps=48.0)) == pytest.approx([41 / 48, 101 / 48])
    plan = plan_video(Source(path, "a.mp4", "song", "0" * 64), SETTINGS)
    spans = [(cut.start, cut.stop) for cut in plan.cuts]
    assert spans == [pytest.approx(span) for span in ((0, 41 / FPS), (41 / FPS, 71 / FPS), (71 / FPS, 101 / FPS))]
    assert plan.notes == ("1 of 3 shots are shorter than --min-seconds 1",)


@NEEDS_SCENEDETECT
def test_flash_and_dance_are_no_cuts(tmp_path: Path) -> None:
    assert shot_starts(write(tmp_path / "a.mp4", [0] * 60, flash=30), SETTINGS) == []


@NEEDS_SCENEDETECT
def test_only_short_shots(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", ([0] * 20 + [1] * 20) * 2)
    plan = plan_video(Source(path, "a.mp4", "song", "0" * 64), SETTINGS)
    assert plan.cuts == ()
    assert plan.reasons == ("no shot is long enough: the longest has 0.8 s",)


def test_each_shot_is_divided_by_itself() -> None:
    cuts = plan_cuts(Source(Path("a.mp4"), "a.mp4", "a", "0123456789" * 6), 60.0, PrepareSettings(), [3.0, 28.0, 40.0])
    assert [(cut.start, cut.stop) for cut in cuts] == [(3.0, 15.5), (15.5, 28.0), (28.0, 40.0), (40.0, 60.0)]
    assert [cut.key for cut in cuts] == [f"a-01234567-{number:03d}" for number in range(4)]


def test_without_the_package_the_next_step_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shots, "REQUIREMENT", False)
    with pytest.raises(MissingPackageError, match=r"pip install 'xdancer\[pose\]'.*--shot-threshold 0"):
        shot_finder(SETTINGS)
    assert shot_finder(PrepareSettings(shot_threshold=0.0)) == ""
