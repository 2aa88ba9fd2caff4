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

from xdancer import media
from xdancer.audio.encoder import feature_table
from xdancer.data.shards import ShardWriter
from xdancer.data.writer import encode_sample
from xdancer.errors import MediaError, XDancerError
from xdancer.pose.detector import PoseDetector, make_detector
from xdancer.prepare.cache import ClipCache
from xdancer.prepare.clip import of_source, prepare_clip
from xdancer.prepare.output import check_output, refuse_overlap, staged
from xdancer.prepare.report import PrepareReport, VideoReport, nothing_accepted
from xdancer.prepare.settings import PrepareSettings, SplitMode
from xdancer.prepare.sources import Cut, Source, find_videos, plan_cuts
from xdancer.prepare.split import assign_splits
from xdancer.types import FPS
from xdancer.workers import worker_pool

Progress = Callable[[str, int, int], None]
Outcome = int | str
"""Of a cut: the frames of its finished clip, or why there is none."""
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
    """Write `out/{train,val,test}` and `out/report.json`, all of them or none.

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
    refuse_overlap(videos, out)
    sources = find_videos(videos, groups)
    assign_splits({}, split, val=val, test=test)  # wrong shares are refused before the work
    features = feature_table(settings.features, device=settings.device)
    finder = _detector(settings) if detector is None else detector
    digest = settings.digest(f"{finder.name} {finder.version} {features}")
    fingerprint = _fingerprint(sources, digest, f"{split} {val} {test}" if split == "song" else split, licence)
    finished = check_output(out, fingerprint, overwrite=overwrite)
    if finished is not None:
        return replace(finished, finished_before=True)
    cache = ClipCache(out / WORK, digest)
    originals = {source.digest: source for source in reversed(sources)}  # the first of equal files
    plans = {source.name: _plan(source, originals[source.digest], settings) for source in sources}
    cuts = {cut.key: cut for plan, _ in plans.values() for cut in plan}
    outcomes = _make_clips(
        list(cuts.values()), settings, cache, workers=1 if detector is not None else workers, detector=finder, progress=progress
    )
    songs = {key: cut.source.song for key, cut in cuts.items() if isinstance(outcomes[key], int)}
    split_keys = assign_splits(songs, split, val=val, test=test)
    reports = tuple(_video_report(source, *plans[source.name], outcomes, split_keys) for source in sources)
    if not songs:
        raise nothing_accepted(reports, videos)
    with staged(out) as folder:
        for name, keys in split_keys.items():
            with ShardWriter(folder / name, split=name, features=features, licence=licence, notes={"split_by": split}) as writer:
                for number, key in enumerate(keys, start=1):
                    writer.write(of_source(cache.load(key), cuts[key].source))
                    _tell(progress, f"write {name}", number, len(keys))
        report = PrepareReport(
            reports, f"{finder.name} {finder.version}", finder.device, "fp32", asdict(settings), fingerprint,
            {name: len(keys) for name, keys in split_keys.items()}, round(time.monotonic() - started, 1),
        )  # fmt: skip
        report.write(folder)
    if not keep_work:
        shutil.rmtree(out / WORK, ignore_errors=True)
    return report


def _tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress is not None:
        progress(what, done, total)


def _fingerprint(sources: Sequence[Source], settings_digest: str, split: str, licence: str) -> str:
    rows = [f"{source.name} {source.song} {source.digest}" for source in sources]
    return hashlib.sha256("\n".join([*rows, settings_digest, split, licence]).encode()).hexdigest()[:16]


def _plan(source: Source, original: Source, settings: PrepareSettings) -> tuple[list[Cut], tuple[list[str], list[str]]]:
    """The cuts of a video, or why there are none; and notes on what looks odd. A copy of another video would leak between splits."""
    if original is not source:
        return [], ([f"same file as {original.name}"], [])
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
) -> dict[str, Outcome]:
    """By key; only clips that are not finished yet are made."""
    outcomes: dict[str, Outcome] = {cut.key: frames for cut in cuts if (frames := cache.frames(cut.key)) is not None}
    todo = [cut for cut in cuts if cut.key not in outcomes]
    if cuts:
        _tell(progress, "clips", len(outcomes), len(cuts))
    for key, outcome in _outcomes(todo, settings, cache, workers, detector):
        outcomes[key] = outcome
        _tell(progress, "clips", len(outcomes), len(cuts))
    return outcomes


def _outcomes(
    cuts: Sequence[Cut], settings: PrepareSettings, cache: ClipCache, workers: int, detector: PoseDetector
) -> Iterator[tuple[str, Outcome]]:
    if workers == 1 or len(cuts) < 2:
        for cut in cuts:
            yield cut.key, _make_clip(cut, settings, cache, detector)
        return
    with worker_pool(min(workers, len(cuts))) as pool:
        try:
            keys = {pool.submit(_make_clip_alone, cut, settings, cache): cut.key for cut in cuts}
            for future in as_completed(keys):
                yield keys[future], future.result()
        except BrokenProcessPool as error:
            raise XDancerError(
                "A worker process was killed (out of memory?). Finished clips are kept: start again with fewer --workers."
            ) from error


@lru_cache(maxsize=1)
def _detector(settings: PrepareSettings) -> PoseDetector:
    return make_detector(settings.detector, device=settings.device, pose_weights=settings.pose_weights, person_weights=settings.person_weights)


def _make_clip_alone(cut: Cut, settings: PrepareSettings, cache: ClipCache) -> Outcome:
    """In a worker process, with that process's own detector."""
    return _make_clip(cut, settings, cache, _detector(settings))


def _make_clip(cut: Cut, settings: PrepareSettings, cache: ClipCache, detector: PoseDetector) -> Outcome:
    features = feature_table(settings.features, device=settings.device)
    try:
        sample = prepare_clip(cut, settings, detector)
        encode_sample(sample, features)  # what shards would refuse is refused now
    except XDancerError as error:
        return _reason(error, cut.source)
    except Exception as error:  # one odd video must not cost a night's work; the report names it
        return f"unexpected {type(error).__name__}: {str(error)[:200]}"
    cache.store(sample)
    return sample.frames


def _reason(error: XDancerError, source: Source) -> str:
    return str(error).removeprefix(f"{source.path}: ").rstrip(".")


def _video_report(
    source: Source,
    cuts: Sequence[Cut],
    remarks: tuple[list[str], list[str]],
    outcomes: Mapping[str, Outcome],
    splits: Mapping[str, Sequence[str]],
) -> VideoReport:
    frames = {cut.key: outcome for cut in cuts if isinstance(outcome := outcomes[cut.key], int)}
    reasons = list(remarks[0])
    for cut in cuts:
        if cut.key not in frames:
            place = f" ({cut.start:.0f}–{cut.stop:.0f} s)" if len(cuts) > 1 else ""
            reasons.append(f"{outcomes[cut.key]}{place}")
    return VideoReport(
        source.name, source.song, tuple(frames), round(sum(frames.values()) / FPS, 3),
        tuple(name for name, keys in splits.items() if set(frames) & set(keys)), tuple(dict.fromkeys(reasons)), tuple(remarks[1]),
    )  # fmt: skip
