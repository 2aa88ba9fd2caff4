"""`compile: true`: the same numbers from torch.compile."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_compiled_stages_compute_the_same(tmp_path: Path) -> None:
    """Outputs and gradients of all three, phase (b) with gradient checkpointing and a pose guider."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, str(ROOT / "tests/support/compiled.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1100)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["stage"] for row in rows] == ["vqvae", "gpt", "video", "phase_b"]
    assert all(row["output"] < 1e-4 and row["gradients"] < 1e-4 for row in rows), rows
