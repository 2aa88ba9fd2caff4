"""Shares of the work, made on several machines, and their joining: `OUT/part-00003-of-00016` holds clips and `part.json`, written last."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from xdancer.data.members import check_key
from xdancer.errors import XDancerError
from xdancer.files import write_text
from xdancer.prepare.assemble import assemble
from xdancer.prepare.cache import ClipCache
from xdancer.prepare.execution import Progress
from xdancer.prepare.job import Job, VideoRecord
from xdancer.prepare.output import check_output
from xdancer.prepare.quarantine import Quarantine, Quarantined
from xdancer.prepare.report import PrepareReport

PART, SCHEMA = "part.json", 2
LOCAL = ("device", "pose_weights", "person_weights")
"""Settings that may differ between machines: the digest of the settings has the weights' content."""


@dataclass(frozen=True)
class Part:
    """The share `index` of `count`, from 0 on."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise XDancerError(f"--part {self}: parts count from 0, here from 0/{self.count} to {self.count - 1}/{self.count}.")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Part":
        """From `3/16`.

        Raises:
            XDancerError: not of that kind.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or int(found[2]) == 0:
            raise XDancerError(f"--part {text}: needed is I/N, such as 0/16 … 15/16 for sixteen parts.")
        return cls(int(found[1]), int(found[2]))

    def holds(self, digest: str) -> bool:
        """Whether a video belongs to it, by the sha256 of its content: names, order and other videos play no role."""
        return share_of(digest, self.count) == self.index


@dataclass(frozen=True)
class PartReport:
    """One finished part."""

    part: Part
    folder: Path
    job: Job
    records: dict[str, VideoRecord]
    quarantined: tuple[Quarantined, ...]
    """Of its videos."""

    @property
    def line(self) -> str:
        """For the terminal."""
        clips = sum(len(record.clips) for record in self.records.values())
        left_out = sum(not record.clips for record in self.records.values())
        videos = f"{len(self.records)} of {len(self.job.sources)} videos"
        return f"part {self.part}: {videos}, {clips} clips, {left_out} videos left out → {self.folder}"


def share_of(digest: str, count: int) -> int:
    """Which of `count` shares a video is in, by the sha256 of its content."""
    return int(digest[:15], 16) % count


def part_folder(out: Path, part: Part) -> Path:
    """Where a part's clips lie."""
    return out / f"part-{part.index:05d}-of-{part.count:05d}"


@contextmanager
def begin_part(folder: Path, part: Part, job: Job) -> Iterator[Callable[[dict[str, VideoRecord]], PartReport]]:
    """Until the function given is called with what became of the part's videos, the part counts as unfinished."""
    path = folder / PART
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise XDancerError(f"--out {folder.parent}: cannot be used as a folder ({error.strerror or error}). Choose another.") from error

    def finish(records: dict[str, VideoRecord]) -> PartReport:
        quarantine = {row.video: row for row in Quarantine(folder).rows}
        report = PartReport(part, folder, job, records, tuple(quarantine[name] for name, record in records.items() if record.quarantined))
        data = {
            "schema": SCHEMA, "part": [part.index, part.count], "job": job.to_json(),
            "videos": [asdict(record) for record in records.values()], "quarantined": [asdict(row) for row in report.quarantined],
        }  # fmt: skip
        try:
            write_text(path, json.dumps(data) + "\n")
        except OSError as error:
            raise XDancerError(f"{path}: cannot be written ({error.strerror or error}). Free space and start again.") from error
        return report

    yield finish


def merge_parts(folders: Sequence[Path], out: Path, *, overwrite: bool = False, progress: Progress | None = None) -> PrepareReport:
    """Join all parts of one job into `out/{train,val,test}`, equal to the byte to what one machine writes.

    Args:
        folders: the parts, or folders that hold them side by side.
        out: the data set's folder; may be where the parts lie.
        overwrite: replace other shards in `out`.
        progress: told after every clip.

    Raises:
        XDancerError: a part is missing, unfinished, there twice or of another job, or one of its clips is lost; names it.
    """
    began = time.monotonic()
    parts = read_parts(folders)
    first = parts[0]
    finished = check_output(out, first.job.fingerprint, overwrite=overwrite)
    if finished is not None:
        return replace(finished, finished_before=True)
    caches = [ClipCache(part.folder, part.job.settings_digest) for part in parts]
    for part, cache in zip(parts, caches, strict=True):
        if lost := cache.missing([clip.key for record in part.records.values() for clip in record.clips]):
            raise XDancerError(
                f"{part.folder}: {len(lost)} of its clips are missing or damaged, such as {lost[0]}. Copy it again, or run part {part.part} "
                "again: it makes only these."
            )
    records = {name: record for part in parts for name, record in part.records.items()}
    if lost_videos := [source.name for source in first.job.sources if source.name not in records]:
        raise XDancerError(f"{len(lost_videos)} videos are in no part, such as {lost_videos[0]}. Run all parts again; finished clips are kept.")
    report = assemble(out, first.job, records, lambda digest: caches[share_of(digest, len(parts))], began=began, progress=progress)
    Quarantine(out).replace([row for part in parts for row in part.quarantined])
    return report


def read_parts(folders: Sequence[Path]) -> list[PartReport]:
    """All parts of one job, by number.

    Raises:
        XDancerError: they are not; names the parts.
    """
    places = [place for folder in folders for place in _places(folder)]
    unfinished = [str(place) for place in places if not (place / PART).is_file()]
    if unfinished:
        raise XDancerError(f"{', '.join(unfinished[:5])}: unfinished. Run the same `xdancer prepare … --part` again; it continues.")
    parts = [_read_part(place) for place in places]
    for part in parts[1:]:
        _refuse_foreign(part, parts[0])
    by_index: dict[int, PartReport] = {}
    for part in parts:
        if part.part.index in by_index:
            raise XDancerError(f"Part {part.part} is there twice: {by_index[part.part.index].folder} and {part.folder}. Leave one out.")
        by_index[part.part.index] = part
    count = parts[0].part.count
    if missing := [f"{index}/{count}" for index in range(count) if index not in by_index]:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise XDancerError(f"Missing {'part' if len(missing) == 1 else 'parts'} {', '.join(missing[:10])}{more}. All {count} parts are needed.")
    return [by_index[index] for index in range(count)]


def _places(folder: Path) -> list[Path]:
    """The folder if it is a part, else the parts in it, finished or not."""
    if re.fullmatch(r"part-\d+-of-\d+", folder.name) or (folder / PART).is_file():
        return [folder]
    found = sorted(folder.glob("part-*-of-*"))
    if not found:
        raise XDancerError(f"{folder}: no parts here. They are made by `xdancer prepare VIDEO_DIR --out DIR --part I/N`.")
    return found


def _read_part(folder: Path) -> PartReport:
    path = folder / PART
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r}, this xdancer reads {SCHEMA}")
        records = [VideoRecord.from_json(row) for row in data["videos"]]
        for cut in (cut for record in records for cut in record.cuts):
            check_key(cut.key)  # becomes a file's name
        if not re.fullmatch(r"[0-9a-f]+", data["job"]["settings_digest"]):
            raise ValueError("the digest of its settings is none")
        rows = tuple(Quarantined(**row) for row in data["quarantined"])
        return PartReport(Part(*data["part"]), folder, Job.from_json(data["job"]), {record.video: record for record in records}, rows)
    except (OSError, ValueError, TypeError, KeyError, XDancerError) as error:
        raise XDancerError(f"{path}: cannot be read ({error}). Run this part again; finished clips are kept.") from error


def _refuse_foreign(part: PartReport, first: PartReport) -> None:
    """Names what makes a part one of another job."""
    if part.part.count != first.part.count:
        raise XDancerError(
            f"{part.folder} is one of {part.part.count} parts, {first.folder} one of {first.part.count}. Merge parts of one job."
        )
    theirs, ours = _facts(part.job), _facts(first.job)
    different = [name for name in ours if theirs.get(name) != ours[name]]
    if different:
        name = different[0]
        values = f": {theirs.get(name)!s:.60} there, {ours[name]!s:.60} here" if name != "videos" else ""
        raise XDancerError(
            f"{part.folder} belongs to another job than {first.folder}: other {', '.join(different[:5])}{values}. Merge parts "
            "made from the same videos with the same flags and version."
        )


def _facts(job: Job) -> Mapping[str, object]:
    """What must agree, by the name that a message uses; where it was computed need not."""
    settings = {f"--{name.replace('_', '-')}": value for name, value in job.settings.items() if name not in LOCAL}
    versions = {f"version of {name}": value for name, value in job.versions.items()}
    return {
        **versions, **settings, "detector": job.detector, "features": job.features, "--split": job.split.by, "--val": job.split.val,
        "--test": job.split.test, "--songs": job.split.songs, "--licence": job.licence,
        "videos": [(source.name, source.song, source.digest) for source in job.sources], "weights": job.settings_digest,
        "fingerprint": job.fingerprint,
    }  # fmt: skip
