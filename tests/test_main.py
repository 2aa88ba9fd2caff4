"""The console entry: help at once, one line and exit code 2 for a user's mistake."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xdancer import __main__ as entry


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from xdancer.__main__ import main; main(['--help']); print(sorted({'torch', 'numpy', 'jsonargparse'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in entry.COMMANDS)


def test_unknown_command_names_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["dnace"]) == 2
    assert "'dnace'" in capsys.readouterr().err


def test_flags_with_dashes_and_underscores_are_the_same() -> None:
    assert entry.dashed(["--top-k", "5", "--out=a-b", "c-d"]) == ["--top_k", "5", "--out=a-b", "c-d"]
    assert entry.dashed(["-W", "512", "-H", "8"]) == ["--width", "512", "--height", "8"]


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "probe_command.py").write_text(
        "from pathlib import Path\n"
        "from xdancer.errors import MediaError\n"
        "def probe(image: Path, side_by_side: bool = False, top_k: int = 0):\n"
        '    """Probe."""\n'
        "    if not side_by_side:\n"
        "        raise MediaError(f'{image}: no such file.\\nCheck --image.')\n"
        "    print('seen', image, top_k)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(entry.COMMANDS, "probe", ("probe_command:probe", "probe"))


@pytest.mark.usefixtures("probe")
def test_user_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["probe", "--image", "x.png"]) == 2
    assert capsys.readouterr().err == "xdancer probe: x.png: no such file. Check --image.\n"


@pytest.mark.usefixtures("probe")
def test_flags_reach_the_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["probe", "--image", "x.png", "--side-by-side", "--top-k=3"]) == 0
    assert capsys.readouterr().out == "seen x.png 3\n"


@pytest.mark.usefixtures("probe")
def test_wrong_flag_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["probe", "--imgae", "x.png"]) == 2
    assert "imgae" in capsys.readouterr().err


@pytest.mark.usefixtures("probe")
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device. Free space or choose another place."),
        (errno.EACCES, "Permission denied. Change the permissions or choose another place."),
        (errno.ENOTDIR, "Not a directory. A file stands where a folder is needed: choose another path."),
        (errno.EEXIST, "File exists. A file stands where a folder is needed: choose another path."),
        (errno.EISDIR, "Is a directory. A folder stands where a file is needed: choose another path."),
        (errno.ENOENT, "No such file or directory. Check the path."),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else "",
)
def test_a_system_error_of_the_users_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    import probe_command

    def refused(image: str) -> None:
        raise OSError(number, os.strerror(number), f"{image}/below")

    monkeypatch.setattr(probe_command, "probe", refused)
    assert entry.main(["probe", "--image", "x.png"]) == 2
    assert capsys.readouterr().err == f"xdancer probe: x.png/below: {words}\n"


@pytest.mark.usefixtures("probe")
@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "No such file", "/lost/of/the/package"), OSError(errno.EIO, "I/O error")])
def test_a_system_error_that_is_not_the_users_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    import probe_command

    def fails(image: str, side_by_side: bool = False) -> None:
        raise error

    monkeypatch.setattr(probe_command, "probe", fails)
    with pytest.raises(OSError, match=re.escape(str(error))):
        entry.main(["probe", "--image", "x.png", "--side-by-side"])


def test_a_demo_below_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert entry.main(["demo", "--out", f"{tmp_path}/file/x"]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith(f"xdancer demo: {tmp_path}/file")
    assert "A file stands where a folder is needed" in line
