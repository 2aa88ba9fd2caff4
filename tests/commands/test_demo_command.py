"""`xdancer demo` with small programs in place of its phases: order, resume, refusals. The real one is in tests/e2e."""

from pathlib import Path

import pytest

from xdancer.__main__ import main
from xdancer.demo.phase import Phase


@pytest.fixture
def phases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two phases; the second fails unless the file `repaired` exists. The report is a single line."""
    log = tmp_path / "ran.txt"

    def make(*_, **__) -> list[Phase]:
        second = f"import pathlib, sys; sys.exit(not pathlib.Path({str(tmp_path / 'repaired')!r}).exists() and 'disk on fire')"
        return [
            Phase("first", "first", ("-c", f"open({str(log)!r}, 'a').write('first ')")),
            Phase("second", "second", ("-c", second), needs=("first",)),
        ]

    def tell(folders, state, _) -> None:
        (folders.root / "report.html").write_text("report")
        state.complete = True
        state.save()

    monkeypatch.setattr("xdancer.demo.plan.make_phases", make)
    monkeypatch.setattr("xdancer.demo.story.tell", tell)
    return tmp_path


def test_a_failed_phase_is_one_line_and_the_same_command_continues(phases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = phases / "demo"
    arguments = ["demo", "--out", str(out), "--minutes", "5"]
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "xdancer demo: phase 'second' failed with exit code 1: " in error[0]
    assert "disk on fire" in error[0]
    assert str(out / "logs/second.log") in error[0]
    (phases / "repaired").touch()
    assert main(["demo", "--out", str(out), "--minutes", "6"]) == 2
    assert "--minutes 5.0, this call asks for --minutes 6.0" in capsys.readouterr().err
    assert main(arguments) == 0
    assert (phases / "ran.txt").read_text() == "first "
    assert (out / "report.html").is_file()
    assert "already done: first" in capsys.readouterr().out


def test_a_complete_demo_is_kept_aside_and_trained_anew(phases: Path) -> None:
    (phases / "repaired").touch()
    for _ in range(2):
        assert main(["demo", "--out", str(phases / "demo")]) == 0
    assert (phases / "ran.txt").read_text() == "first first "
    assert (phases / "demo.1/report.html").is_file()
    assert (phases / "demo/report.html").is_file()


def test_other_folders_and_impossible_minutes_are_refused(
    phases: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(phases)  # a demo may have been made where the tests run
    (phases / "photos").mkdir()
    (phases / "photos/holiday.jpg").touch()
    (phases / "file").touch()
    cases = (
        (["--out", str(phases / "photos")], "holds other files"),
        (["--out", str(phases / "file")], "this is a file"),
        (["--minutes", "0.1"], "--minutes 0.1"),
        (["--minutes", "5", "--shipped"], "--shipped trains nothing"),
    )
    for flags, expected in cases:
        assert main(["demo", *flags]) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert len(error.strip().splitlines()) == 1
    assert not Path("xdancer_demo").exists()
    assert [path.name for path in (phases / "photos").iterdir()] == ["holiday.jpg"]


def test_two_demos_do_not_share_a_folder(phases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fcntl = pytest.importorskip("fcntl", reason="file locks exist on Unix only")
    (phases / "demo").mkdir()
    from xdancer.demo.state import open_state

    open_state(phases / "demo", {"seed": 0, "minutes": 15.0, "device": "cpu", "precision": "fp32"})
    with (phases / "demo/.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert main(["demo", "--out", str(phases / "demo"), "--device", "cpu"]) == 2
    assert "is in use by another xdancer demo" in capsys.readouterr().err
