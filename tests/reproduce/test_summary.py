"""Tables of studies: paired differences, rows and flags that exist, seams."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xdancer.application import config_path, root
from xdancer.commands.reproduce import _figures, _require_same
from xdancer.demo.state import open_state
from xdancer.errors import XDancerError
from xdancer.motion_gpt.model import MotionGPTConfig
from xdancer.reproduce.measure import WINDOWS, _kinetic, border_frames, border_ratio, last_validation, pooled_frechet
from xdancer.reproduce.plan import Layout, make_phases
from xdancer.reproduce.summary import markdown, paired
from xdancer.reproduce.tables import TABLES, chosen


def test_paired_differences_know_what_seeds_share() -> None:
    """Seeds differ by far more than the rows, and the pairing sees through it."""
    reference = [{"gpt/beat_f1": 0.5 + 0.1 * seed} for seed in range(5)]
    better = [{"gpt/beat_f1": 0.52 + 0.1 * seed + 0.001 * (-1) ** seed} for seed in range(5)]
    found = paired(better, reference, "gpt/beat_f1")
    assert found is not None
    assert found.mean == pytest.approx(0.0202, abs=1e-6)
    assert 0.018 < found.low < found.mean < found.high < 0.022
    assert paired(better[:1], reference[:1], "gpt/beat_f1") is None


def test_the_table_shows_absent_figures_as_such() -> None:
    text = markdown({"both": [{"gpt/beat_f1": 0.5}] * 2, "paper": [{"gpt/beat_f1": 0.25}, {"gpt/beat_f1": None}]}, TABLES["inputs"])
    lines = text.splitlines()
    assert lines[2].startswith("| both | 2 | – | – | 0.500 |")
    assert lines[3].startswith("| paper | 2 | – | – | 0.250 |")


@pytest.mark.parametrize("name", list(TABLES))
def test_every_table_names_a_config_and_its_reference(name: str, tmp_path: Path) -> None:
    table = TABLES[name]
    assert table.reference in table.rows
    assert config_path(table.config).is_file()
    phases = make_phases(table, Layout(tmp_path, tmp_path / "data"), seeds=2, steps=None)
    assert len(phases) == (1 if table.slots is None else 2) + 2 * 2 * len(table.rows)
    assert set(table.paired) <= set(table.columns)
    assert len({phase.name for phase in phases}) == len(phases)
    assert all(set(phase.needs) <= {other.name for other in phases} for phase in phases)


def test_trainings_go_where_they_are_asked_to() -> None:
    """And nothing else: data and measurements know no accelerator."""
    phases = make_phases(TABLES["inputs"], Layout(Path("study"), Path("data")), seeds=1, steps=None, accelerator="cuda")
    for phase in phases:
        assert (phase.arguments[-2:] == ("--trainer.accelerator", "cuda")) == phase.name.startswith(("train", "vqvae"))


def test_unknown_rows_are_named() -> None:
    with pytest.raises(XDancerError, match="'papier': no such row"):
        chosen(TABLES["inputs"], ["papier"])
    assert set(chosen(TABLES["inputs"], ["paper"]).rows) == {"paper", "both"}


def test_finished_runs_of_another_definition_are_not_shown(tmp_path: Path) -> None:
    table = TABLES["tokenizer"]
    layout = Layout(tmp_path, tmp_path / "data")
    state = open_state(tmp_path / "runs", {})
    phases = make_phases(table, layout, seeds=1, steps=None)
    for phase in phases:
        state.commands[phase.name] = " ".join(phase.command()).replace(str(root()), "/another/checkout")
        state.finish(phase.name, 1.0)
    _require_same(phases, state)  # where the checkout lies does not matter, nor that a run was continued
    state.commands[phases[1].name] += " --ckpt_path last"
    _require_same(phases, state)
    _require_same(make_phases(table, layout, seeds=1, steps=None, accelerator="cuda"), state)  # nor on what it computed
    changed = replace(table, rows={**table.rows, "single part": {"model.init_args.config.single_part": True}})
    with pytest.raises(XDancerError, match=r"'train single part 0' was run as(?s:.*)encoder_width 256(?s:.*)Name another --out"):
        _require_same(make_phases(changed, layout, seeds=1, steps=None), state)


def test_the_table_shows_whatever_is_measured(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / "data")
    for row, seed in (("both", 0), ("both", 1), ("paper", 0), ("look-ahead", 1)):
        layout.run(row, seed).mkdir(parents=True)
        layout.figures(row, seed).write_text(json.dumps({"gpt/beat_f1": 0.5 + seed}))
    figures = _figures(TABLES["inputs"], layout)
    assert {row: [run["gpt/beat_f1"] for run in runs] for row, runs in figures.items()} == {"paper": [0.5], "both": [0.5, 1.5]}
    assert "| paper | 1 |" in markdown(figures, TABLES["inputs"])


def test_the_frechet_distance_is_that_of_all_seeds_together(tiny: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = [tiny.make_clip(number, 200) for number in range(90)]
    for clip in clips:
        clip.pose[..., :2] += rng.normal(size=clip.pose[..., :2].shape).cumsum(0) * 0.002
    train = tiny.write_split(tmp_path / "train", clips)
    poses, runs = [clip.pose for clip in clips], [tmp_path / f"run{seed}" for seed in range(2)]
    for run, dances in zip(runs, (poses[:45], poses[45:]), strict=True):
        run.mkdir()
        np.save(run / WINDOWS, _kinetic(dances, dances))
    assert pooled_frechet(runs[:1], train) is None  # 270 windows of 54 numbers
    assert pooled_frechet(runs, train) == pytest.approx(0, abs=1e-6)
    faster = _kinetic([pose[::2] for pose in poses], poses)
    np.save(runs[0] / WINDOWS, np.concatenate([faster, faster]))
    assert pooled_frechet(runs, train) > 1
    (runs[1] / WINDOWS).unlink()
    assert pooled_frechet(runs, train) is None
    text = markdown({"both": [{"gpt/beat_f1": 0.5}]}, TABLES["inputs"], {"Fréchet": {"both": 1.5}})
    assert text.splitlines()[0].count("| Fréchet |") == text.splitlines()[2].count("| 1.500 |") == 1


def test_a_jump_at_a_border_is_a_seam() -> None:
    config = MotionGPTConfig(frames=32, overlap_frames=8)
    borders = border_frames(config, 80)
    assert borders == [32, 56]
    pose = np.zeros((80, 60, 3), np.float32)
    pose[..., 0] = np.sin(np.arange(80) / 5)[:, None]
    assert border_ratio(pose, borders) == pytest.approx(1.0, abs=0.7)
    pose[32:, :, 0] += 1
    assert border_ratio(pose, borders) > 3
    assert np.isnan(border_ratio(pose, []))


def test_a_run_without_validation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/loss\n49,3.1\n")
    with pytest.raises(XDancerError, match="holds no validation"):
        last_validation(tmp_path)
    (tmp_path / "metrics.csv").write_text("step,train/loss,val/loss,val/music_gain\n49,3.1,,\n49,,2.5,0.1\n")
    assert last_validation(tmp_path) == {"gpt/cross_entropy": 2.5, "gpt/music_gain": 0.1}
