"""Curves and bars of the report, drawn by matplotlib without a display."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Steps and values, equally long."""
INK, ACCENT, SECOND = "#334155", "#7c3aed", "#ea580c"


def read_curves(metrics: Path) -> dict[str, Curve]:
    """Every column of a run's `metrics.csv` as a curve over the optimiser step; columns without a number are left out."""
    if not metrics.is_file():
        return {}
    points: dict[str, list[tuple[int, float]]] = {}
    with metrics.open(newline="") as lines:
        for row in csv.DictReader(lines):
            for name, value in row.items():
                if name not in (None, "step", "epoch") and value and row.get("step"):
                    points.setdefault(name, []).append((int(float(row["step"])), float(value)))
    return {name: (np.array([step for step, _ in pairs]), np.array([value for _, value in pairs])) for name, pairs in points.items()}


def loss_chart(panels: Mapping[str, Mapping[str, Curve]]) -> "Figure":
    """One panel per training phase, its curves by name on a shared step axis; a logarithmic axis where the losses span a decade."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * max(len(panels), 1), 2.6), layout="constrained")
    for column, (title, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), column + 1)
        for (name, (steps, values)), colour in zip(curves.items(), (ACCENT, SECOND, INK), strict=False):
            axes.plot(steps, values, color=colour, linewidth=1.2, label=name, marker="o" if len(steps) < 12 else None, markersize=2.5)
        finite = [values[np.isfinite(values) & (values > 0)] for _, values in curves.values()]
        positive = np.concatenate(finite) if finite else np.zeros(0)
        if len(positive) and positive.max() > 10 * positive.min():
            axes.set_yscale("log")
        if curves:
            axes.legend(frameon=False, fontsize=7)
        _plain(axes, title, "step")
    return figure


def codebook_chart(counts: NDArray[np.int64], names: Sequence[str]) -> "Figure":
    """How often each code of each part is used, most frequent first. `counts` is (part, code)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * len(names), 1.9), layout="constrained")
    for part, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), part + 1)
        share = np.sort(counts[part])[::-1] / max(counts[part].sum(), 1)
        axes.fill_between(np.arange(len(share)), share * 100, color=ACCENT, alpha=0.35, step="mid", linewidth=0)
        axes.plot(np.arange(len(share)), share * 100, color=ACCENT, linewidth=0.8)
        axes.set_ylim(bottom=0)
        _plain(axes, f"{name.replace('_', ' ')}: {perplexity(counts[part]):.0f}", "code, by rank")
        if part == 0:
            axes.set_ylabel("% of tokens", fontsize=7, color=INK)
    return figure


def perplexity(counts: NDArray[np.int64]) -> float:
    """2 to the entropy in bits of the codes' frequencies: how many codes an even use of as much variety would take."""
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def speed_chart(speeds: Mapping[str, NDArray[np.floating]], beats: Sequence[float], *, fps: float) -> "Figure":
    """Mean body speed over time of some dances to one song, its beats as vertical lines: on the beat, the speed is at a minimum."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.1), layout="constrained")
    axes = figure.add_subplot()
    for beat in beats:
        axes.axvline(beat, color="#94a3b8", linewidth=0.7)
    for (name, speed), colour in zip(speeds.items(), (ACCENT, SECOND, INK), strict=False):
        axes.plot((np.arange(len(speed)) + 0.5) / fps, speed, color=colour, linewidth=1.1, label=name)
    axes.legend(frameon=False, fontsize=7, ncols=3, loc="upper right")
    axes.set_ylim(bottom=0)
    _plain(axes, "", "seconds")
    axes.set_ylabel("speed, half heights / s", fontsize=7, color=INK)
    return figure


def distribution_chart(figures: Mapping[str, Mapping[str, Sequence[float]]]) -> "Figure":
    """One panel per figure: its rows above one another, a dot for every dance, a bar at the mean."""
    from matplotlib.figure import Figure

    columns = 3
    lines = -(-len(figures) // columns)
    rows = max((len(panel) for panel in figures.values()), default=1)
    figure = Figure(figsize=(9.6, max(lines, 1) * (0.5 + 0.2 * rows)), layout="constrained")
    for place, (title, panel) in enumerate(figures.items()):
        axes = figure.add_subplot(lines, columns, place + 1)
        for height, values in enumerate(panel.values()):
            colour = (ACCENT, INK)[height] if height < 2 else SECOND
            spread = np.random.default_rng(0).uniform(-0.18, 0.18, len(values))
            axes.scatter(values, spread - height, s=5, color=colour, alpha=0.45, linewidths=0)
            axes.plot([np.mean(values)] * 2, [-height - 0.34, -height + 0.34], color=colour, linewidth=1.6)
        axes.set_yticks([-height for height in range(len(panel))], list(panel))
        axes.set_ylim(-len(panel) + 0.4, 0.6)
        _plain(axes, title, "")
    return figure


def histogram_chart(figures: Mapping[str, Sequence[float]], *, thresholds: Mapping[str, float] | None = None, columns: int = 4) -> "Figure":
    """One small histogram per figure, of its finite values; a line where a threshold lies."""
    from matplotlib.figure import Figure

    lines = -(-len(figures) // columns)
    height = 1.5 * max(lines, 1)
    figure = Figure(figsize=(2.4 * columns, height))
    figure.subplots_adjust(left=0.03, right=0.99, bottom=0.3 / height, top=1 - 0.25 / height, wspace=0.25, hspace=0.6)
    for place, (title, given) in enumerate(figures.items()):
        axes = figure.add_subplot(lines, columns, place + 1)
        values = np.asarray(given, float)
        values = values[np.isfinite(values)]
        axes.hist(values, bins=min(24, max(6, round(len(values) ** 0.5))), color=ACCENT, alpha=0.6)
        if thresholds and title in thresholds:
            axes.axvline(thresholds[title], color=SECOND, linewidth=1.2)
        axes.yaxis.get_major_locator().set_params(integer=True, nbins=3)  # type: ignore[call-arg]
        axes.locator_params(axis="x", nbins=4)
        _plain(axes, title, "")
    return figure


def beat_chart(
    waveform: NDArray[np.floating], speed: NDArray[np.floating], *, music: Sequence[float], motion: Sequence[float], fps: float, seconds: float
) -> "Figure":  # fmt: skip
    """Waveform with the music's beats above, speed of the body with its motion beats below, on one time axis.

    Args:
        waveform: mono samples over `seconds`; empty where the music is not heard.
        speed: of the body between frames, at (t + ½) / fps.
        music: beats, seconds.
        motion: beats, seconds.
        fps: of the speed.
        seconds: length of the dance.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 2.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    if len(waveform):
        pieces = np.array_split(waveform, min(1200, len(waveform)))
        time = (np.arange(len(pieces)) + 0.5) / len(pieces) * seconds
        upper.fill_between(time, [piece.min() for piece in pieces], [piece.max() for piece in pieces], color="#94a3b8", linewidth=0)
    for axes, beats, colour in ((upper, music, SECOND), (lower, music, "#fdba74"), (lower, motion, ACCENT)):
        for beat in beats:
            axes.axvline(beat, color=colour, linewidth=0.8)
    lower.plot((np.arange(len(speed)) + 0.5) / fps, speed, color=INK, linewidth=1)
    lower.set_ylim(bottom=0)
    upper.set_yticks([])
    upper.set_xlim(0, seconds)
    _plain(upper, "sound, and the beats of the music", "")
    _plain(lower, "speed of the body; motion beats over the music's", "seconds")
    return figure


def time_chart(curves: Mapping[str, NDArray[np.floating]], *, fps: float, label: str) -> "Figure":
    """A figure of every frame over time; gaps where it is NaN."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 1.5), layout="constrained")
    axes = figure.add_subplot()
    for (name, values), colour in zip(curves.items(), (ACCENT, SECOND, INK), strict=False):
        axes.plot(np.arange(len(values)) / fps, values, color=colour, linewidth=1, label=name)
    axes.legend(frameon=False, fontsize=7, loc="lower right")
    _plain(axes, label, "seconds")
    return figure


def _plain(axes: "Axes", title: str, xlabel: str) -> None:
    axes.set_title(title, fontsize=8.5, color=INK, loc="left")
    axes.set_xlabel(xlabel, fontsize=7, color=INK)
    axes.tick_params(labelsize=6.5, colors=INK, length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#cbd5e1")
