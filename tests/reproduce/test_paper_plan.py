"""Phases of the paper's tables: equal runs are one run, other data, seeds, steps and flags are others."""

import dataclasses
from pathlib import Path

import pytest

from xdancer.reproduce.paper_plan import PaperLayout, default_steps, embedded_layout, make_paper_phases, overrides, training_name, trainings_of
from xdancer.reproduce.paper_tables import PAPER_TABLES, SUBSET, TRAININGS


@pytest.fixture
def layout(tmp_path: Path) -> PaperLayout:
    return embedded_layout(tmp_path)


def names(layout: PaperLayout, number: int, seeds: int = 1) -> set[str]:
    return {phase.name for phase in make_paper_phases(PAPER_TABLES[number], layout, seeds=seeds, steps=None)}


@pytest.mark.parametrize("number", list(PAPER_TABLES))
def test_every_phase_finds_what_it_needs(layout: PaperLayout, number: int) -> None:
    phases = make_paper_phases(PAPER_TABLES[number], layout, seeds=2, steps=7)
    known: set[str] = set()
    for phase in phases:  # in an order in which they can run
        assert set(phase.needs) <= known, phase
        known.add(phase.name)
    assert len(known) == len(phases)
    rows = [row for block in PAPER_TABLES[number].blocks for row in block.rows.values() if row.measured != "not built yet"]
    assert sum("--figures" in phase.arguments for phase in phases) == 2 * len(rows)
    assert all(phase.steps == 7 for phase in phases if phase.run_dir is not None)


def test_tables_share_their_runs(layout: PaperLayout) -> None:
    one, two, three, four = (names(layout, number) for number in PAPER_TABLES)
    full = next(name for name in one & three if name.startswith("motion-motion_GPT-0-"))  # X-Dancer is the ablation's full row
    assert full.startswith("motion-motion_GPT-0-")
    shared = {name.rsplit("-", 2)[0] for name in two & four}
    assert {"five-part_tokenizer", "motion_decoder", "pose_guider"} <= shared
    assert {name.rsplit("-", 2)[0] for name in two & one} >= {"motion_GPT", "five-part_tokenizer"}


def test_a_run_is_named_by_what_decides_it(layout: PaperLayout) -> None:
    base = training_name("motion GPT", layout, 0, 100)
    assert base == training_name("motion GPT", layout, 0, 100)
    others = {
        training_name("motion GPT", layout, 1, 100), training_name("motion GPT", layout, 0, 101),
        training_name("motion GPT", dataclasses.replace(layout, identity="other data"), 0, 100),
        training_name("motion GPT of a subset", layout, 0, 100),
    }  # fmt: skip
    assert len(others | {base}) == 5
    steps = default_steps(TRAININGS["five-part tokenizer"])
    assert training_name("five-part tokenizer", layout, 0, None) == training_name("five-part tokenizer", layout, 0, steps)


def test_networks_of_a_seed_stand_on_that_seeds_tokenizer(layout: PaperLayout) -> None:
    phases = {phase.name: phase for phase in make_paper_phases(PAPER_TABLES[4], layout, seeds=2, steps=None)}
    for seed in range(2):
        single = next(phase for name, phase in phases.items() if name.startswith(f"motion_decoder_on_single-part_tokens-{seed}-"))
        tokenizer = single.arguments[single.arguments.index("--model.init_args.tokenizer") + 1]
        assert Path(tokenizer).parent.name.startswith(f"single-part_tokenizer-{seed}-")
        assert Path(tokenizer).parent.name in single.needs


def test_subsets_are_read_by_their_rows_only(layout: PaperLayout) -> None:
    phases = make_paper_phases(PAPER_TABLES[3], layout, seeds=1, steps=None)
    reading = [phase.title for phase in phases if "--data.init_args.train" in phase.arguments and str(layout.subset) in phase.arguments]
    assert reading == ["train: motion GPT of a subset 0", "train: small motion GPT of a subset 0"]
    made = next(phase for phase in phases if phase.name == layout.subset.name)
    assert made.arguments[made.arguments.index("--share") + 1] == str(SUBSET)


def test_own_pictures_decide_the_renderers_size(layout: PaperLayout) -> None:
    own = dataclasses.replace(layout, own=True, size=(256, 128))
    found = overrides(TRAININGS["motion decoder"], own)
    config = "model.init_args.config."
    assert (found[f"{config}height"], found[f"{config}width"], found[f"{config}motion_map"]) == (256, 128, "[16, 8]")
    assert f"{config}height" not in overrides(TRAININGS["motion GPT"], own)
    phases = make_paper_phases(PAPER_TABLES[2], own, seeds=1, steps=None)
    assert not any(phase.name == "data" for phase in phases)


def test_few_steps_leave_the_renderer_its_share(layout: PaperLayout) -> None:
    """300 of 900 steps teach the motion decoder alone; of 300 in all it is 100, else no picture would be learned."""
    key = "model.init_args.config.heatmap_steps"
    assert overrides(TRAININGS["motion decoder"], layout, 300)[key] == 100
    assert overrides(TRAININGS["pose guider"], layout, 300)[key] == 0
    assert key not in overrides(TRAININGS["motion decoder"], layout)
    assert key not in overrides(TRAININGS["motion GPT"], layout, 300)
    phases = make_paper_phases(PAPER_TABLES[4], layout, seeds=1, steps=300)
    trained = next(phase for phase in phases if phase.title == "train: motion decoder 0").arguments
    assert trained[trained.index(f"--{key}") + 1] == "100"


def test_trainings_go_where_they_are_asked_to(layout: PaperLayout) -> None:
    """And nothing else; where a run was computed does not name it."""
    phases = make_paper_phases(PAPER_TABLES[2], layout, seeds=1, steps=None, accelerator="cuda")
    for phase in phases:
        assert (phase.arguments[-2:] == ("--trainer.accelerator", "cuda")) == (phase.run_dir is not None)
    assert {phase.name for phase in phases} == names(layout, 2)


def test_trainings_of_a_block_come_with_their_tokenizers() -> None:
    assert trainings_of(PAPER_TABLES[1].blocks[0]) == ["five-part tokenizer", "motion GPT"]
    assert trainings_of(PAPER_TABLES[4].blocks[0]) == ["single-part tokenizer", "five-part tokenizer"]
