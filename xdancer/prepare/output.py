"""Where the shards go: `OUT/{train,val,test}` and `OUT/report.json`, replaced together or not at all, and never over anything but shards."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xdancer.data.manifest import check_replaceable
from xdancer.errors import XDancerError
from xdancer.prepare.report import PAGE, REPORT, PrepareReport, read_report
from xdancer.prepare.split import SPLITS

STAGING = ".new"
"""Holds the new splits until all are complete; its report is written last, so one that has a report is complete."""


def refuse_overlap(videos: Path, out: Path) -> None:
    """Videos must not lie where shards are replaced, nor shards where videos are searched.

    Raises:
        XDancerError: VIDEO_DIR is, contains or lies in a folder of a split.
    """
    source = videos.resolve()
    for name in SPLITS:
        target = (out / name).resolve()
        if source == target or source in target.parents or target in source.parents:
            raise XDancerError(
                f"VIDEO_DIR {videos} and --out {out}: the videos' folder and {out / name} lie in one another. "
                "Choose an --out outside the videos' folder."
            )


def check_output(out: Path, fingerprint: str, *, overwrite: bool, again: bool = False) -> PrepareReport | None:
    """The report of an equal finished run, or None if there is work to do. What an interruption left unfinished is put right first.

    Args:
        out: the data set's folder.
        fingerprint: of the run that is asked for.
        overwrite: other shards may be replaced.
        again: an equal run is not taken as finished: its shards may be replaced.

    Raises:
        XDancerError: other output is in the way, or files that are no shards (those `overwrite` does not touch either).
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        _publish(out)
        taken = [name for name in SPLITS if (out / name).exists() and (not (out / name).is_dir() or any((out / name).iterdir()))]
        for name in taken:
            check_replaceable(out / name)
    except OSError as error:
        raise XDancerError(f"--out {out}: cannot be used as a folder ({error.strerror or error}). Choose another.") from error
    earlier = read_report(out)
    if taken and not overwrite:
        if earlier is not None and earlier.clips and earlier.fingerprint == fingerprint and all(name in taken for name in earlier.clips):
            return None if again else earlier
        raise XDancerError(
            f"--out {out}: already holds {', '.join(taken)} of other videos, settings or licence. Choose another --out; "
            "--overwrite replaces these shards."
        )
    return None


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A hidden folder for the new splits and, last, their report: all take their place when the block ends well, and vanish when not."""
    _discard(out / STAGING)
    try:
        yield out / STAGING
    except BaseException:
        _discard(out / STAGING)
        raise
    try:
        _publish(out)
    except OSError as error:
        raise XDancerError(f"--out {out}: cannot be written ({error.strerror or error}). The same command continues.") from error


def _discard(staging: Path) -> None:
    (staging / REPORT).unlink(missing_ok=True)  # first: from now on the rest counts as incomplete
    shutil.rmtree(staging, ignore_errors=True)


def _publish(out: Path) -> None:
    """Put complete new splits in the place of the old ones; interrupted at any point, the next call continues."""
    staging = out / STAGING
    report = read_report(staging)
    if report is None:
        return
    old = [name for name in SPLITS if (out / name).exists() and ((staging / name).is_dir() or name not in report.clips)]
    for name in old:
        check_replaceable(out / name)
    for name in old:  # all of them before the first new one: old and new splits never stand side by side
        os.replace(out / name, staging / f"old-{name}")
    for name in report.clips:
        if (staging / name).is_dir():
            os.replace(staging / name, out / name)
    if (staging / PAGE).is_file():
        os.replace(staging / PAGE, out / PAGE)
    os.replace(staging / REPORT, out / REPORT)
    shutil.rmtree(staging, ignore_errors=True)
