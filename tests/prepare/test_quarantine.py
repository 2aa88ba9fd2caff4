"""Videos that cost worker processes: tried twice, listed with the reason, left alone from then on."""

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from xdancer import media
from xdancer.errors import XDancerError
from xdancer.prepare import Execution, Part, PrepareSettings, merge_parts, prepare_part, prepare_videos
from xdancer.prepare.quarantine import Quarantine
from xdancer.prepare.tasks import Task, WorkerDiedError

SUPPORT = Path(__file__).resolve().parents[1] / "support"
SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=1.0, min_person=50, features=("librosa",), shot_threshold=0.0)
TWO = Execution(workers=2)


class Death(BaseException):
    """Ends a pretended worker process."""


class Pretended:
    """A worker in this process."""

    def __init__(self) -> None:
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task

    def answer(self) -> Any:
        task, self.task = self.task, None
        try:
            return None if task is None else task.function(*task.arguments)
        except Death as death:
            raise WorkerDiedError(f"died of {death}") from death

    def kill(self) -> None:
        pass


class PretendedCrew:
    size = 2

    def hire(self) -> Pretended:
        return Pretended()

    def wait(self, workers: Sequence[Pretended], seconds: float) -> list[Pretended]:
        return list(workers)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, plain_page: None) -> None:
    """No processes, no page."""

    @contextmanager
    def crew(self: Execution, gpu: bool) -> Iterator[PretendedCrew]:
        yield PretendedCrew()

    monkeypatch.setattr(Execution, "_crew", crew)


@pytest.fixture
def poison(detector: Any) -> Callable[[], Any]:
    """A detector that dies where nobody is in the picture, and counts its deaths."""

    class Poisoned(type(detector)):
        deaths = 0
        tame = False

        def track(self, frames: Any) -> Any:
            for pose in super().track(frames):
                if not pose.pixels.any() and not Poisoned.tame:
                    Poisoned.deaths += 1
                    raise Death("a picture")
                yield pose

    return Poisoned


@pytest.mark.usefixtures("pretended")
def test_tried_twice_then_left_alone_until_asked(video: Callable[..., Path], tmp_path: Path, poison: Any) -> None:
    video("good.mp4", 2.0)
    folder = video("poison.mp4", 3.0, absent=(1.2, 9.0)).parent
    out, lines = tmp_path / "out", list[str]()
    report = prepare_videos(folder, out, SETTINGS, detector=poison, execution=TWO, progress=lambda *step: lines.append(step[3]))
    assert poison.deaths <= 4  # two cuts of it at a time, each tried twice at most
    good, bad = report.videos
    assert (len(good.clips), bad.clips) == (2, ())
    assert bad.quarantined.startswith("the worker process died of a picture (poison-")
    assert "poison.mp4: quarantined: the worker process died of a picture" in bad.line
    assert any("1 in quarantine, listed in quarantine.json" in line for line in report.lines())
    (row,) = json.loads((out / "quarantine.json").read_text())
    assert (row["video"], row["reason"]) == ("poison.mp4", bad.quarantined)
    assert "1 quarantined" in lines[-3] or any("1 quarantined" in line for line in lines)

    deaths = poison.deaths
    (folder / "poison.mp4").rename(folder / "renamed.mp4")
    again = prepare_videos(folder, out, SETTINGS, detector=poison, execution=TWO, overwrite=True)
    assert again.videos[1].quarantined == bad.quarantined
    assert poison.deaths == deaths

    poison.tame = True
    freed = prepare_videos(folder, out, SETTINGS, detector=poison, execution=TWO, retry_quarantined=True)
    assert (freed.quarantined, freed.accepted) == (0, 2)
    assert not (out / "quarantine.json").exists()
    assert prepare_videos(folder, out, SETTINGS, detector=poison, execution=TWO, retry_quarantined=True).finished_before


@pytest.mark.usefixtures("pretended")
def test_planning_may_be_deadly_too(video: Callable[..., Path], tmp_path: Path, detector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    video("good.mp4", 1.0)
    bad = video("poison.mp4", 1.25)
    probe = media.probe

    def deadly(path: Path) -> Any:
        if Path(path).name == bad.name:
            raise Death("a header")
        return probe(path)

    monkeypatch.setattr(media, "probe", deadly)
    report = prepare_videos(bad.parent, tmp_path / "out", SETTINGS, detector=type(detector), execution=TWO)
    assert report.videos[1].quarantined == "the worker process died of a header"
    assert report.clips == {"train": 1}


@pytest.mark.usefixtures("pretended")
def test_only_poison_is_an_error_that_says_so(video: Callable[..., Path], tmp_path: Path, poison: Any) -> None:
    folder = video("poison.mp4", 1.0, absent=(0.0, 9.0)).parent
    for _ in range(2):
        with pytest.raises(XDancerError, match=r"none of 1 videos could be used \(poison.mp4: quarantined: the worker process died"):
            prepare_videos(folder, tmp_path / "out", SETTINGS, detector=poison, execution=TWO)
    assert poison.deaths == 2


@pytest.mark.usefixtures("pretended")
def test_the_quarantine_of_parts_is_merged(video: Callable[..., Path], tmp_path: Path, poison: Any) -> None:
    video("good.mp4", 1.0)
    folder = video("poison.mp4", 1.0, absent=(0.0, 9.0)).parent
    for index in range(2):
        prepare_part(folder, tmp_path / "parts", Part(index, 2), SETTINGS, detector=poison, execution=TWO)
    report = merge_parts([tmp_path / "parts"], tmp_path / "out")
    assert report.quarantined == 1
    assert [row.video for row in Quarantine(tmp_path / "out").rows] == ["poison.mp4"]


def test_a_damaged_list_is_said(tmp_path: Path) -> None:
    (tmp_path / "quarantine.json").write_text('[{"video": "a"}]')
    with pytest.raises(XDancerError, match=r"quarantine.json: cannot be read .*Remove it to try its videos again"):
        Quarantine(tmp_path)


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that worker processes can import."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    return importlib.import_module("deadly")


def coloured(path: Path, colour: tuple[int, int, int], sound: np.ndarray) -> None:
    media.write_video(path, [np.full((120, 160, 3), colour, np.uint8)] * 36, fps=24.0, audio=sound, sample_rate=44100)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_processes_that_exit_and_crash(
    video: Callable[..., Path], clicks: Callable[[float], np.ndarray], tmp_path: Path, deadly: ModuleType
) -> None:
    folder = video("good.mp4", 2.0).parent
    for name in ("exits", "aborts"):
        coloured(folder / f"{name}.mp4", deadly.DEADLY[name], clicks(1.5))
    report = prepare_videos(folder, tmp_path / "out", SETTINGS, detector=deadly.Deadly, execution=TWO)
    assert {video.video: video.quarantined.partition(" (")[0] for video in report.videos} == {
        "aborts.mp4": "the worker process was killed by SIGABRT", "exits.mp4": "the worker process ended with exit code 7", "good.mp4": "",
    }  # fmt: skip
    assert report.clips == {"train": 2}


@pytest.mark.slow
def test_a_real_process_that_hangs(tmp_path: Path, clicks: Callable[[float], np.ndarray], deadly: ModuleType) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    coloured(folder / "hangs.mp4", deadly.DEADLY["hangs"], clicks(1.5))
    execution = Execution(workers=1, clip_timeout=10.0)  # on a slow machine the planning may be what takes longer
    with pytest.raises(XDancerError, match=r"hangs.mp4: quarantined: took longer than --clip-timeout 10 s"):
        prepare_videos(folder, tmp_path / "out", SETTINGS, detector=deadly.Deadly, execution=execution)
