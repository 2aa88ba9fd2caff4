"""SIGKILL at random points: the next start continues, and the shards are those of an undisturbed run to the byte."""

import importlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xdancer.prepare import Execution, PrepareSettings, prepare_videos

SUPPORT = Path(__file__).resolve().parents[1] / "support"
SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=1.0, min_person=50, features=("librosa",), shot_threshold=0.0)
FORKS = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")  # the child computes on its own threads only
pytestmark = [FORKS, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


@pytest.fixture
def detector_maker(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Of a module that worker processes can import."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    return importlib.import_module("deadly").Everywhere


@pytest.fixture
def folder(video: Callable[..., Path]) -> Path:
    """Six clips and a stretch that becomes none."""
    video("a.mp4", 2.0)
    video("b.mp4", 3.0)
    video("silent.mp4", 1.0, silent=True)
    return video("c.mp4", 1.25).parent


def shards(out: Path) -> dict[str, bytes]:
    found = (path for split in ("train", "val", "test") for path in sorted((out / split).glob("*")))
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def work(out: Path) -> dict[str, tuple[int, int]]:
    """Finished clips and rejections, and when they were made."""
    kept = [path for pattern in ("*.npz", "*.json") for path in (out / ".work").glob(pattern)]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept if not path.name.startswith(".")}


def start(function: Callable[[], object]) -> int:
    """The call in a process of its own; 0 is its exit code if it ends well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
            function()
            code = 0
        finally:
            os._exit(code)
    return pid


def kill_at_random(run: Callable[[Path], object], out: Path, reference: dict[str, bytes], *, kills: int, longest: float) -> tuple[int, int]:
    """Start the run again and again and kill it after a random while; when it gets through, compare and begin anew. (kills, runs completed)."""
    rng, killed, completed, made = random.Random(0), 0, 0, dict[str, tuple[int, int]]()
    while killed < kills or completed == 0:
        pid = start(lambda: run(out))
        if killed < kills:
            time.sleep(rng.uniform(0, longest))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        now = work(out)
        assert {name: now.get(name) for name in made} == made, "finished clips are neither lost nor made again"
        made = now
        if os.WIFSIGNALED(status):
            killed += 1
            assert shards(out) in ({}, reference), "splits appear whole or not at all"
        else:
            assert os.WEXITSTATUS(status) == 0
            assert shards(out) == reference
            completed += 1
            shutil.rmtree(out)
            made = {}
    return killed, completed


def test_a_handful_of_kills(video: Callable[..., Path], tmp_path: Path, detector_maker: Callable[[], Any], plain_page: None) -> None:
    folder, detector = video("a.mp4", 3.0).parent, detector_maker()
    prepare_videos(folder, tmp_path / "warm", replace(SETTINGS, min_seconds=1.01, max_seconds=1.5), detector=detector)  # libraries are loaded
    began = time.monotonic()
    prepare_videos(folder, tmp_path / "reference", SETTINGS, detector=detector)
    reference, longest = shards(tmp_path / "reference"), 0.7 * (time.monotonic() - began)

    def run(out: Path) -> None:
        prepare_videos(folder, out, SETTINGS, detector=detector, keep_work=True)

    killed, completed = kill_at_random(run, tmp_path / "out", reference, kills=4, longest=longest)
    assert killed == 4
    assert completed >= 1


@pytest.mark.study
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("workers", "kills"), [(0, 40), (2, 20)])
def test_many_kills(folder: Path, tmp_path: Path, detector_maker: Callable[[], Any], workers: int, kills: int) -> None:
    execution = Execution(workers=workers)
    prepare_videos(folder, tmp_path / "warm", SETTINGS, detector=detector_maker())
    began = time.monotonic()
    prepare_videos(folder, tmp_path / "reference", SETTINGS, detector=detector_maker, execution=execution)
    reference, longest = shards(tmp_path / "reference"), 0.7 * (time.monotonic() - began)

    def run(out: Path) -> None:
        prepare_videos(folder, out, SETTINGS, detector=detector_maker, execution=execution, keep_work=True)

    killed, completed = kill_at_random(run, tmp_path / "out", reference, kills=kills, longest=longest)
    print(f"workers {workers}: killed {killed} times, {completed} runs completed, clips lost 0, made twice 0")
    assert killed == kills
