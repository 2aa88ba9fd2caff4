"""Build the embedded data set: `OUT/train`, `OUT/val`, `OUT/test` as shards, on several processes, the same bytes for the same config."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xdancer.audio.encoder import feature_table
from xdancer.data.manifest import read_manifest
from xdancer.data.shards import ShardWriter
from xdancer.embedded.clip import LICENCE, make_clip
from xdancer.embedded.plan import SPLITS, ClipPlan, EmbeddedConfig, plan_clips
from xdancer.errors import ShardError, XDancerError
from xdancer.types import ClipSample
from xdancer.workers import worker_pool

__all__ = ["EmbeddedConfig", "build_embedded"]

SECONDS_BETWEEN_LINES = 5.0
"""Of progress where there is no terminal for a bar."""


def build_embedded(out: Path, config: EmbeddedConfig | None = None, *, workers: int = 2, progress: bool = True) -> None:
    """Write `out/train`, `out/val` and `out/test`. Splits that stand already with the same config are kept, so a stopped build continues.

    Args:
        out: folder of the three splits.
        config: what to generate.
        workers: processes; 1 computes in this one. The result does not depend on it.
        progress: show a bar.

    Raises:
        ShardError: `out` holds other shards, or the disk is full.
        XDancerError: a worker process died.
    """
    config = config or EmbeddedConfig()
    missing = [split for split in SPLITS if not _stands(Path(out) / split, config)]
    plans = {split: plan_clips(config, split) for split in missing}
    total = sum(len(clips) for clips in plans.values())
    workers = min(workers, total)
    with _Bar(total, show=progress and total > 0) as bar, worker_pool(workers) if workers > 1 else nullcontext() as pool:
        for split, clips in plans.items():
            table = feature_table(config.features)
            with ShardWriter(Path(out) / split, split=split, features=table, licence=LICENCE, notes=config.record()) as writer:
                for sample in _computed(clips, config, pool, workers):
                    writer.write(sample)
                    bar.advance()


def _stands(folder: Path, config: EmbeddedConfig) -> bool:
    """Whether the split is there already.

    Raises:
        ShardError: shards of another config or origin are there.
    """
    if not (folder / "manifest.json").is_file():
        return False
    if read_manifest(folder).notes != config.record():
        raise ShardError(f"{folder} holds other shards than the ones asked for. Choose another --out, or remove it first.")
    return True


def _computed(clips: list[ClipPlan], config: EmbeddedConfig, pool: ProcessPoolExecutor | None, workers: int) -> Iterator[ClipSample]:
    """The clips in their planned order, a few computed ahead."""
    if pool is None:
        yield from (make_clip(clip, config) for clip in clips)
        return
    waiting: deque[Future[ClipSample]] = deque()
    try:
        for clip in clips:
            waiting.append(pool.submit(make_clip, clip, config))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise XDancerError(
            "A process that computed clips died, most likely for lack of memory. Use fewer --workers or shorter clips."
        ) from error


class _Bar:
    """A progress bar; where the output is no terminal, a line `12/60 clips` now and then."""

    def __init__(self, total: int, *, show: bool) -> None:
        self.total, self.done, self.spoken = total, 0, time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        console = Console()
        self.lines = show and not console.is_terminal
        self.progress = Progress(*columns, console=console, disable=not show or self.lines)
        self.task = self.progress.add_task("embedded data set", total=total)

    def __enter__(self) -> "_Bar":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def advance(self) -> None:
        """One more clip is written."""
        self.done += 1
        self.progress.advance(self.task)
        if self.lines and (self.done == self.total or time.monotonic() - self.spoken > SECONDS_BETWEEN_LINES):
            print(f"embedded data set: {self.done}/{self.total} clips", flush=True)
            self.spoken = time.monotonic()
