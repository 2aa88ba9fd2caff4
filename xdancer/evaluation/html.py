"""The page of a comparison: figures beside their nulls, every dance as a dot, beats over the sound, the worst and the best dances."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xdancer.errors import MediaError
from xdancer.evaluation.comparison import Row
from xdancer.evaluation.items import Item
from xdancer.evaluation.recording import SAMPLE_RATE, Instruments, Recording
from xdancer.evaluation.result import cell, counted, listed
from xdancer.files import write_text
from xdancer.media import encode_video, read_audio
from xdancer.metrics.beat_alignment import motion_beats
from xdancer.metrics.pose import frame_speed
from xdancer.pose.render import draw_skeleton
from xdancer.report import charts, page
from xdancer.report.embed import inline_svg, video_uri
from xdancer.types import FPS

DISTRIBUTIONS = (
    "beat_f1", "brake_sync_percentile", "speed", "jerk", "foot_sliding", "hand_score", "psnr", "ssim", "lpips", "person_psnr", "pck", "id_sim"
)  # fmt: skip
RANKED = {"brake_sync_percentile": 1, "beat_f1": 1, "lpips": -1, "psnr": 1}
"""Figures by which the worst and the best dances are chosen, the first that the set has; 1 where more is better."""
SHOWN = 2
"""Dances at either end."""
LARGEST = 6_000_000
"""Bytes of a video that the page carries; larger ones are shown as their poses."""
POSE_FRAMES = 300


def write_page(
    path: Path, rows: Sequence[Row], tools: Instruments, result: Mapping[str, Any], held_out: Mapping[str, float | int | None] | None = None
) -> None:  # fmt: skip
    """The HTML file, in one stroke."""
    measured = [row for row in rows if row.recordings]
    lead = f"Protocol {tools.protocol.name}: {', '.join(f'{len(row.recordings)} dances {row.name}' for row in measured)}."
    held = [] if held_out is None else [page.Section("Held-out figures", _held_out(held_out))]
    sections = [
        *held,
        page.Section("Figures", _figures(measured, tools)),
        page.Section("Every dance", _distributions(measured)),
        page.Section("The worst and the best", _extremes(measured[0])),
        page.Section("What was left out, and what to know", _remarks(rows)),
        page.Section("How it was made", page.commands([json.dumps(result["manifest"], indent=1)])),
    ]
    write_text(path, page.page("xdancer evaluate", lead, sections))


def _figures(rows: Sequence[Row], tools: Instruments) -> str:
    names = [name for name in listed(rows[0].figures) if any(row.figures.get(name) is not None for row in rows)]
    lines = [[name, counted(rows, name), *(cell(row.figures, name) for row in rows)] for name in names]
    text = (
        "Means over dances with their bootstrap 95 % interval; n is that of the first column. Read every figure beside the real set and the "
        f"null rows. Distances are taken on {tools.network.name} and are comparable only under this protocol."
    )
    table = page.plain_table(["figure", "n", *(row.name for row in rows)], lines)
    distances = [page.paragraph(f"{row.name}: {report}") for row in rows if row.name != "real" for report in row.distances]
    return page.paragraph(text) + table + "".join(distances)


def _held_out(figures: Mapping[str, float | int | None]) -> str:
    lines = [[name, cell(dict(figures), name)] for name in listed(dict(figures)) if figures[name] is not None]
    return page.plain_table(["figure", "value"], lines)


def _distributions(rows: Sequence[Row]) -> str:
    panels = {
        name: {row.name: list(row.clips.values[name].values()) for row in rows if name in row.clips.values}
        for name in DISTRIBUTIONS
        if any(name in row.clips.values for row in rows)
    }  # fmt: skip
    if not panels:
        return page.paragraph("No figure of single dances could be measured.")
    return page.chart(inline_svg(charts.distribution_chart(panels)), "A dot is a dance, the bar the mean; rows in the order of the table.")


def _extremes(row: Row) -> str:
    name = next((name for name in RANKED if name in row.clips.values), None)
    if name is None:
        return page.paragraph("No figure ranks the dances.")
    values = row.clips.values[name]
    order = sorted(values, key=lambda key: RANKED[name] * values[key])
    chosen = dict.fromkeys([*order[:SHOWN], *order[max(SHOWN, len(order) - SHOWN) :]])
    by_key = {one.key: one for one in row.recordings}
    parts = [page.paragraph(f"{row.name}, by {name}, the worst first.")]
    parts += [_dance(row.items[key], by_key[key], f"{key}: {name} {values[key]:.3g}") for key in chosen]
    return "".join(parts)


def _dance(item: Item, found: Recording, caption: str) -> str:
    parts = [page.video(_video(item, found), caption, width=256)] if item.video is not None or found.pose is not None else []
    plots = []
    if found.pose is not None:
        seconds = found.frames / FPS
        chart = charts.beat_chart(
            _waveform(item, seconds), frame_speed(found.pose[..., :2], found.pose[..., 2]) * FPS, fps=float(FPS), seconds=seconds,
            music=found.arrays.get("beats", np.zeros(0)).tolist(), motion=motion_beats(found.pose[..., :2], found.pose[..., 2], FPS).tolist(),
        )  # fmt: skip
        plots.append(page.chart(inline_svg(chart), f"tempo {found.tempo:.1f} beats a minute"))
    if "identity" in found.arrays:
        curve = charts.time_chart({"likeness": found.arrays["identity"]}, fps=float(FPS), label="likeness of the face to the portrait's")
        plots.append(page.chart(inline_svg(curve), "cosine of the face embeddings; gaps: no face"))
    return page.row(*parts, "<div>" + "".join(plots) + "</div>")


def _video(item: Item, found: Recording) -> str:
    """The file itself where it is a small mp4, else the poses, drawn."""
    if isinstance(item.video, Path) and item.video.suffix.lower() == ".mp4" and item.video.stat().st_size <= LARGEST:
        return video_uri(item.video)
    if isinstance(item.video, bytes) and len(item.video) <= LARGEST:
        return video_uri(item.video)
    assert found.pose is not None
    return video_uri(encode_video(draw_skeleton(pose, 256, 256) for pose in found.pose[:POSE_FRAMES]))


def _waveform(item: Item, seconds: float) -> np.ndarray:
    if item.sound is None:
        return np.zeros(0)
    try:
        return read_audio(item.sound, sample_rate=SAMPLE_RATE)[: int(seconds * SAMPLE_RATE)]
    except MediaError:
        return np.zeros(0)


def _remarks(rows: Sequence[Row]) -> str:
    lines = [[row.name, left.key, f"left out: {left.reason}"] for row in rows for left in row.excluded]
    lines += [[row.name, "all", remark] for row in rows for remark in row.remarks]
    lines += [[row.name, key, "; ".join(notes)] for row in rows for key, notes in row.notes.items()]
    return page.plain_table(["set", "dance", "remark"], lines) if lines else page.paragraph("Nothing.")
