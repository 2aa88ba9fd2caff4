"""What a comparison found, as JSON that says everything a reader needs to trust or repeat it, and as a table in the terminal."""

import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xdancer.evaluation.comparison import Row
from xdancer.evaluation.items import digest
from xdancer.evaluation.recording import Instruments, Recording
from xdancer.evaluation.sets import Figures

LIBRARIES = ("torch", "torchmetrics", "numpy", "scipy", "librosa", "av", "transformers", "mediapipe")

REMARKS = 10
"""Different remarks on the dances of a set that the terminal shows."""


def as_json(rows: Sequence[Row], tools: Instruments, sources: Mapping[str, Path | None]) -> dict[str, Any]:
    """`figures` by row, `clips` by row, figure and dance, `excluded` with reasons, `remarks` on sets, `notes` on single dances, `manifest`."""
    return {
        "manifest": manifest(sources) | {
            "protocol": asdict(tools.protocol) | {"feature_width": tools.network.width}, "instruments": tools.settings, "seed": tools.seed,
            "n": {row.name: len(row.recordings) for row in rows}, "content": {row.name: _content(row) for row in rows},
        },
        "figures": {row.name: row.figures for row in rows},
        "distances": {row.name: [report.row() for report in row.distances] for row in rows if row.distances},
        "clips": {row.name: row.clips.values for row in rows},
        "dances": {row.name: {one.key: _about(one) for one in row.recordings} for row in rows},
        "excluded": {row.name: {left.key: left.reason for left in row.excluded} for row in rows if row.excluded},
        "remarks": {row.name: row.remarks for row in rows if row.remarks},
        "notes": {row.name: row.notes for row in rows if row.notes},
    }  # fmt: skip


def _about(one: Recording) -> dict[str, float | int | str]:
    return {"frames": one.frames, "fps": round(one.fps, 4), "tempo": round(one.tempo, 3), "beats_from": one.beats_from}


def manifest(sources: Mapping[str, Path | None]) -> dict[str, Any]:
    """Command, versions and inputs of this run."""
    return {
        "command": shlex.join(["xdancer", *sys.argv[1:]]), "inputs": {name: str(path) for name, path in sources.items() if path is not None},
        "versions": versions(),
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Of xdancer, Python and the libraries that figures depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("xdancer", *LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _content(row: Row) -> str:
    """One hash over the dances of a row: equal hashes, equal content."""
    return digest(*sorted(item.digest.encode() for item in row.items.values()))


def listed(figures: Figures) -> list[str]:
    """Names of the figures themselves and of what is read beside them (nulls, chance), without intervals and counts, which belong to one."""
    endings = ("_low", "_high")
    own = [name for name in figures if not name.startswith("n/")]
    return [name for name in own if not any(name.endswith(end) and name.removesuffix(end) in figures for end in endings)]


def cell(figures: Figures, name: str) -> str:
    """A figure with its interval, or a dash."""
    value, low, high = figures.get(name), figures.get(f"{name}_low"), figures.get(f"{name}_high")
    if value is None:
        return "–"
    interval = "" if low is None or high is None else f" [{_short(low)}, {_short(high)}]"
    return _short(value) + interval


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def counted(rows: Sequence[Row], name: str) -> str:
    """How many dances (or windows) of the first row have a figure."""
    n = rows[0].figures.get(f"n/{name}")
    return "" if n is None else str(n)


def show_rows(rows: Sequence[Row], tools: Instruments) -> None:
    """Print the figures, one line each, the rows beside one another, in several tables where they are too wide; then what was left out and
    what to know.
    """
    from rich.console import Console
    from rich.table import Column, Table

    console, measured = Console(), [row for row in rows if row.recordings]
    cells = {name: [cell(row.figures, name) for row in measured] for name in listed(measured[0].figures)}
    cells = {name: texts for name, texts in cells.items() if any(text != "–" for text in texts)}
    counts = {name: counted(measured, name) for name in cells}
    first = max((len(name) for name in cells), default=6) + max((len(text) for text in counts.values()), default=1) + 7
    console.print(f"dances: {', '.join(f'{len(row.recordings)} {row.name}' for row in measured)}; n is that of {measured[0].name}")
    widths = [max([len(row.name), *(len(texts[place]) for texts in cells.values())]) + 3 for place, row in enumerate(measured)]
    for places in side_by_side(widths, console.width - first):
        columns = [Column(measured[place].name, no_wrap=True) for place in places]
        title = f"{tools.protocol.name}: {tools.network.name} {tools.network.digest}"
        table = Table(Column("figure", no_wrap=True), Column("n", no_wrap=True), *columns, title=title)
        for name, texts in cells.items():
            table.add_row(name, counts[name], *(texts[place] for place in places))
        console.print(table)
    for row in measured:
        for report in row.distances if row.name != "real" else ():
            console.print(f"{row.name}: {report}", highlight=False)
    for row in rows:
        for left in row.excluded:
            console.print(f"left out of {row.name}: {left.key}: {left.reason}", highlight=False)
    for line in remarks(rows):
        console.print(line, highlight=False)


def remarks(rows: Sequence[Row]) -> list[str]:
    """Remarks on sets and on dances, equal ones together; of a set with many different ones the first `REMARKS`."""
    lines = []
    for row in rows:
        lines += [f"{row.name}: {remark}" for remark in row.remarks]
        noted: dict[str, list[str]] = {}
        for key, notes in row.notes.items():
            for note in notes:
                noted.setdefault(note, []).append(key)
        for note, keys in list(noted.items())[:REMARKS]:
            lines.append(f"{row.name}: {', '.join(keys[:3])}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}: {note}")
        if len(noted) > REMARKS:
            lines.append(f"{row.name}: {len(noted) - REMARKS} further remarks on single dances; --json and --html have them all")
    return lines


def side_by_side(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns in tables of that width at most, in order; each holds one at least."""
    tables: list[list[int]] = []
    for place, width in enumerate(widths):
        if tables and sum(widths[other] for other in tables[-1]) + width <= room:
            tables[-1].append(place)
        else:
            tables.append([place])
    return tables
