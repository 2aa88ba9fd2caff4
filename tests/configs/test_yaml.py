"""Every YAML of the application parses: alone where it is a run, on top of its stage's run where it is an overlay."""

from pathlib import Path

import pytest
import yaml

from xdancer.cli import main

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FOLDERS = ("demo", "shipped", "studies")
"""Besides configs/ itself: folders whose files are runs of their own; all other files change one."""
RUNS = sorted([*CONFIGS.glob("*.yaml"), *(path for folder in FOLDERS for path in (CONFIGS / folder).glob("*.yaml"))])
OVERLAYS = sorted(path for path in CONFIGS.rglob("*.yaml") if path not in RUNS)


def parse(*paths: Path) -> None:
    arguments = [argument for path in paths for argument in ("--config", str(path))]
    with pytest.raises(SystemExit) as stop:
        main(["fit", *arguments, "--print_config"])
    assert stop.value.code == 0


@pytest.mark.parametrize("path", RUNS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_run_parses_and_says_how_it_is_started(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parse(path)
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["run_dir"].startswith(f"runs/{path.parent.name}/" if path.parent.name in FOLDERS else "runs/")
    assert isinstance(shown["seed_everything"], int)
    command = "xdancer reproduce" if path.parent.name == "studies" else f"train.py fit --config {path.relative_to(CONFIGS.parent)}"
    assert command in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_an_overlay_parses_on_top_of_its_run(path: Path) -> None:
    folder = CONFIGS / "demo" if path.parent.name == "few_clips" else CONFIGS
    for base in [base for base in RUNS if base.parent == folder and (path.parent.name == "trainer" or path.stem.startswith(base.stem))]:
        parse(base, path)
        return
    pytest.fail(f"{path.name} names no run of configs/ that it changes: call it <run>_<what changes>.yaml")


def test_trainer_overlays_leave_model_and_data_as_they_are() -> None:
    for path in (CONFIGS / "trainer").glob("*.yaml"):
        overlay = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert set(overlay) <= {"trainer", "averages", "frozen_weights", "model"}, path
        assert overlay.get("model", {}).get("init_args", {}).keys() <= {"optimizer"}


def test_the_paper_runs_carry_the_papers_numbers() -> None:
    run = yaml.safe_load((CONFIGS / "vqvae.yaml").read_text(encoding="utf-8"))
    assert run["trainer"]["max_steps"] == 40_000
    assert run["model"]["init_args"]["optimizer"] == {"class_path": "torch.optim.AdamW", "init_args": {"lr": 2e-4}}
    assert run["global_batch"] == 2048


@pytest.mark.parametrize("path", [path for path in RUNS if path.parent.name != "studies"], ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_run_renders_samples_to_be_watched_and_the_demo_s_are_short(path: Path) -> None:
    callbacks = yaml.safe_load(path.read_text(encoding="utf-8"))["trainer"]["callbacks+"]
    (samples,) = [callback.get("init_args", {}) for callback in callbacks if callback["class_path"] == "callbacks.samples.Samples"]
    if path.parent.name == "demo":
        assert samples["clips"] * samples["seconds"] <= 2
