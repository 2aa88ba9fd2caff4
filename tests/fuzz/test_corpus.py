"""Damaged files of every kind, each read in a process of its own: none crashes, none hangs. `-m study` feeds the whole corpus."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KINDS = 19


def outcomes(tmp_path: Path, count: int) -> list[dict]:
    if not hasattr(sys.modules["os"], "fork"):
        pytest.skip("needs fork")
    command = [
        sys.executable,
        str(HERE / "run.py"),
        "--count",
        str(count),
        "--out",
        str(tmp_path / "rows.json"),
        "--keep",
        str(tmp_path / "bad"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((tmp_path / "rows.json").read_text())


def test_a_sample_of_the_corpus(tmp_path: Path) -> None:
    rows = outcomes(tmp_path, KINDS + 2)
    assert len({row["kind"] for row in rows}) == KINDS
    assert {row["outcome"] for row in rows} == {"fine", "refused"}


@pytest.mark.study
def test_the_whole_corpus(tmp_path: Path) -> None:
    rows = outcomes(tmp_path, 20 * KINDS)
    assert {row["outcome"] for row in rows} == {"fine", "refused"}
    assert sum(row["outcome"] == "refused" for row in rows) > 0.5 * len(rows)
