"""`xdancer reproduce`: paired studies of the three stages on the embedded data set, from nothing to a table."""

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


def reproduce(
    table: Literal["inputs", "ablations", "control", "window", "tokenizer", "renderer"], *, out: Path = Path("runs/reproduce"), seeds: int = 5,
    steps: int | None = None, rows: list[str] | None = None, jobs: int = 2, accelerator: Literal["cpu", "cuda"] = "cpu",
) -> Path:  # fmt: skip
    """Train every row of a table from several seeds and compare them on the same held-out songs.

    `inputs` asks which inputs make beat synchrony learnable, `ablations` what the parts of stage 2 add, `control` whether a dance becomes what
    it is asked to be, `window` repeats the inputs in the paper's window, `tokenizer` compares stage 1's, `renderer` asks what stage 3's parts
    add. Each training takes one thread.
    Interrupted and started again with the same flags it continues. The table shows all rows and seeds that the folder holds.

    Args:
        table: which comparison.
        out: folder of data, tokenizers, runs and tables.
        seeds: trainings of each row; the same seeds, songs and first poses for all rows.
        steps: optimiser steps of each training; the table's own number by default.
        rows: only these rows (and the one they are compared with).
        jobs: trainings side by side, one thread each.
        accelerator: where the trainings compute; on a GPU those side by side share it. Dances are drawn on the CPU either way.

    Raises:
        XDancerError: an unknown row, a folder of another study, or a phase that failed.
    """
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

    if seeds < 1 or jobs < 1 or (steps is not None and steps < 1):
        raise XDancerError(f"--seeds {seeds}, --jobs {jobs}, --steps {steps}: each must be at least 1.")
    study, console = chosen(TABLES[table], rows), Console()
    steps, name = steps or study.steps, Path(study.config).stem
    free = "_free" if study.free_dances else ""
    runs = (name if steps is None else f"{name}_{steps}") + free  # tables of one config, length and data set share their rows
    pictures = "_videos" if study.measured == "videos" else ""
    layout = Layout(root=out.absolute() / runs, data=out.absolute() / f"data{free}{pictures}")
    text = config_path(study.config).read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    state = open_state(layout.root, {"config": study.config, "digest": digest, "steps": steps})
    phases = make_phases(study, layout, seeds=seeds, steps=steps, accelerator=accelerator)
    _require_same(phases, state)
    with hold(layout.root / ".lock") as lock, terminated_like_interrupted(), Display(phases, state, console) as display:
        run_phases(phases, state, layout.root / "logs", cores=jobs, watch=display.watch, keep_open=lock)
    figures = _figures(TABLES[table], layout)
    pooled = {"Fréchet": _frechet(figures, layout)} if study.measured == "dances" else {}
    text = markdown(figures, study, pooled)
    write_json(layout.root / f"{table}.json", {"question": study.question, "reference": study.reference, "rows": figures, "pooled": pooled})
    write_text(layout.root / f"{table}.md", text)
    console.print(f"{study.question}\n", soft_wrap=True)
    print(text)
    console.print(f"{layout.root / table}.md, {table}.json; {clock(state.wall)} in all.", soft_wrap=True)
    return layout.root / f"{table}.md"


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
