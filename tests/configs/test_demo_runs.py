"""The demo's chain in small: every demo YAML fits, validates and resumes in-process, in order, without further flags than fewer steps."""

import csv
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from xdancer import application
from xdancer.checkpoint import fingerprint
from xdancer.cli import main
from xdancer.embedded.build import EmbeddedConfig, build_embedded

CHAIN = ("vqvae", "gpt", "video_image", "video_temporal")
SMALL = {
    "vqvae": ["--data.init_args.batch_size", "64"],
    "gpt": ["--data.init_args.batch_size", "2"],
    "video_image": ["--data.init_args.batch_size", "1"],
    "video_temporal": ["--data.init_args.batch_size", "1"],
}
"""Smaller batches; nothing else about a run changes."""
NO_VALIDATION = ["--trainer.limit_val_batches", "0"]
VALIDATION_OF_TWO = {"vqvae": [], "gpt": [], "video_image": NO_VALIDATION, "video_temporal": NO_VALIDATION}
FIGURES_OF_TWO = {
    "vqvae": {"val/loss", "val/min_perplexity", "val/body_percent"},
    "gpt": {"val/loss", "val/music_gain", "val/beat_clips", "val/frozen_share"},
    "video_image": {"train/loss"},
    "video_temporal": {"train/loss"},
}
"""What a run of two processes validates and logs."""
SUPPORT = Path(__file__).resolve().parents[1] / "support"
EMBEDDED = EmbeddedConfig(train_clips=4, val_clips=2, test_clips=1, seconds=4.0, video_clips=2, evaluation_video_clips=1)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the embedded data set where the demo's configs expect it; the runs of the chain land there, each once."""
    folder = tmp_path_factory.mktemp("demo")
    build_embedded(folder / "data/demo", EMBEDDED, workers=1, progress=False)
    return folder


def small(stage: str, *, steps: int) -> list[str]:
    arguments = [
        "--config",
        f"configs/demo/{stage}.yaml",
        *SMALL[stage],
        "--trainer.max_steps",
        str(steps),
        "--trainer.val_check_interval",
        "2",
    ]
    few = ["--trainer.limit_val_batches", "1", "--trainer.num_sanity_val_steps", "0", "--checkpoint.every_n_train_steps", "2"]
    return [*arguments, *few, "--trainer.log_every_n_steps", "1", "--trainer.enable_model_summary", "false"]


def stages(*quick: str) -> list[Any]:
    """All four as parameters, slow ones but for those named."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in CHAIN]


def train_upstream(stage: str) -> None:
    """The runs that a stage starts from, in the working folder, where no test has made them."""
    for name in CHAIN[: CHAIN.index(stage)]:
        if not Path("runs/demo", name, "last.ckpt").is_file():
            main(["fit", *small(name, steps=2), *NO_VALIDATION])


@pytest.mark.parametrize("stage", stages("vqvae"))
def test_fit_resume_validate(stage: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    train_upstream(stage)
    run = Path("runs/demo") / stage
    first = main(["fit", *small(stage, steps=2)])
    assert first.trainer.global_step == 2
    assert (run / "last.ckpt").is_file()
    moved = ["--model.init_args.tokenizer", "gone.ckpt"] if stage == "gpt" else []  # the checkpoint holds it
    again = main(["fit", *small(stage, steps=3), *moved, "--ckpt_path", "last"])
    assert again.trainer.global_step == 3
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 3
    with (run / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["step"]) for row in table if row.get("train/loss")] == [0, 1, 2]
    assert any(value for row in table for name, value in row.items() if name.startswith("val/"))
    main(["validate", *small(stage, steps=3), "--ckpt_path", "last"])
    main(["predict", *small(stage, steps=3), "--ckpt_path", "last", "--trainer.limit_predict_batches", "1"])
    assert list((run / "predictions").glob("*.npy"))


def test_a_run_resumed_inside_an_epoch_is_the_whole_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: weights, codebooks and logged losses."""
    monkeypatch.chdir(workplace)
    constant = ["--model.init_args.lr_schedule.decay", "constant", "--trainer.limit_val_batches", "0"]  # a cosine knows the number of steps
    whole = main(["fit", *small("vqvae", steps=5), *constant, "--run_dir", "runs/whole"])
    main(["fit", *small("vqvae", steps=3), *constant, "--run_dir", "runs/parts"])  # no multiple of the steps between checkpoints
    parts = main(["fit", *small("vqvae", steps=5), *constant, "--run_dir", "runs/parts", "--ckpt_path", "last"])
    assert len(whole.trainer.train_dataloader) > 5
    assert fingerprint(parts.model.model) == fingerprint(whole.model.model)
    assert Path("runs/parts/metrics.csv").read_text() == Path("runs/whole/metrics.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("stage", CHAIN)
def test_two_processes_on_the_cpu(stage: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gloo, each stage as a child process from its upstream runs; stages 1 and 2 validate with their callbacks on both ranks."""
    monkeypatch.chdir(workplace)
    train_upstream(stage)
    run = workplace / f"runs/ddp_{stage}"
    command = [*application.train_command("fit"), *small(stage, steps=2), "--run_dir", f"runs/ddp_{stage}"]
    two = ["--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.callbacks+=rank_weights.RankWeights", *VALIDATION_OF_TWO[stage]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{SUPPORT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run([*command, *two], cwd=workplace, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 2
    assert (run / "rank0.txt").read_text() == (run / "rank1.txt").read_text()
    with (run / "metrics.csv").open(newline="") as file:
        logged = {name for row in csv.DictReader(file) for name, value in row.items() if value}
    assert FIGURES_OF_TWO[stage] <= logged


def test_a_missing_tokenizer_is_said_with_the_command_that_makes_it(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(workplace / "data")
    for stage in CHAIN[1:]:
        with pytest.raises(SystemExit) as stop:
            main(["fit", *small(stage, steps=1)])
        assert stop.value.code == 2
        assert "fit --config configs/demo/" in capsys.readouterr().err.strip().splitlines()[-1]


def test_missing_data_are_said_with_the_command_that_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", "configs/vqvae.yaml", "--trainer.accelerator", "cpu"])
    assert stop.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "data/train" in line
    assert "xdancer" in line
