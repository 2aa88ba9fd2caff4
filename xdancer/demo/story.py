"""DIR/report.html and DIR/report.json: what the demo made and measured, in one page and one flat file."""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

import xdancer
from xdancer.application import root
from xdancer.data.reader import ShardReader
from xdancer.demo.comparison import COLUMNS, comparison_video, pose_pictures
from xdancer.demo.folders import Folders
from xdancer.demo.phase import Phase
from xdancer.demo.state import State
from xdancer.demo.steps import kept
from xdancer.demo.table import groups
from xdancer.evaluation.folder import read_motion_items, read_training_mean, read_video_items, write_json
from xdancer.evaluation.tokenizer import TOKENS
from xdancer.files import write_bytes, write_text
from xdancer.media import made_by_model, read_audio, read_video, write_video
from xdancer.metrics.motion_table import MotionItem
from xdancer.metrics.pose import frame_speed
from xdancer.pipelines.folder import model_hash
from xdancer.report import charts, page
from xdancer.report.embed import inline_svg, picture_uri, video_uri
from xdancer.report.strip import frame_strip, pose_strip
from xdancer.types import FPS

LEAD = "Three stages trained from random weights, on a data set that was generated here, and what they can do ({settings})."
SHIPPED_LEAD = "The model in the package on dancers, songs and phrases that it has never met, generated here, and what it can do ({settings})."
SPEED_CAPTION = "Speed of the body; vertical lines are the song's beats. A dance is on the beat where its speed is least."
SHOWN_CLIPS = 4
SHOWN_DANCES = 3
SAMPLE_RATE = 44100


def report_figures(state: State, phases: Sequence[Phase], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The flat content of report.json."""
    figures: dict[str, Any] = {name: value for part in parts for name, value in part.items()}
    figures |= {f"seconds/{name}": seconds for name, seconds in state.finished.items()}
    figures |= {f"steps/{phase.name}": phase.steps for phase in phases if phase.steps is not None}
    figures |= {f"demo/{name}": value for name, value in state.settings.items()}
    return figures | {"seconds/total": state.wall, "memory/peak_gb": round(state.peak_memory / 1e9, 2) or None}


def tell(folders: Folders, state: State, phases: Sequence[Phase]) -> None:
    """Write report.json and report.html, each in one stroke, and mark the demo complete."""
    begin = time.monotonic()
    parts = [kept(path) for path in (folders.motion_figures, folders.video_figures, folders.unseen_figures)]
    dances, mean = read_motion_items(folders.evaluation), read_training_mean(folders.evaluation)
    tags = made_by_model({"model": model_hash(folders.model), "seed": state.settings["seed"]})
    result, motion = _result(folders), _motion(folders, dances, tags)
    video, training = _video(folders, mean, tags), _training(folders, phases)
    title, lead = ("The model in the package", SHIPPED_LEAD) if folders.shipped else ("Training", LEAD)
    state.wall = round(state.wall + time.monotonic() - begin, 1)
    figures = report_figures(state, phases, parts)
    sections = [
        page.Section("An unseen portrait dances to an unseen song", result),
        page.Section("Figures", _figures(figures)),
        page.Section("Motion on held-out songs", motion),
        page.Section("The renderer on held-out people, beside what it must beat", video),
        page.Section(title, training),
        page.Section("What was run", _commands(state, phases)),
    ]
    settings = ", ".join(f"{name} {value}" for name, value in state.settings.items())
    write_json(folders.root / "report.json", figures)
    write_text(folders.root / "report.html", page.page("xdancer demo", lead.format(settings=settings), sections))
    state.complete = True
    state.save()


def _result(folders: Folders) -> str:
    frames = read_video(folders.dance).frames
    return page.row(
        page.video(video_uri(folders.dance), "dance.mp4: the result, with the song", width=320),
        page.video(video_uri(folders.side_by_side), "side_by_side.mp4: portrait | pose from the motion GPT | result", width=720),
    ) + page.picture(picture_uri(frame_strip(frames)), "Twelve frames over the dance.")


def _figures(figures: Mapping[str, Any]) -> str:
    text = (
        "Every figure beside what it must be read against: null rows, chance, the truth. A dash means: not measurable here. "
        "The clips behind the table lie in evaluation/; xdancer evaluate computes it again."
    )
    return page.paragraph(text) + page.metric_table(groups(figures))


def _motion(folders: Folders, dances: Sequence[MotionItem], tags: Mapping[str, str]) -> str:
    reader = ShardReader(folders.test)
    parts = []
    for number, item in enumerate(dances[:SHOWN_DANCES]):
        strips = np.concatenate([pose_strip(pose, height=96) for pose in (item.true, item.generated)])
        figure = page.picture(picture_uri(strips), f"{item.key}, 8 s: true above, generated below, both from the same first pose.")
        speeds = {name: frame_speed(pose[..., :2], pose[..., 2]) * FPS for name, pose in (("generated", item.generated), ("true", item.true))}
        chart = inline_svg(charts.speed_chart(speeds, [float(beat) for beat in item.beats], fps=float(FPS)))
        if number == 0:
            parts.append(page.video(_pose_video(folders, reader, item, tags), f"{item.key} with its song: true | generated", width=520))
        parts.append(figure + page.chart(chart, SPEED_CAPTION))
    return "".join(parts)


def _pose_video(folders: Folders, reader: ShardReader, item: MotionItem, tags: Mapping[str, str]) -> str:
    path = folders.evaluation / "motion" / f"{item.key}.poses.mp4"
    sound = read_audio(reader.member(item.key, "audio.m4a"), sample_rate=SAMPLE_RATE) if reader.has(item.key, "audio.m4a") else None
    pictures = pose_pictures([item.true, item.generated])
    write_video(path, pictures, fps=float(FPS), audio=sound, sample_rate=SAMPLE_RATE, metadata=tags)
    return video_uri(path)


def _video(folders: Folders, mean: Any, tags: Mapping[str, str]) -> str:
    order = " · ".join(COLUMNS)
    parts = [page.paragraph(f"From left to right: {order}. The portrait is the clip's first frame, the frames begin in its middle.")]
    for number, item in enumerate(read_video_items(folders.evaluation)):
        if number == SHOWN_CLIPS:
            break
        video = comparison_video(item, mean, tags)
        write_bytes(folders.evaluation / "video" / f"{item.key}.comparison.mp4", video)
        parts.append(page.video(video_uri(video), item.key, width=1100, loop=True))
    return "".join(parts)


def _training(folders: Folders, phases: Sequence[Phase]) -> str:
    panels = {}
    for phase in phases:
        if phase.run_dir is not None:
            curves = charts.read_curves(phase.run_dir / "metrics.csv")
            panels[phase.title] = {name: curves[name] for name in ("train/loss", "val/loss") if name in curves}
    losses = page.chart(inline_svg(charts.loss_chart(panels)), "Losses over optimiser steps.") if panels else ""
    content = json.loads((folders.evaluation / "motion" / TOKENS).read_text(encoding="utf-8"))
    codebooks = charts.codebook_chart(np.array(content["counts"]), content["parts"])
    caption = "How often each of a part's codes is used on held-out frames, most frequent first, and the part's perplexity."
    return losses + page.chart(inline_svg(codebooks), caption)


def _commands(state: State, phases: Sequence[Phase]) -> str:
    seconds = {phase.name: state.finished.get(phase.name) for phase in phases}
    times = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items() if value is not None)
    text = f"Phases share two cores, so their times add up to more than the {state.wall:.0f} s of the whole: {times}."
    memory = f"{state.peak_memory / 1e9:.1f} GB of memory at most, all processes together; " if state.peak_memory else ""
    versions = f"{memory}xdancer {xdancer.__version__}, torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}."
    return page.paragraph(text) + page.paragraph(versions) + page.commands([phase.shown(root()) for phase in phases])
