"""`xdancer embedded` on the command line: a full disk is one line and exit code 2, and the same command continues."""

import resource
from pathlib import Path

import pytest

from xdancer.__main__ import main

FLAGS = "--clips 2 --val-clips 1 --test-clips 1 --video-clips 0 --evaluation-video-clips 0 --seconds 2 --features [] --workers 1"


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    command = ["embedded", "--out", str(out), *FLAGS.split()]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the system refuses to write more, as on a full disk
    try:
        code = main(command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith(f"xdancer embedded: Cannot write shards to {out / 'train'}: File too large.")
    assert len(error.splitlines()) == 1
    assert list(out.iterdir()) == []
    assert main(command) == 0
    assert main(["shards", "verify", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["test", "train", "val"]
