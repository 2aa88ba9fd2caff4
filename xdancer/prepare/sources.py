"""Which videos there are, which song each dances to, and into which clips it is cut."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from xdancer.errors import XDancerError
from xdancer.pose.detector import MOST_PEOPLE
from xdancer.prepare.settings import PrepareSettings, file_digest
from xdancer.prepare.sniff import EXTENSIONS, is_candidate


@dataclass(frozen=True)
class Source:
    """One video of the folder."""

    path: Path
    name: str
    """Path inside the folder, with forward slashes."""
    song: str
    digest: str
    """sha256 of the file (with `--poses` also of its poses)."""
    named: bool = False
    """Whether a groups file says which song it is; else it is called after the video."""
    poses: Path | None = None
    """Where `--poses` has its keypoints; there may be nothing."""


@dataclass(frozen=True)
class Cut:
    """A stretch of a video that becomes at most one clip."""

    source: Source
    key: str
    start: float
    """Seconds since the first picture."""
    stop: float
    person: int = 0
    """Place among the people who can be seen for long enough, the one who fills the most of the pictures first."""


def find_videos(folder: Path, groups: Path | None = None) -> list[Source]:
    """All videos in the folder and its sub-folders, by name or by content, in the order of their names; hidden ones are passed over.

    Raises:
        XDancerError: no such folder, no videos in it, or a groups file that does not fit.
    """
    if not folder.is_dir():
        raise XDancerError(f"{folder}: no such folder. Give a folder with dance videos.")
    paths = sorted(
        path for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts) and is_candidate(path)
    )  # fmt: skip
    if not paths:
        raise XDancerError(f"{folder}: holds no video ({', '.join(sorted(EXTENSIONS))}). Give a folder with dance videos.")
    names = {path: path.relative_to(folder).as_posix() for path in paths}
    songs = {} if groups is None else read_groups(groups, names)
    return [Source(path, name, songs.get(name, path.stem), file_digest(path), name in songs) for path, name in names.items()]


def read_groups(path: Path, names: dict[Path, str]) -> dict[str, str]:
    """Song by video name from a CSV with the columns `video` and `song`; a video may be named by path, file name or stem.

    Raises:
        XDancerError: unreadable, without these columns, or a row that names no video or an empty song.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise XDancerError(f"--groups {path}: cannot be read ({error}). Give a CSV file with the columns video,song.") from error
    if not rows or not {"video", "song"} <= set(rows[0]):
        raise XDancerError(f"--groups {path}: has the columns {', '.join(rows[0]) if rows else '(none)'}, needed are video,song and a row.")
    songs: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        video, song = (row["video"] or "").strip(), (row["song"] or "").strip()
        matches = [name for file, name in names.items() if video in (name, file.name, file.stem)]
        if not matches or not song:
            reason = f"no video is called {video!r}" if not matches else f"video {video!r} has no song"
            raise XDancerError(f"--groups {path}, line {number}: {reason}. Every row names a video of the folder and its song.")
        songs.update(dict.fromkeys(matches, song))
    return songs


def plan_cuts(source: Source, duration: float, settings: PrepareSettings, shots: Sequence[float] = ()) -> list[Cut]:
    """Equal pieces of at most `max_seconds` of every shot; none of a shot (or video) shorter than `min_seconds`.

    Where equal pieces would fall below the minimum, fewer of full length are taken and the end is dropped.

    Args:
        source: the video.
        duration: of all of it, in seconds.
        settings: lengths of the clips.
        shots: where the second and later shots begin, in seconds, ascending.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(source.name).stem)[:48].strip("-") or "video"
    borders = [0.0, *shots, duration]
    pieces = [piece for begin, end in pairwise(borders) for piece in _pieces(begin, end, settings)]
    cuts = [Cut(source, f"{stem}-{source.digest[:8]}-{index:03d}", *piece) for index, piece in enumerate(pieces)]
    if settings.people == "largest":
        return cuts
    return [replace(cut, key=f"{cut.key}-p{person + 1}", person=person) for cut in cuts for person in range(MOST_PEOPLE)]


def _pieces(begin: float, end: float, settings: PrepareSettings) -> Iterator[tuple[float, float]]:
    duration = end - begin
    if duration < settings.min_seconds - 0.001:
        return
    count = math.ceil(duration / settings.max_seconds - 1e-6)
    if duration / count < settings.min_seconds - 0.001:
        count -= 1
    length = min(duration / count, settings.max_seconds)
    for index in range(count):
        yield begin + index * length, begin + (index + 1) * length
