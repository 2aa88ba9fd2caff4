"""A folder of videos → shards: plan the cuts, make each clip once (on several processes if asked), write the splits."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from xdancer import media
from xdancer.audio.encoder import feature_table
from xdancer.data.shards import ShardWriter
from xdancer.errors import MediaError, XDancerError
from xdancer.pose.detector import PoseDetector, make_detector
from xdancer.prepare.cache import ClipCache
from xdancer.prepare.clip import prepare_clip
from xdancer.prepare.report import PrepareReport, VideoReport, nothing_accepted, read_report
from xdancer.prepare.settings import PrepareSettings, SplitMode
from xdancer.prepare.sources import Cut, Source, find_videos, plan_cuts
from xdancer.prepare.split import SPLITS, assign_splits
from xdancer.workers import worker_pool

Progress = Callable[[str, int, int], None]
WORK = ".work"


def prepare_videos(
    videos: Path,
    out: Path,
    settings: PrepareSettings = PrepareSettings(),
    *,
    groups: Path | None = None,
    split: SplitMode = "song",
    val: float = 0.1,
    test: float = 0.1,
    licence: str = "unstated",
    workers: int = 1,
    overwrite: bool = False,
    keep_work: bool = False,
    detector: PoseDetector | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Write `out/{train,val,test}` and `out/report.json`.

    Interrupted and started again, finished clips are taken from `out/.work`, which is removed at the end unless `keep_work`. Started again on
    finished output of the same videos and settings it does nothing; other output is refused unless `overwrite`. A `detector` given from Python
    works in this process, on one worker.

    Raises:
        XDancerError: nothing usable in the folder, output in the way, wrong settings, or the disk is full.
        MissingPackageError: the detector's package is not installed.
    """
    started = time.monotonic()
    if workers < 1:
        raise XDancerError(f"--workers {workers}: at least 1.")
    sources = find_videos(videos, groups)
    assign_splits({}, split, val=val, test=test)  # wrong shares are refused before the work
    features = feature_table(settings.features)
    finder = _detector(settings) if detector is None else detector
    digest = settings.digest(f"{finder.name} {finder.version} {features}")
    fingerprint = _fingerprint(sources, digest, f"{split} {val} {test}" if split == "song" else split)
    finished = _check_output(out, fingerprint, overwrite=overwrite)
    if finished is not None:
        return replace(finished, finished_before=True)
    cache = ClipCache(out / WORK, digest)
    plans = {source.name: _plan(source, settings) for source in sources}
    cuts = [cut for plan, _ in plans.values() for cut in plan]
    _make_clips(cuts, settings, cache, workers=1 if detector is not None else workers, detector=finder, progress=progress)
    outcomes = {cut.key: cache.outcome(cut.key) or {"reason": "its finished clip vanished"} for cut in cuts}
    songs = {cut.key: cut.source.song for cut in cuts if "frames" in outcomes[cut.key]}
    split_keys = assign_splits(songs, split, val=val, test=test)
    reports = tuple(_video_report(source, *plans[source.name], outcomes, split_keys) for source in sources)
    if not songs:
        raise nothing_accepted(reports, videos)
    report = PrepareReport(
        reports, f"{finder.name} {finder.version}", finder.device, "fp32", asdict(settings), fingerprint,
        {name: len(keys) for name, keys in split_keys.items()}, 0.0,
    )  # fmt: skip
    _write_splits(out, split_keys, cache, features, licence, overwrite=overwrite, notes={"split_by": split}, progress=progress)
    report = replace(report, seconds_spent=round(time.monotonic() - started, 1))
    report.write(out)
    if not keep_work:
        shutil.rmtree(out / WORK, ignore_errors=True)
    return report


def _write_splits(
    out: Path, split_keys: Mapping[str, Sequence[str]], cache: ClipCache, features: dict[str, dict[str, Any]], licence: str, *,
    overwrite: bool, notes: Mapping[str, str], progress: Progress | None,
) -> None:  # fmt: skip
    for name, keys in split_keys.items():
        with ShardWriter(out / name, split=name, features=features, licence=licence, overwrite=overwrite, notes=notes) as writer:
            for number, key in enumerate(keys, start=1):
                writer.write(cache.load(key))
                if progress is not None:
                    progress(f"write {name}", number, len(keys))
    for name in set(SPLITS) - set(split_keys):
        if (out / name / "manifest.json").is_file():
            shutil.rmtree(out / name)  # of the output that is being overwritten


def _fingerprint(sources: Sequence[Source], settings_digest: str, split: str) -> str:
    rows = [f"{source.name} {source.song} {source.digest}" for source in sources]
    return hashlib.sha256("\n".join([*rows, settings_digest, split]).encode()).hexdigest()[:16]


def _check_output(out: Path, fingerprint: str, *, overwrite: bool) -> PrepareReport | None:
    """The report of an equal finished run, or None if there is work to do.

    Raises:
        XDancerError: other output is in the way.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = [name for name in SPLITS if (out / name).exists() and (not (out / name).is_dir() or any((out / name).iterdir()))]
    except OSError as error:
        raise XDancerError(f"--out {out}: cannot be used as a folder ({error.strerror or error}). Choose another.") from error
    earlier = read_report(out)
    if taken and not overwrite:
        if earlier is not None and earlier.fingerprint == fingerprint and all(name in taken for name in earlier.clips):
            return earlier
        raise XDancerError(
            f"--out {out}: already holds {', '.join(taken)} of other videos or settings. Choose another --out, or --overwrite them."
        )
    return None


def _plan(source: Source, settings: PrepareSettings) -> tuple[list[Cut], tuple[list[str], list[str]]]:
    """The cuts of a video, or why there are none; and notes on what looks odd."""
    try:
        info = media.probe(source.path)
    except MediaError as error:
        return [], ([_reason(error, source)], [])
    duration = info.duration if settings.source_fps is None else info.frames / settings.source_fps
    if not info.has_audio:
        return [], (["no sound"], [])
    cuts = plan_cuts(source, duration, settings)
    notes = [] if 10 <= info.fps <= 125 else [f"{info.fps:.3g} frames per second: if the container lies, pass --source-fps"]
    return cuts, ([] if cuts else [f"too short: {duration:.1f} s, --min-seconds is {settings.min_seconds:g}"], notes)


def _make_clips(
    cuts: Sequence[Cut], settings: PrepareSettings, cache: ClipCache, *, workers: int, detector: PoseDetector, progress: Progress | None
) -> None:
    """Every clip that is not finished yet."""
    todo = [cut for cut in cuts if cache.outcome(cut.key) is None]
    done = len(cuts) - len(todo)
    if progress is not None and cuts:
        progress("clips", done, len(cuts))
    for number, _ in enumerate(_results(todo, settings, cache, workers, detector), start=done + 1):
        if progress is not None:
            progress("clips", number, len(cuts))


def _results(cuts: Sequence[Cut], settings: PrepareSettings, cache: ClipCache, workers: int, detector: PoseDetector) -> Iterator[None]:
    if workers == 1 or len(cuts) < 2:
        for cut in cuts:
            yield _make_clip(cut, settings, cache, detector)
        return
    with worker_pool(min(workers, len(cuts))) as pool:
        try:
            for future in as_completed([pool.submit(_make_clip_alone, cut, settings, cache) for cut in cuts]):
                yield future.result()
        except BrokenProcessPool as error:
            raise XDancerError(
                "A worker process was killed (out of memory?). Finished clips are kept: start again with fewer --workers."
            ) from error


@lru_cache(maxsize=1)
def _detector(settings: PrepareSettings) -> PoseDetector:
    return make_detector(settings.detector, device=settings.device, pose_weights=settings.pose_weights, person_weights=settings.person_weights)


def _make_clip_alone(cut: Cut, settings: PrepareSettings, cache: ClipCache) -> None:
    """In a worker process, with that process's own detector."""
    _make_clip(cut, settings, cache, _detector(settings))


def _make_clip(cut: Cut, settings: PrepareSettings, cache: ClipCache, detector: PoseDetector) -> None:
    try:
        sample = prepare_clip(cut, settings, detector)
    except XDancerError as error:
        cache.reject(cut.key, _reason(error, cut.source))
    except Exception as error:  # one odd video must not cost a night's work; the report names it
        cache.reject(cut.key, f"unexpected {type(error).__name__}: {str(error)[:200]}")
    else:
        cache.store(sample)


def _reason(error: XDancerError, source: Source) -> str:
    return str(error).removeprefix(f"{source.path}: ").rstrip(".")


def _video_report(
    source: Source,
    cuts: Sequence[Cut],
    remarks: tuple[list[str], list[str]],
    outcomes: Mapping[str, Mapping[str, object]],
    splits: Mapping[str, Sequence[str]],
) -> VideoReport:
    clips = [cut.key for cut in cuts if "frames" in outcomes[cut.key]]
    reasons = list(remarks[0])
    for cut in cuts:
        if "reason" in outcomes[cut.key]:
            place = f" ({cut.start:.0f}–{cut.stop:.0f} s)" if len(cuts) > 1 else ""
            reasons.append(f"{outcomes[cut.key]['reason']}{place}")
    return VideoReport(
        source.name, source.song, tuple(clips), round(sum(int(str(outcomes[key]["frames"])) for key in clips) / 30, 3),
        tuple(name for name, keys in splits.items() if set(clips) & set(keys)), tuple(dict.fromkeys(reasons)), tuple(remarks[1]),
    )  # fmt: skip
