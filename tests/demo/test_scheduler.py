"""The demo's scheduler with small Python programs in place of the phases."""

import json
import sys
from pathlib import Path

import pytest

from xdancer.demo.phase import Phase, last_step
from xdancer.demo.scheduler import ready, run_phases
from xdancer.demo.state import State, open_state
from xdancer.errors import XDancerError


def program(name: str, code: str, **options) -> Phase:
    return Phase(name, name, ("-c", code), **options)


def touch(folder: Path, name: str, *needs: str, **options) -> Phase:
    """A phase that checks its needs' files and writes its own."""
    code = f"import pathlib; [open(pathlib.Path({str(folder)!r}) / n) for n in {needs!r}]; (pathlib.Path({str(folder)!r}) / {name!r}).touch()"
    return program(name, code, needs=needs, **options)


def test_runs_in_the_order_of_needs_and_records_seconds(tmp_path: Path) -> None:
    phases = [
        touch(tmp_path, "last", "left", "right"),
        touch(tmp_path, "left", "first"),
        touch(tmp_path, "right", "first"),
        touch(tmp_path, "first"),
    ]
    state = open_state(tmp_path / "demo", {"seed": 0})
    run_phases(phases, state, tmp_path / "logs")
    saved = json.loads((tmp_path / "demo/state.json").read_text())
    assert set(saved["finished"]) == {"first", "left", "right", "last"}
    assert all(seconds >= 0 for seconds in saved["finished"].values())


def test_two_phases_of_one_thread_share_the_cores_and_one_of_two_runs_alone() -> None:
    state = State(Path("unused"), {})
    phases = [program("a", ""), program("b", ""), program("c", "")]
    assert [phase.name for phase in ready(phases, state, {}, 2)] == ["a", "b"]
    wide = [program("w", "", threads=2), program("x", "")]
    assert [phase.name for phase in ready(wide, state, {}, 2)] == ["w"]
    assert [phase.name for phase in ready(wide, state, {}, 1)] == ["w"]


def test_a_failing_child_gives_one_line_with_the_end_of_its_log_and_keeps_what_is_done(tmp_path: Path) -> None:
    phases = [touch(tmp_path, "first"), program("second", "print('the cause of it'); raise SystemExit(3)", needs=("first",))]
    state = open_state(tmp_path / "demo", {"seed": 0})
    with pytest.raises(XDancerError, match=r"phase 'second' failed with exit code 3: .*the cause of it"):
        run_phases(phases, state, tmp_path / "logs")
    assert list(state.finished) == ["first"]
    again = open_state(tmp_path / "demo", {"seed": 0})
    run_phases([phases[0], touch(tmp_path, "second", "first")], again, tmp_path / "logs")
    assert set(again.finished) == {"first", "second"}


def test_an_interrupt_stops_the_children_and_the_next_start_continues(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def interrupt(running) -> None:
        if "slow" in running:
            raise Stop

    state = open_state(tmp_path / "demo", {"seed": 0})
    phases = [touch(tmp_path, "first"), program("slow", "import time; time.sleep(60)", needs=("first",))]
    with pytest.raises(Stop):
        run_phases(phases, state, tmp_path / "logs", watch=interrupt)
    again = open_state(tmp_path / "demo", {"seed": 0})
    assert list(again.finished) == ["first"]
    assert "slow" in again.spent


def test_an_interrupted_training_phase_continues_from_its_last_checkpoint(tmp_path: Path) -> None:
    phase = program("train", "", run_dir=tmp_path / "run", steps=10)
    assert phase.command() == [sys.executable, "-c", ""]
    (tmp_path / "run").mkdir()
    (tmp_path / "run/last.ckpt").touch()
    assert phase.command()[-2:] == ["--ckpt_path", "last"]


def test_progress_is_read_from_the_metrics_or_the_log(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("epoch,step,train/loss\n0,9,1.5\n0,19,1.2\n0,2")
    assert last_step(metrics) == 19
    log = tmp_path / "log"
    log.write_text("clips 3/60 \r clips 17/60 at 2.5/s\n")
    assert program("data", "").progress(log) == (17, 60)
    assert program("train", "", run_dir=tmp_path, steps=40).progress(log) == (20, 40)


def test_other_settings_are_refused_and_a_complete_demo_is_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    state = open_state(folder, {"seed": 0, "minutes": 5})
    with pytest.raises(XDancerError, match=r"--minutes 5, this call asks for --minutes 15"):
        open_state(folder, {"seed": 0, "minutes": 15})
    state.complete = True
    state.save()
    assert open_state(folder, {"seed": 1, "minutes": 15}).finished == {}
    assert (tmp_path / "demo.1/state.json").is_file()


@pytest.mark.parametrize("content", ["", "[]", '{"version": 1, "wrong": 2}', '{"version": 99, "settings": {}}'])
def test_a_folder_with_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(XDancerError):
        open_state(tmp_path, {"seed": 0})


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(XDancerError, match="holds other files"):
        open_state(tmp_path, {"seed": 0})
