"""Finished clips → `OUT/{train,val,test}`, `OUT/report.json` and `OUT/report.html`, whoever made the clips."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from xdancer.data.shards import ShardWriter
from xdancer.errors import XDancerError
from xdancer.prepare.cache import ClipCache
from xdancer.prepare.clip import of_source
from xdancer.prepare.execution import Progress
from xdancer.prepare.job import Job, VideoRecord
from xdancer.prepare.output import staged
from xdancer.prepare.page import Gallery, write_page
from xdancer.prepare.report import PAGE, PrepareReport, VideoReport, nothing_accepted
from xdancer.prepare.songs import heard, join_songs
from xdancer.prepare.sources import Source
from xdancer.prepare.split import SPLITS, assign_splits
from xdancer.types import FPS

CacheOf = Callable[[str], ClipCache]
"""Digest of a video → where its finished clips lie."""


def assemble(
    out: Path, job: Job, records: Mapping[str, VideoRecord], cache_of: CacheOf, *, began: float, progress: Progress | None = None
) -> PrepareReport:
    """Write the splits of all clips, in the order of the videos' names, and the reports; all of them or none.

    Args:
        out: the data set's folder.
        job: what was asked for.
        records: what became of each video, by name.
        cache_of: where finished clips are.
        began: `time.monotonic` of the start.
        progress: told after every clip.

    Raises:
        XDancerError: no clips (the reports are written all the same, where no shards stand), a damaged one, or the disk is full.
    """
    danced, notes = _songs({source.name: source for source in job.sources if records[source.name].clips}, job, cache_of)
    sources = {clip.key: source for name, source in danced.items() for clip in records[name].clips}
    songs = {key: source.song for key, source in sources.items()}
    split_keys = assign_splits(songs, job.split.by, val=job.split.val, test=job.split.test)
    videos = tuple(_video_report(danced.get(source.name, source), records[source.name], split_keys, notes) for source in job.sources)
    gallery = Gallery(list(songs))

    def finish(folder: Path, clips: dict[str, int]) -> PrepareReport:
        for source in job.sources:
            gallery.add_rejected(records[source.name], cache_of(source.digest))
        spent = round(time.monotonic() - began, 1)
        report = PrepareReport(videos, job.detector, job.device, "fp32", job.settings, job.fingerprint, clips, spent)
        write_page(folder, report, gallery)
        report.write(folder)
        return report

    if not songs:
        standing = any((out / name).exists() for name in SPLITS)  # the report beside them is theirs
        if not standing:
            finish(out, {})
        raise nothing_accepted(videos, page=None if standing else out / PAGE)
    with staged(out) as folder:
        for name, keys in split_keys.items():
            split_by = {"split_by": job.split.by}
            with ShardWriter(folder / name, split=name, features=job.features, licence=job.licence, notes=split_by) as writer:
                for number, key in enumerate(keys, start=1):
                    sample = of_source(cache_of(sources[key].digest).load(key), sources[key])
                    writer.write(sample)
                    gallery.add(sample)
                    if progress is not None:
                        progress(f"write {name}", number, len(keys), "")
        return finish(folder, {name: len(keys) for name, keys in split_keys.items()})


def _songs(sources: Mapping[str, Source], job: Job, cache_of: CacheOf) -> tuple[dict[str, Source], Mapping[str, str]]:
    """The videos with the songs they share, and what is to be said of some.

    Raises:
        XDancerError: the plan of a video, with its music, is lost.
    """
    if job.split.songs == "name":
        return dict(sources), {}
    prints = {}
    for name, source in sources.items():
        plan = cache_of(source.digest).plan(source)
        if plan is None:
            raise XDancerError(f"{name}: the plan of its clips is missing or damaged. Start the same command (or its part) again.")
        prints[name] = heard(plan.music)
    return join_songs(sources, prints)


def _video_report(source: Source, record: VideoRecord, splits: Mapping[str, Sequence[str]], notes: Mapping[str, str]) -> VideoReport:
    keys = [clip.key for clip in record.clips]
    reasons = list(record.reasons)
    for cut in record.cuts:
        if cut.reason:
            reasons.append(cut.reason + (f" ({cut.start:.0f}–{cut.stop:.0f} s)" if len(record.cuts) > 1 else ""))
    return VideoReport(
        record.video, source.song, tuple(keys), round(sum(clip.frames for clip in record.clips) / FPS, 3),
        tuple(name for name, members in splits.items() if set(keys) & set(members)), tuple(dict.fromkeys(reasons)),
        (*record.notes, *([notes[source.name]] if source.name in notes else [])), record.quarantined,
    )  # fmt: skip
