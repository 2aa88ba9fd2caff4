"""Checkpoints written by a thread: what was saved is what stands, in order, and no error is lost."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from callbacks import checkpoint_io
from callbacks.checkpoint_io import WholeCheckpointIO, copied
from xdancer.cli import main

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests/support"
BACKGROUND = "{class_path: callbacks.checkpoint_io.WholeCheckpointIO, init_args: {background: true}}"


def checkpoint() -> dict[str, Any]:
    weight = torch.arange(6.0).reshape(2, 3)
    return {"state_dict": {"a": weight, "tied": weight[1]}, "loops": {"done": [1, 2]}, "row": {"loss": 0.5}}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Nothing is written before it opens."""
    opened, write = Event(), checkpoint_io._write

    def wait(*arguments: Any) -> None:
        assert opened.wait(30)
        write(*arguments)

    monkeypatch.setattr(checkpoint_io, "_write", wait)
    return opened


def test_what_was_saved_is_what_stands(tmp_path: Path, gate: Event) -> None:
    """Training goes on meanwhile and changes weights in place and its own lists; the file is the one that writing at once leaves."""
    gate.set()
    WholeCheckpointIO().save_checkpoint(checkpoint(), tmp_path / "at_once.ckpt")
    gate.clear()
    io, state = WholeCheckpointIO(background=True), checkpoint()
    io.save_checkpoint(state, tmp_path / "a.ckpt")
    state["state_dict"]["a"].add_(1)
    state["loops"]["done"].append(3)
    assert not (tmp_path / "a.ckpt").exists()
    gate.set()
    io.teardown()
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "at_once.ckpt").read_bytes()
    assert list(io.load_checkpoint(tmp_path / "a.ckpt")["state_dict"]["tied"]) == [3, 4, 5]


def test_tensors_of_another_device_are_copied_too() -> None:
    """A GPU's would stay there otherwise, a second time."""
    asked: list[str] = []

    class OnGPU(torch.Tensor):
        device = torch.device("cuda")  # type: ignore[assignment]

        def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
            asked.append("cpu")
            return torch.tensor([7.0])

    found = copied({"optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(1).as_subclass(OnGPU)}}}]})
    assert asked == ["cpu"]
    assert found["optimizer_states"][0]["state"][0]["exp_avg"].item() == 7


def test_links_and_removals_come_behind_the_file(tmp_path: Path, gate: Event) -> None:
    io, new, old = WholeCheckpointIO(background=True), tmp_path / "new.ckpt", tmp_path / "old.ckpt"
    old.write_bytes(b"before")
    io.save_checkpoint(checkpoint(), new)
    io.remove_checkpoint(old)
    io.link(new, tmp_path / "last.ckpt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.ckpt"]
    gate.set()
    io.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "new.ckpt"]
    assert new.samefile(tmp_path / "last.ckpt")
    io.teardown()


@pytest.mark.parametrize("then", [lambda io, path: io.save_checkpoint({}, path), lambda io, path: io.teardown()], ids=["save", "teardown"])
def test_an_error_of_the_thread_is_raised_once_and_nothing_is_removed(tmp_path: Path, then: Callable[[Any, Path], None]) -> None:
    io, old = WholeCheckpointIO(background=True), tmp_path / "old.ckpt"
    old.write_bytes(b"before")
    (tmp_path / "file").touch()
    io.save_checkpoint(checkpoint(), tmp_path / "file/a.ckpt")  # a file where a folder is needed
    io.link(tmp_path / "file/a.ckpt", tmp_path / "last.ckpt")
    io.remove_checkpoint(old)
    with pytest.raises(FileExistsError, match=r"file/a\.ckpt"):
        then(io, tmp_path / "b.ckpt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old.ckpt"]
    io.teardown()


def test_a_run_whose_last_checkpoint_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not count as ended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SUPPORT))
    shutil.copy(SUPPORT / "tiny.yaml", tmp_path)
    write = checkpoint_io._write

    def refuse(state: dict[str, Any], target: Path) -> None:
        if state["global_step"] == 4:
            raise OSError(28, "No space left on device", str(target))
        write(state, target)

    monkeypatch.setattr(checkpoint_io, "_write", refuse)
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", "tiny.yaml", "--trainer.plugins", BACKGROUND])
    assert stop.value.code == 2
    assert "No space left on device" in capsys.readouterr().err
    assert '"ended"' not in Path("run/run.json").read_text()
    assert Path("run/checkpoints/step=00000002.ckpt").samefile("run/last.ckpt")
    monkeypatch.setattr(checkpoint_io, "_write", write)
    done = main(["fit", "--config", "tiny.yaml", "--trainer.plugins", BACKGROUND, "--ckpt_path", "last"])
    assert done.trainer.global_step == 4
    assert Path("run/checkpoints/step=00000004.ckpt").samefile("run/last.ckpt")


@pytest.mark.slow
def test_a_run_killed_while_a_checkpoint_is_written_resumes_at_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SUPPORT))
    shutil.copy(SUPPORT / "tiny.yaml", tmp_path)
    arguments = ["fit", "--config", "tiny.yaml", "--trainer.max_steps", "6", "--trainer.limit_val_batches", "0"]
    main([*arguments, "--run_dir", "whole"])
    dies = "{class_path: dies_writing.DiesWriting, init_args: {number: 2}}"
    command = [sys.executable, str(ROOT / "train.py"), *arguments, "--trainer.plugins", dies]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    died = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert [path.name for path in Path("run/checkpoints").glob("step*")] == ["step=00000002.ckpt"]
    assert len(list(Path("run/checkpoints").glob(".*.part"))) == 1
    main([*arguments, "--trainer.plugins", BACKGROUND, "--ckpt_path", "last"])
    whole, found = (torch.load(Path(run, "last.ckpt"), weights_only=True)["state_dict"] for run in ("whole", "run"))
    assert list(whole) == list(found)
    assert all(torch.equal(value, found[name]) for name, value in whole.items())
    assert not list(Path("run").rglob("*.part"))
