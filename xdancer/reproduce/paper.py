"""Run a table of the paper: what is missing is trained and measured, then one JSON and one page tell all that is finished."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from xdancer.data.reader import ShardReader
from xdancer.demo.display import Display
from xdancer.demo.lock import hold
from xdancer.demo.phase import Phase
from xdancer.demo.scheduler import Child, run_phases
from xdancer.demo.state import State, open_state
from xdancer.errors import XDancerError
from xdancer.evaluation.clips import with_video
from xdancer.evaluation.folder import write_json
from xdancer.files import write_text
from xdancer.reproduce.paper_plan import SPLITS, PaperLayout, built_rows, embedded_layout, make_paper_phases, own_layout
from xdancer.reproduce.paper_report import as_html, as_json, collect
from xdancer.reproduce.paper_tables import PaperRow, PaperTable, find_table
from xdancer.workers import terminated_like_interrupted

GRID = 16
"""Sides of the pictures are multiples of this: patches of 4 pixels, halved twice."""
MUSIC = "librosa"


@dataclass(frozen=True)
class Request:
    """What of a table is wanted."""

    out: Path
    data: Path | None = None
    """Folder of one's own train, val and test; None for the embedded data set."""
    seeds: int = 5
    steps: int | None = None
    rows: tuple[str, ...] | None = None
    jobs: int = 2
    accelerator: Literal["cpu", "cuda"] = "cpu"

    def command(self, number: int) -> str:
        """The command line that continues or repeats it."""
        flags = {"--table": number, "--data": self.data, "--out": self.out, "--seeds": self.seeds, "--steps": self.steps}
        flags["--rows"] = None if self.rows is None else f"[{', '.join(self.rows)}]"
        flags["--accelerator"] = None if self.accelerator == "cpu" else self.accelerator
        words = [word for name, value in flags.items() if value is not None for word in (name, str(value))]
        return shlex.join(["xdancer", "reproduce", *words])


class _Watch:
    """The display of a table's own phases: what other tables have finished in the same folder neither shows nor counts in the time left."""

    def __init__(self, phases: Sequence[Phase], state: State) -> None:
        self.state, self.names = state, {phase.name for phase in phases}
        self.shown = replace(state, finished=self._own())
        self.display = Display(phases, self.shown)

    def _own(self) -> dict[str, float]:
        return {name: seconds for name, seconds in self.state.finished.items() if name in self.names}

    def __call__(self, running: dict[str, Child]) -> None:
        self.shown.finished = self._own()
        self.display.watch(running)


def run_table(number: int, request: Request) -> Path:
    """Train and measure what is missing of a table and write `OUT/table_N.html` and `.json`, also when it is stopped before the end.

    Returns:
        The page.

    Raises:
        XDancerError: an unknown table or row, unfit data, or a phase that failed.
    """
    table = find_table(number)
    rows = chosen_rows(table, request.rows)
    out = request.out.absolute()
    layout = embedded_layout(out) if request.data is None else read_own(out, request.data.absolute(), rows)
    phases = make_paper_phases(table, layout, seeds=request.seeds, steps=request.steps, accelerator=request.accelerator, rows=rows)
    state = open_state(layout.root, {"kind": "tables of the paper"})
    html = out / f"table_{number}.html"
    with hold(layout.root / ".lock") as lock, terminated_like_interrupted():
        try:
            watch = _Watch(phases, state)
            with watch.display:
                run_phases(phases, state, layout.root / "logs", cores=request.jobs, watch=watch, keep_open=lock)
        finally:
            results = collect(table, layout, state, seeds=request.seeds, steps=request.steps, command=request.command(number))
            write_json(out / f"table_{number}.json", as_json(results))
            write_text(html, as_html(results))
    return html


def chosen_rows(table: PaperTable, rows: tuple[str, ...] | None) -> Mapping[str, PaperRow]:
    """The named rows with those they are compared with; all that are built by default.

    Raises:
        XDancerError: a row that the table does not have, or that is not built.
    """
    built = built_rows(table)
    unknown = [row for row in rows or () if row not in built]
    if unknown:
        raise XDancerError(f"--rows {unknown[0]!r}: no such row that is built. Choose among {', '.join(map(repr, built))}.")
    if rows is None:
        return built
    references = {block.reference for block in table.blocks if set(rows) & set(block.rows)}
    return {name: row for name, row in built.items() if name in rows or name in references}


def read_own(out: Path, data: Path, rows: Mapping[str, PaperRow]) -> PaperLayout:
    """One's own shards, checked before anything is trained on them.

    Raises:
        ShardError: a split is missing; XDancerError: it lacks the music feature, two held-out clips, or videos where rows need them.
    """
    readers = {split: ShardReader(data / split) for split in SPLITS}
    for split, reader in readers.items():
        if MUSIC not in reader.features:
            raise XDancerError(f"--data {data}: {split} has no music feature {MUSIC!r}. Add it: xdancer features {data / split} --add {MUSIC}.")
    if len(readers["test"]) < 2:
        raise XDancerError(f"--data {data}: test has {len(readers['test'])} clip, a distance between sets needs at least 2.")
    size = (64, 64)
    if any(row.measured in ("generated", "self_driven") for row in rows.values()):
        size = _video_size(data, readers["train"], readers["test"])
    return own_layout(out, data, size)


def _video_size(data: Path, train: ShardReader, test: ShardReader) -> tuple[int, int]:
    keys = {"train": with_video(train), "test": with_video(test)}
    for (split, found), needed in zip(keys.items(), (1, 2), strict=True):
        if len(found) < needed:
            raise XDancerError(
                f"--data {data}: {split} has {len(found)} clips with video and person mask, this table needs at least {needed}. Shards with "
                "them: xdancer prepare VIDEO_DIR --out data."
            )
    sizes = {
        (reader.meta(key)["height"], reader.meta(key)["width"]) for reader, split in ((train, "train"), (test, "test")) for key in keys[split]
    }
    height, width = min(sizes)
    if len(sizes) > 1 or height % GRID or width % GRID:
        shown = ", ".join(f"{high}×{wide}" for high, wide in sorted(sizes))
        raise XDancerError(
            f"--data {data}: videos of {shown} pixels; this table needs one height and width, multiples of {GRID}. Prepare them so: "
            "xdancer prepare VIDEO_DIR -H 256 -W 256."
        )
    return height, width
