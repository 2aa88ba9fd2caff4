"""A generated set, the real set and null rows, all measured by the same functions under one protocol."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from xdancer.errors import XDancerError
from xdancer.evaluation.items import Excluded, Item, digest
from xdancer.evaluation.null_rows import NEEDS, OF_POSES, Null, mean_frame, pictured_null, posed_null
from xdancer.evaluation.pairs import pair_figures
from xdancer.evaluation.recording import FORMAT, Instruments, Opened, Recording, measure
from xdancer.evaluation.sets import ClipFigures, Figures, set_figures
from xdancer.files import write_text
from xdancer.metrics.distance_report import DistanceReport
from xdancer.metrics.video_protocols import clip_share

Progress = Callable[[str, int, int], object]


@dataclass
class Row:
    """One set of dances under measurement."""

    name: str
    items: dict[str, Item] = field(default_factory=dict)
    recordings: list[Recording] = field(default_factory=list)
    clips: ClipFigures = field(default_factory=ClipFigures)
    excluded: list[Excluded] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)
    distances: list[DistanceReport] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """On the whole set: why figures are unknown or leave out dances."""


class Comparison:
    """Measures rows dance by dance: every file is decoded once, and only the pictures of one dance are held.

    Args:
        tools: with what.
        cache: folder of measured dances by content; None keeps none.
    """

    def __init__(self, tools: Instruments, *, cache: Path | None) -> None:
        self.tools, self.cache = tools, cache
        self.sizes: dict[str, int] = {}

    def rows(self, generated: Sequence[Item], real: Sequence[Item], nulls: Sequence[Null], progress: Progress = lambda *_: None) -> list[Row]:
        """The generated row, the real one, and null rows, with all figures; rows without a single dance are left out."""
        self.sizes = {"generated": max(len(generated), 1), "real": max(len(real), 1)}
        own, true = Row("generated"), Row("real")
        further: dict[Null, Row] = {name: Row(name) for name in nulls}
        theirs = {item.key: item for item in generated}
        mean = mean_frame(real) if "mean" in nulls else None
        keys = list(dict.fromkeys([item.key for item in real] + list(theirs)))
        real_by_key = {item.key: item for item in real}
        for done, key in enumerate(keys):
            progress("dances", done, len(keys))
            there = self._measured(true, real_by_key.get(key))
            self._measured(own, theirs.get(key), there)
            for name in nulls:
                if there is not None and name not in OF_POSES:
                    self._measured(further[name], pictured_null(name, there[0], mean), there)
            if there is None and real and key in own.items:
                own.notes.setdefault(key, []).append("no real dance of this name was measured: not compared in pairs")
        progress("dances", len(keys), len(keys))
        posed: list[Null] = [name for name in nulls if name in OF_POSES]
        for done, name in enumerate(posed):
            progress("null rows", done, len(posed))
            for found in true.recordings:
                item = true.items[found.key]
                self._measured(further[name], posed_null(name, (item, found), true.recordings, seed=self.tools.seed), (Opened(item), found))
        rows = [row for row in (own, true, *further.values()) if row.recordings or row.excluded]
        for row in rows:
            row.figures, row.distances, row.remarks = set_figures(row.recordings, true.recordings or None, row.clips, self.tools)
        true.remarks += [f"no null row {name}: no real dance has {NEEDS[name]}" for name, row in further.items() if row not in rows]
        return rows

    def _measured(self, row: Row, item: Item | None, real: tuple[Opened, Recording] | None = None) -> tuple[Opened, Recording] | None:
        """Measure a dance into its row, against the real one of its name; a fault of one file excludes that one alone."""
        if item is None:
            return None
        opened = Opened(item)
        try:
            found = measure(opened, self.tools, self.cache, share=self._share(row))
            pair = None if real is None else self._pair((opened, found), real)
        except XDancerError as error:
            row.excluded.append(Excluded(item.key, str(error)))
            return None
        row.items[item.key] = item
        row.recordings.append(found)
        notes = list(found.notes)
        if pair is not None:
            notes += pair["notes"]
            for name, value in pair["figures"].items():
                row.clips.add(name, item.key, value)
        if notes:
            row.notes[item.key] = notes
        return opened, found

    def _share(self, row: Row) -> int | None:
        """Windows that each dance of a row gives where the protocol draws them."""
        return clip_share(self.tools.protocol, video=len(row.recordings), videos=self.sizes["generated" if row.name == "generated" else "real"])

    def _pair(self, own: tuple[Opened, Recording], real: tuple[Opened, Recording]) -> dict:
        """Figures and notes of a pair, from the cache where it was compared before."""
        about = json.dumps([FORMAT, own[0].item.digest, real[0].item.digest, self.tools.settings])
        place = None if self.cache is None else self.cache / f"pair-{digest(about.encode())}.json"
        if place is not None and place.is_file():
            with suppress(ValueError):  # damaged: compared again
                return json.loads(place.read_text())
        figures, notes = pair_figures(own, real, self.tools.vgg)
        found = {"figures": figures, "notes": notes}
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, json.dumps(found))
        return found
