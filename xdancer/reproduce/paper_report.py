"""A table of the paper as one JSON and one page: per-seed values, means, paired differences, the paper's values, and a verdict per claim."""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import numpy as np

import xdancer
from xdancer.demo.state import State
from xdancer.evaluation.result import versions
from xdancer.report.charts import distribution_chart
from xdancer.report.embed import inline_svg
from xdancer.report.page import Section, chart, commands, number, page, paragraph
from xdancer.reproduce.paper_motion import SAMPLING
from xdancer.reproduce.paper_plan import PaperLayout, default_steps, measurement_name, overrides, training_name, trainings_of
from xdancer.reproduce.paper_tables import SUBSET, TRAININGS, Block, Column, PaperRow, PaperTable
from xdancer.reproduce.summary import Difference, mean_of
from xdancer.reproduce.verdicts import LEAST_SEEDS, Runs, Verdict, difference, judge_all

COUNTS = ("n/gpt", "n/video", "n/vqvae")
"""Where figures say over how many held-out clips they are taken."""
NOT_COMPARABLE = (
    "Columns carry our own names. The paper's values are published ones, on its own data, networks and metrics (FVD by I3D, ID-SIM by "
    "ArcFace): they stand beside ours so that the order of rows can be read, and cannot be compared with ours as numbers."
)
MEANING = (
    "A claim says that one row is above or below another. The two rows are compared seed by seed on the same held-out clips; in brackets "
    "stands the 95 % interval of the mean difference (bootstrap over seeds, widened for few of them). Shown: the interval lies on the "
    "claimed side of 0. Reversed: it lies on the other. Not shown: it holds 0. "
    f"Fewer than {LEAST_SEEDS} seeds decide nothing. A verdict is about this data set and this budget."
)


@dataclass(frozen=True)
class Results:
    """What there is to tell of a table."""

    table: PaperTable
    layout: PaperLayout
    seeds: int
    steps: int | None
    command: str
    runs: Runs
    """Row → seed → figures, of what is finished."""
    seconds: Mapping[str, float]
    """Phase → seconds that it took."""


def collect(table: PaperTable, layout: PaperLayout, state: State, *, seeds: int, steps: int | None, command: str) -> Results:
    """Read the figures of all finished measurements."""
    runs: dict[str, dict[int, Any]] = {}
    for name, row in ((name, row) for block in table.blocks for name, row in block.rows.items() if row.measured != "not built yet"):
        finished = {seed: measurement_name(row, layout, seed, steps) for seed in range(seeds)}
        paths = {seed: layout.figures(phase) for seed, phase in finished.items() if phase in state.finished}
        runs[name] = {seed: json.loads(path.read_text(encoding="utf-8")) for seed, path in paths.items() if path.is_file()}
    return Results(table, layout, seeds, steps, command, runs, dict(state.finished))


def as_json(results: Results) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        "title": results.table.title,
        "command": results.command,
        "versions": _versions(),
        "data": json.loads(results.layout.identity),
        "seeds": list(range(results.seeds)),
        "budget": {name: _budget(name, results) for block in results.table.blocks for name in trainings_of(block)},
        "sampling": asdict(SAMPLING),
        "subset": SUBSET,
        "paper_values": NOT_COMPARABLE,
        "blocks": [_block_json(block, results) for block in results.table.blocks],
    }


def _versions() -> dict[str, str]:
    """Of Python and the packages that decide figures."""
    return versions() | {"xdancer": xdancer.__version__, "lightning": importlib.metadata.version("lightning")}


def _budget(name: str, results: Results) -> dict[str, Any]:
    training = TRAININGS[name]
    names = [training_name(name, results.layout, seed, results.steps) for seed in range(results.seeds)]
    return {
        "config": training.config, "changes": overrides(training, results.layout, results.steps), "tokenizer": training.tokenizer,
        "steps": results.steps or default_steps(training), "share_of_training_clips": SUBSET if training.subset else 1.0,
        "seconds": [results.seconds.get(phase) for phase in names],
    }  # fmt: skip


def _block_json(block: Block, results: Results) -> dict[str, Any]:
    return {
        "title": block.title,
        "note": block.note,
        "reference": block.reference,
        "columns": {name: asdict(column) for name, column in block.columns.items()},
        "rows": {name: _row_json(name, row, block, results) for name, row in block.rows.items()},
        "claims": [_verdict_json(verdict) for verdict in judge_all(block, results.runs)],
    }


def _row_json(name: str, row: PaperRow, block: Block, results: Results) -> dict[str, Any]:
    runs = results.runs.get(name, {})
    found = {column: difference(runs, results.runs.get(block.reference, {}), one.figure) for column, one in block.columns.items()}
    return {
        "status": status(row, len(runs), results.seeds),
        "trained": list(row.trained),
        "seeds": sorted(runs),
        "n": {key: value for run in list(runs.values())[:1] for key, value in run.items() if key.startswith("n/")},
        "clips": next((run["clips"] for run in runs.values() if "clips" in run), None),
        "values": {column: [runs[seed].get(one.figure) for seed in sorted(runs)] for column, one in block.columns.items()},
        "means": {column: mean_of(list(runs.values()), one.figure) for column, one in block.columns.items()},
        "difference_from_reference": {column: None if one is None else asdict(one) for column, one in found.items()},
        "paper": {column: list(values) for column, values in row.paper.items()},
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    found = None if verdict.difference is None else asdict(verdict.difference)
    return {"claim": str(verdict.claim), **asdict(verdict.claim), "verdict": verdict.seen, "pairs": verdict.pairs, "difference": found}


def status(row: PaperRow, finished: int, seeds: int) -> str:
    """Why a row is empty, or how much of it there is."""
    if row.measured == "not built yet":
        return "not built yet"
    return "not finished yet" if not finished else f"{finished} of {seeds} seed{'s' if seeds > 1 else ''}"


def as_html(results: Results) -> str:
    """The page."""
    budget = {name: results.steps or default_steps(TRAININGS[name]) for block in results.table.blocks for name in trainings_of(block)}
    steps = ", ".join(f"{name} {count}" for name, count in budget.items())
    where = "one's own shards" if results.layout.own else "the embedded data set"
    lead = f"On {where}, {results.seeds} seed{'s' if results.seeds > 1 else ''}; optimiser steps: {steps or 'none'}."
    sections = [section for block in results.table.blocks for section in _sections(block, results)]
    made = commands([results.command, *(f"{name} {version}" for name, version in _versions().items())])
    return page(f"X-Dancer, {results.table.title}", lead, [*sections, Section("How it was made", _budget_table(results) + made)])


def _sections(block: Block, results: Results) -> list[Section]:
    verdicts = judge_all(block, results.runs)
    rows = _rows_table(block, results) + (paragraph(block.note) if block.note else "") + paragraph(NOT_COMPARABLE)
    drawn = {name: _drawn(block, column, results.runs) for name, column in block.columns.items()}
    drawn = {name: panel for name, panel in drawn.items() if panel}
    bars = chart(inline_svg(distribution_chart(drawn)), "Every seed as a point, means over seeds as bars.") if drawn else ""
    return [
        Section(block.title, rows + bars),
        Section(f"{block.title}: is the paper's order seen?", _verdict_table(verdicts, block) + paragraph(MEANING)),
    ]


def _drawn(block: Block, column: Column, runs: Runs) -> dict[str, list[float]]:
    """Row → values of its seeds, of the rows that have any."""
    found = {name: [run.get(column.figure) for run in runs.get(name, {}).values()] for name in block.rows}
    known = {name: [float(value) for value in values if isinstance(value, int | float)] for name, values in found.items()}
    return {name: values for name, values in known.items() if values}


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Cells are HTML; the first column stands to the left."""
    left = ' style="text-align:left"'
    rows = [
        f"<tr>{''.join(f'<{tag}{left if not place else str()}>{cell}</{tag}>' for place, cell in enumerate(cells))}</tr>"
        for tag, group in (("th", [head]), ("td", lines))
        for cells in group
    ]
    return f'<div class="scroll"><table>{"".join(rows)}</table></div>\n'


def _soft(text: str) -> str:
    return f'<br><span class="note">{escape(text)}</span>'


def _rows_table(block: Block, results: Results) -> str:
    head = ["row", "seeds"]
    for name, column in block.columns.items():
        arrow = "↑" if column.higher_is_better else "↓"
        head.append(f"{escape(name)} {arrow}" + _soft(f"stands for {column.stands_for}" if column.stands_for else "ours"))
    lines = []
    for name, row in block.rows.items():
        runs = results.runs.get(name, {})
        clips = next((run[key] for run in runs.values() for key in COUNTS if key in run), None)
        cells = [escape(name), escape(status(row, len(runs), results.seeds)) + (_soft(f"{clips} clips") if clips is not None else "")]
        cells += [_cell(name, row, one, column, block, results.runs) for one, column in block.columns.items()]
        lines.append(cells)
    return _table(head, lines)


def _cell(name: str, row: PaperRow, column: str, one: Column, block: Block, runs: Runs) -> str:
    """Mean, difference from the reference row, published value."""
    own = runs.get(name, {})
    value = mean_of(list(own.values()), one.figure)
    text = number(value, one.digits) if value is not None else "not measured" if own else "–"
    found = None if name == block.reference else difference(own, runs.get(block.reference, {}), one.figure)
    beside = "" if found is None else _soft(f"Δ {interval(found, one.digits)}")
    paper = row.paper.get(column)
    return text + beside + ("" if paper is None else _soft("paper " + " · ".join(f"{value:g}" for value in paper)))


def interval(found: Difference, digits: int) -> str:
    """Mean and interval of a difference."""
    return f"{found.mean:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


def _verdict_table(verdicts: Sequence[Verdict], block: Block) -> str:
    marks = {"shown": ' <span class="yes">✓</span>', "reversed": ' <span class="no">✗</span>'}
    lines = []
    for verdict in verdicts:
        digits = block.columns[verdict.claim.column].digits
        found = "–" if verdict.difference is None else interval(verdict.difference, digits)
        whose = "the paper's" if verdict.claim.source == "paper" else "ours"
        lines.append([escape(str(verdict.claim)), whose, escape(verdict.seen) + marks.get(verdict.seen, ""), found, str(verdict.pairs)])
    return _table(["claim", "whose", "verdict", "difference of the two rows", "paired seeds"], lines)


def _budget_table(results: Results) -> str:
    names = dict.fromkeys(name for block in results.table.blocks for name in trainings_of(block))
    lines = []
    for name in names:
        budget = _budget(name, results)
        seconds = [value for value in budget["seconds"] if value is not None]
        changes = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in budget["changes"].items()) or "nothing"
        shown = [name, budget["config"], changes, str(budget["steps"]), f"{budget['share_of_training_clips']:g}", number(_mean(seconds), 0)]
        lines.append([escape(cell) for cell in shown])
    return _table(["training", "config", "changes", "steps", "share of the clips", "seconds in the mean"], lines) if lines else ""


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
