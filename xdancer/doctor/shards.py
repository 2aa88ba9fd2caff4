"""Are the shards sound: manifest, index and sizes, or with `deep` everything."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from xdancer.doctor.finding import Finding
from xdancer.errors import MissingPackageError, ShardError

DEFAULTS = (Path("data"), Path("data/demo"))
"""Where commands put shards and configs expect them."""


def check_shards(places: Sequence[str], *, deep: bool) -> Iterator[Finding]:
    """Splits, folders of splits, or addresses of splits.

    Args:
        places: named by the user: what is not there is broken. With none the usual places are looked at, and may be empty.
        deep: read and check everything, as `xdancer shards verify` does.
    """
    from xdancer.data.remote import is_remote

    found = list(places) or [str(place) for place in DEFAULTS if list(place.glob("*/manifest.json"))]
    if not found:
        yield Finding("shards", "data", "note", "none yet", "xdancer prepare VIDEO_DIR --out data, or xdancer embedded --out data/demo")
    for place in found:
        yield from _quick([place], place) if is_remote(place) else _folder(Path(place), deep=deep)


def _folder(folder: Path, *, deep: bool) -> Iterator[Finding]:
    from xdancer.data.manifest import splits_in
    from xdancer.data.shards import verify

    try:
        splits = splits_in(folder)
        if not deep:
            yield from _quick(splits, str(folder))
            return
        report = verify(folder)
    except (ShardError, OSError) as error:
        yield Finding("shards", str(folder), "broken", str(error))
        return
    for split in report.splits:
        faults, advice = split.problems, f"xdancer shards verify {split.folder}"
        first = f": {faults[0]}" if faults else ""
        yield Finding("shards", str(split.folder), "broken" if faults else "ok", f"{split}{first}", advice if faults else "")
    yield from (Finding("shards", str(folder), "note", warning) for warning in report.warnings)


def _quick(splits: Sequence[Path | str], place: str) -> Iterator[Finding]:
    from xdancer.data.shards import ShardReader
    from xdancer.types import FPS

    for split in splits:
        try:
            reader = ShardReader(split)
            faults = [] if reader.remote is not None else reader.size_faults()
        except (ShardError, MissingPackageError, OSError) as error:
            yield Finding("shards", str(split), "broken", str(error))
            continue
        minutes, tars = int(reader.frames.sum()) / FPS / 60, len(reader.tars)
        if faults:
            yield Finding("shards", str(split), "broken", faults[0], f"xdancer shards verify {place}; copy or make the shards again")
        else:
            yield Finding("shards", str(split), "ok", f"{len(reader)} clips, {minutes:.1f} minutes in {tars} tars, sizes as in the index")
