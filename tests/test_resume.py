"""A run that is killed, stopped or damaged goes on as if nothing had happened."""

import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from xdancer.cli import main
from xdancer.cli.checkpoints import damage, newest_checkpoint
from xdancer.cli.interruption import STOPPED
from xdancer.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[1]
SUPPORT = ROOT / "tests/support"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A config in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SUPPORT))
    shutil.copy(SUPPORT / "tiny.yaml", tmp_path)
    return "tiny.yaml"


def figures(run: str) -> list[dict[str, str]]:
    with Path(run, "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def state(run: str) -> dict[str, Any]:
    return torch.load(Path(run, "last.ckpt"), weights_only=True)["state_dict"]


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return list(one) == list(other) and all(torch.equal(value, other[name]) for name, value in one.items())


def kill(tmp_path: Path, *arguments: str) -> None:
    """Part of the study that kills runs at random moments; its last line is the row of the last case."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SUPPORT / "kills.py"), "--out", str(tmp_path / "kills"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"stage"')]
    assert rows
    assert all(row["equal"] == row["runs"] >= 1 for row in rows), rows


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_as_the_one_that_nobody_disturbed(tmp_path: Path) -> None:
    """On one and on two ranks: weights, codebooks, optimiser, schedule, random numbers, callbacks, loops and logged figures, to the bit."""
    kill(tmp_path, "--kills", "4", "--stages", "vqvae")


@pytest.mark.study
@pytest.mark.timeout(1800)
def test_all_stages_survive_fifty_kills(tmp_path: Path) -> None:
    kill(tmp_path, "--kills", "50")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_checkpoints_written_in_the_background_survive_kills(tmp_path: Path) -> None:
    kill(tmp_path, "--kills", "4", "--stages", "vqvae", "--background")


@pytest.mark.parametrize("step", [2, 4])
def test_a_run_killed_in_its_validation_validates_first(config: str, step: int) -> None:
    """The checkpoint is written before the validation of its step; the validation of the last step is not lost either."""
    main(["fit", "--config", config])
    shutil.copytree("run", "whole")
    main(["fit", "--config", config, "--ckpt_path", f"run/checkpoints/step={step:08d}.ckpt"])
    assert figures("run") == figures("whole")
    assert [row["step"] for row in figures("whole") if row["val/loss"]] == ["1", "3"]
    assert same(state("run"), state("whole"))
    starts = json.loads(Path("run/run.json").read_text())["starts"]
    assert (starts[-1]["start_step"], starts[-1]["end_step"], "ended" in starts[-1]) == (step, 4, True)


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM"])
def test_a_signal_stops_a_run_behind_its_step_with_a_checkpoint(config: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    arguments = ["fit", "--config", config, "--checkpoint.every_n_train_steps", "100"]
    main([*arguments, "--run_dir", "whole"])
    before = signal.getsignal(getattr(signal, name))
    sends = {"class_path": "sends_signal.SendsSignal", "init_args": {"step": 3, "name": name}}
    Path("signal.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [sends]}}))
    with pytest.raises(SystemExit) as stop, caplog.at_level(logging.INFO):
        main([*arguments, "--config", "signal.yaml"])
    assert stop.value.code == STOPPED == 75
    assert f"{name}: stopped at step 3" in caplog.text
    assert signal.getsignal(getattr(signal, name)) == before
    start = json.loads(Path("run/run.json").read_text())["starts"][-1]
    assert (start["end_step"], start["stopped_by"], "ended" in start) == (3, "signal", False)
    done = main([*arguments, "--ckpt_path", "last"])
    assert done.trainer.global_step == 4
    assert figures("run") == figures("whole")
    assert same(state("run"), state("whole"))


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(config: str, caplog: pytest.LogCaptureFixture) -> None:
    arguments = ["fit", "--config", config]
    main(arguments)
    whole = state("run")
    newest, before = (Path(f"run/checkpoints/step={step:08d}.ckpt") for step in (4, 2))
    assert newest.samefile("run/last.ckpt")  # written once
    assert newest_checkpoint(Path("run")) == Path("run/last.ckpt")
    content = newest.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (content[: len(content) // 2], bytes(flipped), b""):
        newest.write_bytes(damaged)  # last.ckpt, too
        assert damage(newest) is not None
        with pytest.warns(UserWarning, match=r"last.ckpt is damaged: continuing at run/checkpoints/step=00000002.ckpt"):
            assert newest_checkpoint(Path("run")) == before
    with pytest.warns(UserWarning, match="is damaged"), caplog.at_level(logging.WARNING):
        again = main([*arguments, "--ckpt_path", "last"])
    assert again.trainer.global_step == 4
    assert damage(newest) is None
    assert same(state("run"), whole)
    for path in (newest, before):
        path.write_bytes(content[:1000])
    with pytest.raises(CheckpointError, match="all 3 checkpoints are damaged"):
        newest_checkpoint(Path("run"))


def test_last_never_means_an_earlier_run_in_the_folder(config: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checkpoints may be of later steps, and of another seed; they are kept."""
    main(["fit", "--config", config])
    earlier = state("run")
    with caplog.at_level(logging.INFO), monkeypatch.context() as patch:
        patch.setattr(Trainer, "_fit_impl", lambda *arguments, **named: None)  # ends before its first checkpoint
        main(["fit", "--config", config, "--seed_everything", "1"])
    assert "its checkpoints are in run/earlier_1 now" in caplog.text
    assert newest_checkpoint(Path("run")) is None
    assert same(state("run/earlier_1"), earlier)
    main(["fit", "--config", config, "--ckpt_path", "last", "--trainer.max_steps", "2"])
    main(["fit", "--config", config])
    assert sorted(path.name for path in Path("run/earlier_2/checkpoints").iterdir()) == ["step=00000002.ckpt"]


def test_all_damaged_checkpoints_are_one_line(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("run/last.ckpt").write_bytes(b"PK")
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", config, "--ckpt_path", "last"])
    assert stop.value.code == 2
    assert "all 1 checkpoints are damaged. Start anew without --ckpt_path" in capsys.readouterr().err


def test_another_number_of_processes_is_said(config: str, caplog: pytest.LogCaptureFixture) -> None:
    main(["fit", "--config", config, "--trainer.max_steps", "2"])
    content = torch.load("run/last.ckpt", weights_only=True)
    content["run"]["world_size"] = 8
    torch.save(content, "run/last.ckpt")
    with caplog.at_level(logging.INFO):
        main(["fit", "--config", config, "--trainer.max_steps", "3", "--ckpt_path", "last"])
    assert "Resumed on 1 processes, written on 8" in caplog.text


def test_a_killed_writer_leaves_half_a_row(config: str) -> None:
    main(["fit", "--config", config, "--trainer.max_steps", "3", "--run_dir", "whole"])
    main(["fit", "--config", config, "--trainer.max_steps", "2"])
    with Path("run/metrics.csv").open("a") as file:
        file.write("0,2,3.14,0.0")  # no end of line
    main(["fit", "--config", config, "--trainer.max_steps", "3", "--ckpt_path", "last"])
    assert figures("run") == figures("whole")
