"""`report.html`: what a run accepted, what it left out and why, thumbnails and distributions, in one file."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from xdancer import media
from xdancer.errors import XDancerError
from xdancer.files import write_text
from xdancer.pose.render import draw_skeleton
from xdancer.prepare.cache import ClipCache, Rejection
from xdancer.prepare.job import VideoRecord
from xdancer.prepare.report import PAGE, PrepareReport
from xdancer.prepare.work import jpeg
from xdancer.progress import duration
from xdancer.report.charts import histogram_chart
from xdancer.report.embed import inline_svg
from xdancer.report.page import Section, chart, page, paragraph, picture, plain_table, row
from xdancer.report.strip import evenly
from xdancer.types import FPS, ClipSample

SHOWN = 24
"""Accepted clips, and left-out cuts, with a picture."""
TABLE_ROWS = 500
FILTERS = "filters"
"""Entry of a clip's quality: name of a filter → {value, threshold, passed}."""


class Gallery:
    """What the page shows of clips and of cuts that became none; its size does not grow with theirs, but for the figures."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.chosen = {keys[number] for number in evenly(len(keys), SHOWN)}
        self.seen = set[str]()
        self.figures: dict[str, list[float]] = defaultdict(list)
        self.filters: dict[str, list[tuple[float, float, bool]]] = defaultdict(list)
        """Value, threshold and whether it was passed, of clips and of what was left out."""
        self.accepted: list[str] = []
        self.rejected: dict[str, list[str]] = defaultdict(list)
        """By kind of reason."""

    def add(self, sample: ClipSample) -> None:
        """A finished clip; a second time it changes nothing."""
        if sample.key in self.seen:
            return
        self.seen.add(sample.key)
        quality = dict(sample.meta.get("quality", {}))
        self._add_filters(quality.pop(FILTERS, {}))
        figures = {"seconds": sample.frames / FPS, "tempo": sample.meta["tempo"], **dict(_numbers(quality))}
        for name, value in figures.items():
            self.figures[name].append(float(value))
        if sample.key in self.chosen and sample.video is not None:
            with suppress(XDancerError, StopIteration):  # a picture more or less decides nothing
                self.accepted.append(_thumbnails(sample))

    def add_rejected(self, record: VideoRecord, cache: ClipCache) -> None:
        """The cuts of a video that became no clips."""
        for cut in record.cuts:
            rejection = cache.rejection(cut.key) if cut.reason else None
            if rejection is not None:
                self._add_filters(rejection.figures.get(FILTERS, {}))
                kind = reason_kind(cut.reason)
                if rejection.picture and len(self.rejected[kind]) < SHOWN:
                    self.rejected[kind].append(_rejected_figure(f"{record.video} ({cut.start:.0f}–{cut.stop:.0f} s)", rejection))

    def shown_rejected(self) -> list[str]:
        """Pictures of what was left out: of each kind of reason one, then a second one, and so on."""
        longest = max(map(len, self.rejected.values()), default=0)
        return [kind[number] for number in range(longest) for kind in self.rejected.values() if number < len(kind)][:SHOWN]

    def _add_filters(self, filters: Mapping[str, Any]) -> None:
        for name, entry in filters.items():
            if isinstance(entry, dict) and _is_number(entry.get("value")) and _is_number(entry.get("threshold")):
                self.filters[name].append((float(entry["value"]), float(entry["threshold"]), bool(entry.get("passed"))))


def write_page(folder: Path, report: PrepareReport, gallery: Gallery) -> None:
    """`report.html`, atomically.

    Raises:
        XDancerError: it cannot be written.
    """
    text = page("xdancer prepare", _lead(report), list(_sections(report, gallery)))
    try:
        write_text(folder / PAGE, text)
    except OSError as error:
        raise XDancerError(f"{folder / PAGE}: cannot be written ({error.strerror or error}).") from error


def reason_kind(reason: str) -> str:
    """A reason without its figures and places, so that equal ones can be counted."""
    words = re.sub(r"\s*\(\d+–\d+ s\)$", "", reason)
    return re.sub(r"\d+(\.\d+)?", "…", words)


def _lead(report: PrepareReport) -> str:
    clips = sum(len(video.clips) for video in report.videos)
    length = duration(sum(video.seconds for video in report.videos))
    quarantined = f", {report.quarantined} in quarantine" if report.quarantined else ""
    return (
        f"{report.accepted} of {len(report.videos)} videos accepted{quarantined}: {clips} clips, {length}. "
        f"Poses by {report.detector} on {report.device}."
    )


def _sections(report: PrepareReport, gallery: Gallery) -> Iterator[Section]:
    yield Section("Clips", plain_table(["split", "clips"], [[name, str(count)] for name, count in report.clips.items()]))
    yield Section("Left out, and why", _reasons(report))
    if gallery.accepted:
        yield Section("Accepted", paragraph("First and middle picture with the pose that was found.") + row(*gallery.accepted))
    if shown := gallery.shown_rejected():
        yield Section("Left out", paragraph("The picture in the middle of the cut.") + row(*shown))
    if gallery.figures:
        drawing = inline_svg(histogram_chart(gallery.figures))
        yield Section("Distributions", chart(drawing, f"Of {len(gallery.seen)} accepted clips; how many clips, over each figure."))
    if gallery.filters:
        yield Section("Filters", _filters(gallery))
    yield Section("Videos", _videos(report))
    yield Section("Settings", plain_table(["setting", "value"], [[name, _text(value)] for name, value in report.settings.items()]))


def _reasons(report: PrepareReport) -> str:
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for video in report.videos:
        reasons = [*video.reasons, *([f"quarantined: {video.quarantined}"] if video.quarantined else [])]
        for reason in reasons:
            counts[reason_kind(reason)] += 1
            examples.setdefault(reason_kind(reason), f"{video.video}: {reason}")
    if not counts:
        return paragraph("Nothing was left out.")
    return plain_table(["reason", "times", "for example"], [[kind, str(count), examples[kind]] for kind, count in counts.most_common()])


def _filters(gallery: Gallery) -> str:
    panels = {name: [value for value, _, _ in rows] for name, rows in gallery.filters.items()}
    thresholds = {name: rows[0][1] for name, rows in gallery.filters.items()}
    table = [
        [name, str(len(rows)), str(sum(passed for _, _, passed in rows)), f"{thresholds[name]:g}", f"{np.median(panels[name]):.4g}"]
        for name, rows in gallery.filters.items()
    ]
    drawing = inline_svg(histogram_chart(panels, thresholds=thresholds))
    caption = "Of accepted clips and of what a filter left out; the line is the threshold."
    return plain_table(["filter", "measured", "passed", "threshold", "median"], table) + chart(drawing, caption)


def _videos(report: PrepareReport) -> str:
    rows = []
    for video in report.videos[:TABLE_ROWS]:
        why = "; ".join([*video.reasons, *([f"quarantined: {video.quarantined}"] if video.quarantined else []), *video.notes])
        rows.append([video.video, video.song, str(len(video.clips)), f"{video.seconds:.1f}", ", ".join(video.splits), why])
    more = len(report.videos) - len(rows)
    rest = paragraph(f"{more} more videos are in report.json.") if more > 0 else ""
    return plain_table(["video", "song", "clips", "seconds", "splits", "left out, notes"], rows) + rest


def _thumbnails(sample: ClipSample) -> str:
    """First and middle picture with the skeleton over them."""
    assert sample.video is not None
    shown = []
    for number in (0, sample.frames // 2):
        _, frame = next(iter(media.stream_video(sample.video, start=number)))
        shown.append(draw_skeleton(sample.pose[number], frame.shape[0], frame.shape[1], background=frame))
    return picture(f"data:image/jpeg;base64,{jpeg(np.concatenate(shown, axis=1))}", f"{sample.key}, {sample.frames / FPS:.1f} s")


def _rejected_figure(place: str, rejection: Rejection) -> str:
    return picture(f"data:image/jpeg;base64,{rejection.picture}", f"{place}: {rejection.reason}"[:160], width=160)


def _numbers(quality: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """All numeric entries, those of nested tables with both names."""
    for name, value in quality.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name} ")
        elif _is_number(value):
            yield f"{prefix}{name}", float(value)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else "–" if value is None else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
