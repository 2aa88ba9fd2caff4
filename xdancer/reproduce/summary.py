"""The table of a study: means over seeds, and differences from the reference row with paired intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy import stats

from xdancer.reproduce.tables import Table

Figures = Mapping[str, float | int | list[float | None] | None]


@dataclass(frozen=True)
class Difference:
    """A row against another: mean over seeds of the difference, and the 95 % interval of that mean."""

    mean: float
    low: float
    high: float


def mean_of(runs: Sequence[Figures], figure: str) -> float | None:
    """Mean over the seeds that have the figure."""
    values = [float(run[figure]) for run in runs if isinstance(run.get(figure), int | float)]  # type: ignore[arg-type]
    return float(np.mean(values)) if values else None


def paired(runs: Sequence[Figures], reference: Sequence[Figures], figure: str) -> Difference | None:
    """Differences seed by seed with the interval of Student's t; None with fewer than two pairs."""
    pairs = [(run.get(figure), other.get(figure)) for run, other in zip(runs, reference, strict=True)]
    values = np.array([float(a) - float(b) for a, b in pairs if isinstance(a, int | float) and isinstance(b, int | float)])
    if len(values) < 2:
        return None
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Difference(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)


def markdown(
    rows: Mapping[str, Sequence[Figures]], table: Table, pooled: Mapping[str, Mapping[str, float | None]] = MappingProxyType({})
) -> str:  # fmt: skip
    """The table for people: one line per row, differences in the last columns. `pooled`: further columns, figures of all seeds together."""
    heads = ["row", "n", *table.columns, *pooled, *(f"Δ {name}" for name in table.paired)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, runs in rows.items():
        cells = [name, str(len(runs)), *(_number(mean_of(runs, figure)) for figure in table.columns.values())]
        cells += [_number(column.get(name)) for column in pooled.values()]
        shared = min(len(runs), len(rows[table.reference]))
        for column in table.paired:
            found = None if name == table.reference else paired(runs[:shared], rows[table.reference][:shared], table.columns[column])
            cells.append("" if found is None else f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
