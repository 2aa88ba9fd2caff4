"""train.py's command line on small poses: run folder, resume, and a user's mistakes in one line."""

import csv
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.plugins.environments import SLURMEnvironment

from xdancer import application, optimizers
from xdancer.batches import split_batch
from xdancer.checkpoint import fingerprint, load_model
from xdancer.cli import main
from xdancer.errors import XDancerError
from xdancer.vqvae.model import VQVAE

SUPPORT = Path(__file__).parent / "support"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A config in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SUPPORT))
    shutil.copy(SUPPORT / "tiny.yaml", tmp_path)
    return "tiny.yaml"


def rows(path: Path, column: str) -> list[tuple[int, str]]:
    with path.open(newline="") as file:
        return [(int(row["step"]), row[column]) for row in csv.DictReader(file) if row[column]]


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a refused command."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("train.py: ")
    return line


def test_a_run_lies_in_its_folder_and_continues_there(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = main(["fit", "--config", config, "--ckpt_path", "last"])  # nothing there yet: starts anew
    run = Path("run")
    assert first.trainer.global_step == 4
    assert {"last.ckpt", "run.json", "metrics.csv", "config.yaml", "checkpoints", "tensorboard"} <= {path.name for path in run.iterdir()}
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step=00000002.ckpt", "step=00000004.ckpt"]
    before = rows(run / "metrics.csv", "train/loss")
    assert [step for step, _ in before] == [0, 1, 2, 3]
    assert fingerprint(load_model(run / "last.ckpt", VQVAE)) == fingerprint(first.model.model)

    arguments = ["--config", config, "--trainer.max_steps", "7", "--model.init_args.optimizer.init_args.lr", "5e-5"]
    second = main(["fit", *arguments, "--ckpt_path", "last"])
    assert second.trainer.global_step == 7
    assert second.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(5e-5)  # the new rate, not the checkpoint's
    after = rows(run / "metrics.csv", "train/loss")
    assert after[:4] == before
    assert [step for step, _ in after] == list(range(7))
    for column in ("val/body_percent", "val/hands_percent", "val/min_perplexity", "val/perplexity_head", "val/dead_left_hand"):
        assert rows(run / "metrics.csv", column), column
    assert sorted(path.name for path in run.iterdir() if path.suffix == ".ckpt") == ["last.ckpt"]

    starts = json.loads((run / "run.json").read_text())["starts"]
    assert [(start["start_step"], start["end_step"]) for start in starts] == [(0, 4), (4, 7)]
    assert starts[1]["resumed_from"] == "run/last.ckpt"
    recorded, installed = (version.partition("+")[0] for version in (starts[0]["versions"]["torch"], torch.__version__))
    assert recorded == installed  # what stands behind the plus, the build, is not always part of the package's version
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 5e-5

    saved = (run / "config.yaml").read_text()
    line = fails(capsys, "fit", "--config", config, "--ckpt_path", "last", "--model.init_args.config.slots", "2")
    assert "slots 1 → 2" in line
    main(["validate", "--config", config, "--ckpt_path", "last"])
    main(["predict", "--config", config, "--ckpt_path", "last"])
    assert (run / "config.yaml").read_text() == saved  # how the weights were trained
    assert np.load(run / "predictions/rank0_000003.npy").shape == (8, 1, 5, 1)


def test_resuming_gives_the_run_that_was_not_interrupted(config: str) -> None:
    """Dead codes move to random latents: without the saved random states the codebooks would differ."""
    arguments = ["fit", "--config", config, "--model.init_args.config.revival_share", "0.9", "--trainer.limit_val_batches", "0"]
    whole = main([*arguments, "--run_dir", "whole", "--trainer.max_steps", "8"])
    main([*arguments, "--run_dir", "parts", "--trainer.max_steps", "4"])
    parts = main([*arguments, "--run_dir", "parts", "--trainer.max_steps", "8", "--ckpt_path", "last"])
    assert fingerprint(parts.model.model) == fingerprint(whole.model.model)
    assert rows(Path("parts/metrics.csv"), "train/loss") == rows(Path("whole/metrics.csv"), "train/loss")


@pytest.mark.parametrize(
    "end",
    [
        ["--trainer.max_steps", "3"],
        ["--trainer.max_steps", "-1", "--trainer.max_epochs", "1"],
        ["--trainer.val_check_interval", "3", "--config", "stops.yaml"],
    ],
    ids=["steps", "epochs", "early"],
)
def test_the_last_checkpoint_holds_weights_and_their_average(config: str, end: list[str]) -> None:
    """Step 3 ends an epoch and is no multiple of `every_n_train_steps`."""
    average = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.5, "use_buffers": False}}
    stop = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "val/loss", "stopping_threshold": 1e9}}
    Path("average.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [average]}, "data": {"init_args": {"count": 24}}}))
    Path("stops.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [stop]}}))
    arguments = ["fit", "--config", config, "--config", "average.yaml"]
    main([*arguments, "--run_dir", "parts", *end])
    content = torch.load("parts/last.ckpt", weights_only=True)
    assert content["global_step"] == 3
    different = [name for name, value in content["state_dict"].items() if not torch.equal(value, content["current_model_state"][name])]
    assert "model.decoder.0.weight" in different
    if "--trainer.max_steps" in end:
        main([*arguments, "--run_dir", "whole", "--trainer.max_steps", "6"])
        main([*arguments, "--run_dir", "parts", "--trainer.max_steps", "6", "--ckpt_path", "last"])
        whole, parts = (torch.load(f"{run}/last.ckpt", weights_only=True) for run in ("whole", "parts"))
        for state in ("state_dict", "current_model_state"):
            assert all(torch.equal(value, parts[state][name]) for name, value in whole[state].items())


def test_averages_lie_where_the_run_says(config: str) -> None:
    averaging = {"class_path": "callbacks.ema.DeviceEMAWeightAveraging", "init_args": {"decay": 0.5, "use_buffers": False}}
    Path("average.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [averaging]}}))
    arguments = ["fit", "--config", config, "--config", "average.yaml", "--trainer.max_steps", "1"]

    def found(place: str) -> list[WeightAveraging]:
        trainer = main([*arguments, "--averages", place, "--run_dir", place]).trainer
        return [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]

    assert [callback._device for callback in found("cpu")] == [torch.device("cpu")]
    assert [callback._device for callback in found("on")] == [None]  # the model's
    assert found("off") == []
    assert "current_model_state" in torch.load("cpu/last.ckpt", weights_only=True)
    assert "current_model_state" not in torch.load("off/last.ckpt", weights_only=True)


def test_adam_in_eight_bits_resumes(config: str) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra eightbit")
    wide = ["--model.init_args.config.decoder_width", "64"]  # matrices from 4096 numbers on
    arguments = ["fit", "--config", config, "--model.init_args.optimizer.class_path", "xdancer.optimizers.AdamW8bit", *wide]
    whole = main([*arguments, "--run_dir", "whole", "--trainer.max_steps", "8"])
    main([*arguments, "--run_dir", "parts", "--trainer.max_steps", "4"])
    parts = main([*arguments, "--run_dir", "parts", "--trainer.max_steps", "8", "--ckpt_path", "last"])
    assert {group["lr"] for group in whole.trainer.optimizers[0].param_groups} == {1e-3}  # the options of the class before stay
    kinds = {value.dtype for state in whole.trainer.optimizers[0].state.values() for value in state.values() if torch.is_tensor(value)}
    assert torch.uint8 in kinds
    assert fingerprint(parts.model.model) == fingerprint(whole.model.model)


@pytest.mark.skipif(bool(optimizers.REQUIREMENT), reason="bitsandbytes is installed")
def test_adam_in_eight_bits_says_what_is_missing(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "fit", "--config", config, "--model.init_args.optimizer.class_path", "xdancer.optimizers.AdamW8bit")
    assert 'pip install "xdancer[eightbit]"' in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ckpt_path", "nowhere.ckpt"], ["nowhere.ckpt", "no such checkpoint"]),
        (["--ckpt_path", "tiny.yaml"], ["tiny.yaml", "not a readable checkpoint"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--model.init_args.config.slotss", "2"], ["slotss"]),
        (["--model.init_args.lr_schedule.final_ratio", "2"], ["final_ratio"]),
        (["--trainer.max_stepss", "2"], ["max_stepss"]),
        (["--model", "xdancer.vqvae.module.NoModule"], ["NoModule"]),
    ],
)
def test_mistakes_end_in_one_line(config: str, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]) -> None:
    line = fails(capsys, "fit", "--config", config, *arguments)
    assert all(word in line for word in words), line
    assert not Path("run").exists()


def test_validate_without_a_checkpoint_says_what_makes_one(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Train first" in fails(capsys, "validate", "--config", config, "--ckpt_path", "last")


def test_a_full_disk_is_one_line_and_leaves_whole_checkpoints(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", "--config", config, "--data.init_args.count", "16"]
    main([*arguments, "--trainer.max_steps", "2"])
    kept = [Path("run/last.ckpt"), Path("run/checkpoints/step=00000002.ckpt")]
    before = [path.read_bytes() for path in kept]
    Path("run/.last.ckpt.1.part").write_bytes(b"left by a killed job")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[0]) * 3 // 4, hard))  # the system refuses to write more, as on a full disk
    try:
        line = fails(capsys, *arguments, "--ckpt_path", "last")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert all(words in line for words in ("--run_dir", "step=00000004.ckpt: File too large", "Free space", "--ckpt_path last")), line
    assert [path.read_bytes() for path in kept] == before
    assert list(Path("run/checkpoints").iterdir()) == kept[1:]
    assert main([*arguments, "--ckpt_path", "last"]).trainer.global_step == 4
    assert not list(Path("run").rglob("*.part"))


def test_a_run_dir_below_a_file_is_one_line(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    for run_dir in ("file", "file/run"):
        line = fails(capsys, "fit", "--config", config, "--run_dir", run_dir)
        assert f"--run_dir {run_dir}: " in line
        assert "A file stands where a folder is needed" in line
        assert "continues" not in line


def test_on_slurm_resuming_is_ours_alone(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `srun` starts it: Lightning's requeue is off, and checkpoints are still written our way."""
    job = {"JOB_ID": "12345", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "NTASKS": "1", "NTASKS_PER_NODE": "1", "NODELIST": "localhost"}
    for name, value in {**job, "JOB_NAME": "train"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    one = ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.strategy", "auto", "--trainer.precision", "32-true"]
    done = main(["fit", "--config", config, "--config", "configs/trainer/slurm.yaml", *one, "--trainer.max_steps", "1"])
    environment = done.trainer._accelerator_connector.cluster_environment
    assert isinstance(environment, SLURMEnvironment)
    assert not environment.auto_requeue
    assert type(done.trainer.strategy.checkpoint_io).__name__ == "WholeCheckpointIO"


def test_a_plugin_of_the_user_stands_beside_ours(config: str) -> None:
    for name, expected in (("CheckpointIO", "TorchCheckpointIO"), ("LightningEnvironment", "WholeCheckpointIO")):
        path = "TorchCheckpointIO" if name == "CheckpointIO" else f"environments.{name}"
        steps = ["--trainer.max_steps", "1", "--trainer.limit_val_batches", "0"]
        done = main(["fit", "--config", config, *steps, "--trainer.plugins", f"lightning.fabric.plugins.{path}"])
        assert type(done.trainer.strategy.checkpoint_io).__name__ == expected


def test_configs_of_the_application_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = application.find_configs(["fit", "--config", "configs/vqvae.yaml", "--config=configs/demo/vqvae.yaml", "-c", "none.yaml"])
    assert found[2] == str(application.root() / "configs/vqvae.yaml")
    assert found[3] == f"--config={application.root() / 'configs/demo/vqvae.yaml'}"
    assert found[5] == "none.yaml"
    assert application.train_command("fit")[1:] == [str(application.root() / "train.py"), "fit"]
    assert application.config_path("demo/vqvae.yaml").is_file()


def test_train_py_from_another_folder_under_two_processes(config: str, tmp_path: Path) -> None:
    """Gloo on the CPU: one run folder, one history, equal codebooks (Lightning compares nothing; the sums do)."""
    environment = {**os.environ, "PYTHONPATH": f"{SUPPORT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "OMP_NUM_THREADS": "1"}
    arguments = ["--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.max_steps", "2"]
    command = [*application.train_command("fit", "--config", config), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    starts = json.loads(Path("run/run.json").read_text())["starts"]
    assert [(start["world_size"], start["end_step"]) for start in starts] == [(2, 2)]
    counts = load_model(Path("run/last.ckpt"), VQVAE).codebook.counts.sum(-1)
    torch.testing.assert_close(counts, torch.full((5,), 16.0), rtol=0.2, atol=0)  # both ranks' 8 poses were counted
    states = torch.load("run/last.ckpt", weights_only=True)["random_states"]
    assert len(states) == 2
    assert not torch.equal(states[0]["torch"], states[1]["torch"])  # each rank draws noise and dropout of its own
    bad = subprocess.run([*command[:3], "--config", "nowhere.yaml"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
    assert len(bad.stderr.strip().splitlines()) == 1
    assert sys.executable == command[0]


def test_the_global_batch_stays_whatever_a_process_takes_at_once(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", "--config", config, "--global_batch", "24", "--trainer.max_steps", "1"]
    done = main(arguments)
    assert (done.datamodule.batch_size, done.trainer.accumulate_grad_batches) == (8, 3)
    assert done.trainer.fit_loop.epoch_loop.batch_progress.total.completed == 3
    whole = main([*arguments, "--data.init_args.batch_size", "50"])
    assert (whole.datamodule.batch_size, whole.trainer.accumulate_grad_batches) == (24, 1)
    line = fails(capsys, *arguments, "--trainer.accumulate_grad_batches", "2")
    assert "global_batch 24 and trainer.accumulate_grad_batches 2" in line


@pytest.mark.parametrize(
    ("total", "processes", "at_most", "batch", "rounds"),
    [(24, 8, 3, 3, 1), (24, 1, 3, 3, 8), (16, 2, 3, 2, 4), (16, 16, 1, 1, 1), (7, 1, 3, 1, 7)],
)
def test_a_batch_is_shared_without_rest(total: int, processes: int, at_most: int, batch: int, rounds: int) -> None:
    assert split_batch(total, processes=processes, at_most=at_most) == (batch, rounds)
    assert processes * batch * rounds == total


def test_a_batch_that_cannot_be_shared_is_said() -> None:
    with pytest.raises(XDancerError, match=r"global_batch 24 cannot be shared by 16 processes. Use 12 of them"):
        split_batch(24, processes=16, at_most=3)
