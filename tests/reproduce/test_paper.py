"""A table of the paper from command to page, with a runner that makes figures up instead of training: resume, verdicts, refusals."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.demo.phase import Phase
from xdancer.demo.state import State
from xdancer.errors import XDancerError
from xdancer.reproduce.paper import Request, chosen_rows, read_own, run_table
from xdancer.reproduce.paper_tables import PAPER_TABLES

BAD = ("without", "subset")


def invented(name: str, seed: int) -> dict[str, Any]:
    """Figures of a measurement by its name: the full model is better than its ablations, alike in diversity."""
    worse, noise = 1.0 if any(word in name for word in BAD) else 0.0, 0.01 * np.sin(7 * seed + len(name))
    return {
        "motion/kernel_drawn_alex16": 1 + worse + 0.3 * seed + noise, "motion/kernel_kinetic32": 2 + worse, "gpt/div_kinetic": 5 + noise,
        "gpt/bas_bailando60": 0.3 + 0.1 * worse + 0.1 * noise, "gpt/beat_f1": None, "n/gpt": 24, "clips": ["a", "b"],
    }  # fmt: skip


class Runner:
    """Stands in for `run_phases`; `broken`: part of the name of a phase that fails."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.broken: str | None = None

    def __call__(self, phases: Sequence[Phase], state: State, logs: Path, **_: Any) -> None:
        for phase in phases:
            if phase.name in state.finished:
                continue
            if self.broken is not None and self.broken in phase.name:
                raise XDancerError(f"phase {phase.name!r} failed.")
            self.ran.append(phase.name)
            if "--figures" in phase.arguments:
                path = Path(phase.arguments[phase.arguments.index("--figures") + 1])
                path.parent.mkdir(parents=True, exist_ok=True)
                seed = int(phase.arguments[phase.arguments.index("--seed") + 1])
                path.write_text(json.dumps(invented(phase.name, seed)))
            state.finish(phase.name, 12.0)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    made = Runner()
    monkeypatch.setattr("xdancer.reproduce.paper.run_phases", made)
    return made


def read(out: Path, number: int) -> dict[str, Any]:
    return json.loads((out / f"table_{number}.json").read_text())


def test_the_command_writes_one_page_and_one_json(runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--table", "3", "--out", str(tmp_path), "--seeds", "5"]) == 0
    assert "table_3.html, table_3.json" in capsys.readouterr().out
    found = read(tmp_path, 3)
    assert found["command"] == f"xdancer reproduce --table 3 --out {tmp_path} --seeds 5"
    assert found["seeds"] == [0, 1, 2, 3, 4]
    assert {"python", "xdancer", "torch"} <= set(found["versions"])
    assert found["budget"]["motion GPT"]["steps"] == 600
    assert found["budget"]["motion GPT"]["seconds"] == [12.0] * 5
    assert found["budget"]["motion GPT of a subset"]["share_of_training_clips"] == 0.125
    (block,) = found["blocks"]
    row = block["rows"]["no motion context"]
    assert row["status"] == "5 of 5 seeds"
    assert (row["n"], row["clips"]) == ({"n/gpt": 24}, ["a", "b"])
    assert row["paper"] == {"drawn-pose distance": [247.54], "diversity": [26.42], "bailando60": [0.2154]}
    assert len(row["values"]["drawn-pose distance"]) == 5
    assert row["means"]["drawn-pose distance"] == pytest.approx(np.mean(row["values"]["drawn-pose distance"]))
    between = row["difference_from_reference"]["drawn-pose distance"]
    assert between["low"] < between["mean"] == pytest.approx(1, abs=0.02)
    verdicts = {claim["claim"]: claim["verdict"] for claim in block["claims"]}
    assert verdicts["full below no global music in drawn-pose distance"] == "shown"
    assert verdicts["full above no global music in diversity"] == "not shown"
    assert verdicts["full above no global music in bailando60"] == "reversed"
    assert verdicts["full above no global music in beat F1"] == "not measured"
    page = (tmp_path / "table_3.html").read_text()
    for text in (
        "stands for motion FVD in-house",
        "paper 247.54",
        "not measured",
        "cannot be compared with ours",
        "steps: five-part tokenizer 800",
    ):
        assert text in page
    assert not re.search(r"<th[^>]*>\s*(motion )?FVD", page)  # no column of ours has that name


def test_finished_rows_are_not_made_again_and_tables_share_them(runner: Runner, tmp_path: Path) -> None:
    request = Request(tmp_path, seeds=2)
    run_table(3, request)
    before, runner.ran = set(runner.ran), []
    run_table(3, request)
    assert runner.ran == []
    run_table(1, request)
    assert runner.ran
    assert all(name.startswith(("motion-ground_truth", "motion-frozen", "motion-smooth", "motion-other_song")) for name in runner.ran)
    runner.ran = []
    run_table(3, Request(tmp_path, seeds=3))
    assert {name.rsplit("-", 2)[1] for name in runner.ran} == {"2"}  # a further seed adds its own runs
    assert not set(runner.ran) & before
    assert [verdict["verdict"] for verdict in read(tmp_path, 1)["blocks"][0]["claims"]][:2] == ["too few seeds", "not built yet"]


def test_a_failure_leaves_the_page_of_what_is_finished(runner: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runner.broken = "subset-1-"
    arguments = ["reproduce", "--table", "3", "--out", str(tmp_path), "--seeds", "2", "--steps", "4"]
    assert main(arguments) == 2
    assert "subset-1-" in capsys.readouterr().err
    rows = read(tmp_path, 3)["blocks"][0]["rows"]
    assert (rows["no global music"]["status"], rows["subset, medium"]["status"]) == ("2 of 2 seeds", "1 of 2 seeds")
    assert rows["full"]["status"] == "1 of 2 seeds"
    assert read(tmp_path, 3)["budget"]["motion GPT"]["steps"] == 4
    runner.broken, runner.ran = None, []
    assert main(arguments) == 0
    assert runner.ran
    assert all("-1-" in name for name in runner.ran)
    assert {row["status"] for row in read(tmp_path, 3)["blocks"][0]["rows"].values()} == {"2 of 2 seeds"}


def test_rows_that_are_not_built_stay_in_the_table_with_the_papers_values(runner: Runner, tmp_path: Path) -> None:
    run_table(1, Request(tmp_path, seeds=1))
    rows = read(tmp_path, 1)["blocks"][0]["rows"]
    assert {name for name, row in rows.items() if row["status"] == "not built yet"} == {"Hallo", "Bailando", "EDGE"}
    assert rows["EDGE"]["paper"]["drawn-pose distance"] == [303.36, 639.46]
    page = (tmp_path / "table_1.html").read_text()
    assert page.count("not built yet") >= 3
    assert "paper 303.36 · 639.46" in page


def test_single_rows_come_with_the_one_they_are_compared_with(runner: Runner, tmp_path: Path) -> None:
    assert set(chosen_rows(PAPER_TABLES[4], ("single part",))) == {"single part", "multi-part"}
    run_table(4, Request(tmp_path, seeds=1, rows=("single part",)))
    assert {name.split("-")[0] for name in runner.ran} == {"data", "single", "five", "tokenizer"}
    rows = read(tmp_path, 4)["blocks"][1]["rows"]
    assert {row["status"] for row in rows.values()} == {"not finished yet"}
    with pytest.raises(XDancerError, match=r"--rows 'EDGE': no such row that is built. Choose among 'ground truth'"):
        chosen_rows(PAPER_TABLES[1], ("EDGE",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "neither a study nor a table: name one of them"),
        (["--study", "inputs", "--table", "1"], "the study 'inputs' and --table 1: name one of them"),
        (["--table", "5"], "--table 5: the paper's result tables are 1 to 4"),
        (["--study", "inputs", "--data", "shards"], "--data shards belongs to --table"),
        (["--table", "1", "--seeds", "0"], "--seeds 0, --jobs 2, --steps None: each must be at least 1"),
        (["--table", "1", "--data", "nowhere"], "No shards in"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", *arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def splits(tiny: ModuleType, folder: Path, *, test_clips: int = 2, video: bool = False, size: tuple[int, int] = (32, 32)) -> Path:
    for split, count in (("train", 2), ("val", 1), ("test", test_clips)):
        tiny.write_split(folder / split, [tiny.make_clip(number, 16, video=video, size=size) for number in range(count)])
    return folder


def test_own_shards_are_checked_before_anything_is_trained(tiny: ModuleType, tmp_path: Path) -> None:
    motion, video = (chosen_rows(PAPER_TABLES[number], None) for number in (1, 2))
    data = splits(tiny, tmp_path / "motion")
    layout = read_own(tmp_path, data, motion)
    assert layout.own
    assert layout.identity != read_own(tmp_path, splits(tiny, tmp_path / "more", test_clips=3), motion).identity
    with pytest.raises(XDancerError, match="train has 0 clips with video and person mask, this table needs at least 1"):
        read_own(tmp_path, data, video)
    with pytest.raises(XDancerError, match="test has 1 clip, a distance between sets needs at least 2"):
        read_own(tmp_path, splits(tiny, tmp_path / "one", test_clips=1), motion)
    assert read_own(tmp_path, splits(tiny, tmp_path / "seen", video=True, size=(48, 32)), video).size == (48, 32)
    with pytest.raises(XDancerError, match="videos of 40×32 pixels; this table needs one height and width, multiples of 16"):
        read_own(tmp_path, splits(tiny, tmp_path / "odd", video=True, size=(40, 32)), video)


def test_a_missing_music_feature_is_named(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdancer.reproduce.paper.MUSIC", "jukebox")
    with pytest.raises(XDancerError, match=r"train has no music feature 'jukebox'. Add it: xdancer features .*train --add jukebox"):
        read_own(tmp_path, splits(tiny, tmp_path / "data"), chosen_rows(PAPER_TABLES[1], None))


def test_a_study_is_named_by_the_first_word(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["inputs"], ["--study", "inputs"]):
        assert main(["reproduce", *words, "--seeds", "0"]) == 2
        assert "--seeds 0" in capsys.readouterr().err
