"""`xdancer reproduce`: paired studies of the three stages and the paper's result tables, from nothing to a table."""

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xdancer.errors import XDancerError

if TYPE_CHECKING:
    from xdancer.demo.phase import Phase
    from xdancer.demo.state import State
    from xdancer.reproduce.plan import Layout
    from xdancer.reproduce.tables import Table


STUDIES = Literal["inputs", "ablations", "control", "window", "tokenizer", "renderer"]


def reproduce(
    study: STUDIES | None = None, *, table: int | None = None, data: Path | None = None, out: Path = Path("runs/reproduce"), seeds: int = 5,
    steps: int | None = None, rows: list[str] | None = None, jobs: int = 2, accelerator: Literal["cpu", "cuda"] = "cpu",
) -> Path:  # fmt: skip
    """Train every row of a study or of a table of the paper from several seeds and compare them on the same held-out songs.

    Studies: `inputs` asks which inputs make beat synchrony learnable, `ablations` what the parts of stage 2 add, `control` whether a dance
    becomes what it is asked to be, `window` repeats the inputs in the paper's window, `tokenizer` compares stage 1's, `renderer` asks what
    stage 3's parts add. `--table N` makes the paper's result table N instead: every row that is built, nulls, the paper's values, and for each
    ordering that the paper claims whether it is seen. Each training takes one thread.
    Interrupted and started again with the same flags it continues; equal trainings of all tables are done once. A study shows all rows and
    seeds that its folder holds, a table the seeds that are asked for.

    Args:
        study: which comparison of our own.
        table: a result table of the paper, 1 to 4, in place of a study: OUT/table_N.html and .json.
        data: folder of train, val and test to make the table on; the embedded data set by default. For tables only.
        out: folder of data, tokenizers, runs and tables.
        seeds: trainings of each row; the same seeds, songs and first poses for all rows. A verdict needs three.
        steps: optimiser steps of each training; the study's own number, or that of a row's config, by default.
        rows: only these rows (and the one they are compared with), as in --rows '[no global music, "subset, small"]'.
        jobs: trainings side by side, one thread each.
        accelerator: where the trainings compute; on a GPU those side by side share it. Dances are drawn on the CPU either way.

    Raises:
        XDancerError: neither a study nor a table, or both; an unknown row, a folder of another study, unfit data, or a phase that failed.
    """
    if (study is None) == (table is None):
        given = "neither a study nor a table" if study is None else f"the study {study!r} and --table {table}"
        raise XDancerError(f"{given}: name one of them, such as `xdancer reproduce inputs` or `xdancer reproduce --table 1`.")
    if seeds < 1 or jobs < 1 or (steps is not None and steps < 1):
        raise XDancerError(f"--seeds {seeds}, --jobs {jobs}, --steps {steps}: each must be at least 1.")
    if table is not None:
        from xdancer.reproduce.paper_tables import find_table

        find_table(table)
        from xdancer.reproduce.paper import Request, run_table

        request = Request(out, data, seeds, steps, None if rows is None else tuple(rows), jobs, accelerator)
        page = run_table(table, request)
        print(f"{page}, {page.with_suffix('.json').name}")
        return page
    assert study is not None
    if data is not None:
        raise XDancerError(f"--data {data} belongs to --table; the study {study!r} is made on the embedded data set. Leave it out.")
    return _study(study, out, seeds=seeds, steps=steps, rows=rows, jobs=jobs, accelerator=accelerator)


def _study(
    name: STUDIES, out: Path, *, seeds: int, steps: int | None, rows: list[str] | None, jobs: int, accelerator: Literal["cpu", "cuda"]
) -> Path:  # fmt: skip
    """Train, measure and tabulate one of our own comparisons; its Markdown."""
    from rich.console import Console

    from xdancer.application import config_path
    from xdancer.demo.display import Display, clock
    from xdancer.demo.lock import hold
    from xdancer.demo.scheduler import run_phases
    from xdancer.demo.state import open_state
    from xdancer.evaluation.folder import write_json
    from xdancer.files import write_text
    from xdancer.reproduce.plan import Layout, make_phases
    from xdancer.reproduce.summary import markdown
    from xdancer.reproduce.tables import TABLES, chosen
    from xdancer.workers import terminated_like_interrupted

    study, console = chosen(TABLES[name], rows), Console()
    steps, config = steps or study.steps, Path(study.config).stem
    free = "_free" if study.free_dances else ""
    runs = (config if steps is None else f"{config}_{steps}") + free  # studies of one config, length and data set share their rows
    pictures = "_videos" if study.measured == "videos" else ""
    layout = Layout(root=out.absolute() / runs, data=out.absolute() / f"data{free}{pictures}")
    text = config_path(study.config).read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    state = open_state(layout.root, {"config": study.config, "digest": digest, "steps": steps})
    phases = make_phases(study, layout, seeds=seeds, steps=steps, accelerator=accelerator)
    _require_same(phases, state)
    with hold(layout.root / ".lock") as lock, terminated_like_interrupted(), Display(phases, state, console) as display:
        run_phases(phases, state, layout.root / "logs", cores=jobs, watch=display.watch, keep_open=lock)
    figures = _figures(TABLES[name], layout)
    pooled = {"Fréchet": _frechet(figures, layout)} if study.measured == "dances" else {}
    text = markdown(figures, study, pooled)
    write_json(layout.root / f"{name}.json", {"question": study.question, "reference": study.reference, "rows": figures, "pooled": pooled})
    write_text(layout.root / f"{name}.md", text)
    console.print(f"{study.question}\n", soft_wrap=True)
    print(text)
    console.print(f"{layout.root / name}.md, {name}.json; {clock(state.wall)} in all.", soft_wrap=True)
    return layout.root / f"{name}.md"


def _require_same(phases: "Sequence[Phase]", state: "State") -> None:
    """Refuse to show results of runs whose definition has changed since.

    Raises:
        XDancerError: names the phase and both command lines.
    """
    for phase in phases:
        before, now = state.commands.get(phase.name), _bare(" ".join(["python", *phase.arguments]))
        if phase.name in state.finished and before is not None and _bare(before) != now:
            raise XDancerError(
                f"{state.path}: {phase.name!r} was run as\n  {_bare(before)}\nand is now\n  {now}\nName another --out, or remove that folder."
            )


def _bare(command: str) -> str:
    """A command line without interpreter, checkout, accelerator and resuming."""
    return re.sub(r"\S*/(?=train\.py |configs/)| --trainer\.accelerator \S+", "", command.partition(" ")[2]).removesuffix(" --ckpt_path last")


def _figures(table: "Table", layout: "Layout") -> dict[str, list[dict[str, Any]]]:
    """Row → figures of its seeds, of all rows that are measured."""
    paths = {row: list(itertools.takewhile(Path.is_file, (layout.figures(row, seed) for seed in itertools.count()))) for row in table.rows}
    return {row: [json.loads(path.read_text(encoding="utf-8")) for path in found] for row, found in paths.items() if found}


def _frechet(figures: "dict[str, list[dict[str, Any]]]", layout: "Layout") -> dict[str, float | None]:
    """Row → Fréchet distance of the dances of all its seeds together."""
    from xdancer.reproduce.measure import pooled_frechet

    return {row: pooled_frechet([layout.run(row, seed) for seed in range(len(runs))], layout.data / "train") for row, runs in figures.items()}
