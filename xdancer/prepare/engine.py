"""A folder of videos → shards: plan the cuts, make each clip once, write the splits; or make one part of the clips, for merging later."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xdancer.device import select_device
from xdancer.pose.detector import PoseDetector
from xdancer.prepare.assemble import assemble
from xdancer.prepare.cache import ClipCache, Plan, Rejection
from xdancer.prepare.execution import Execution, Progress, Run
from xdancer.prepare.job import CutRecord, Job, SplitChoice, VideoRecord, describe_job
from xdancer.prepare.output import check_output, refuse_overlap
from xdancer.prepare.parts import Part, PartReport, begin_part, part_folder
from xdancer.prepare.pose_files import PoseFiles, with_poses
from xdancer.prepare.quarantine import Quarantine
from xdancer.prepare.report import PrepareReport
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.sources import Source, find_videos
from xdancer.prepare.tasks import Casualty, Task
from xdancer.prepare.work import DetectorMaker, make_clip, plan_video, process_detector

WORK = ".work"


def prepare_videos(
    videos: Path,
    out: Path,
    settings: PrepareSettings = PrepareSettings(),
    *,
    groups: Path | None = None,
    poses: Path | None = None,
    split: SplitChoice = SplitChoice(),
    licence: str = "unstated",
    execution: Execution = Execution(),
    overwrite: bool = False,
    keep_work: bool = False,
    retry_quarantined: bool = False,
    detector: PoseDetector | DetectorMaker | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Write `out/{train,val,test}`, `out/report.json` and `out/report.html`, all of them or none.

    Interrupted and started again, finished clips are taken from `out/.work`, which is removed at the end unless `keep_work`. Started again on
    finished output of the same videos and settings it does nothing; other output is refused unless `overwrite`. A video that costs a worker
    process twice is listed in `out/quarantine.json` and left out from then on, unless `retry_quarantined`.

    With `poses` nothing is detected: keypoints come from the files of that folder. A `detector` given from Python works in this process, on
    one worker; a function that makes one (of a module, so that it can be pickled) is called in every worker.

    Raises:
        XDancerError: nothing usable in the folder, output in the way, wrong settings, or the disk is full.
        MissingPackageError: the detector's package is not installed.
    """
    began = time.monotonic()
    refuse_overlap(videos, out)
    execution, maker = _workplace(execution, detector)
    settings, sources = _found_anywhere(settings, _sources(videos, groups, poses))
    job = describe_job(sources, settings, PoseFiles() if poses else process_detector(settings, maker), split, licence)
    quarantine = Quarantine(out)
    again = retry_quarantined and len(quarantine) > 0
    finished = check_output(out, job.fingerprint, overwrite=overwrite, again=again)
    if finished is not None:
        return replace(finished, finished_before=True)
    if again:
        quarantine.release()
    cache = ClipCache(out / WORK, job.settings_digest)
    records = make_clips(sources, settings, cache, quarantine, execution, maker=maker, gpu=_on_gpu(job, settings), progress=progress)
    report = assemble(out, job, records, lambda digest: cache, began=began, progress=progress)
    if not keep_work:
        shutil.rmtree(out / WORK, ignore_errors=True)
    return report


def prepare_part(
    videos: Path,
    out: Path,
    part: Part,
    settings: PrepareSettings = PrepareSettings(),
    *,
    groups: Path | None = None,
    poses: Path | None = None,
    split: SplitChoice = SplitChoice(),
    licence: str = "unstated",
    execution: Execution = Execution(),
    retry_quarantined: bool = False,
    detector: PoseDetector | DetectorMaker | None = None,
    progress: Progress | None = None,
) -> PartReport:
    """Make the clips of one share of the videos, in `out/part-00003-of-00016`; `merge_parts` joins all of them into what one machine writes.

    A video belongs to the share that the hash of its content names. Arguments and errors as for `prepare_videos`.
    """
    execution, maker = _workplace(execution, detector)
    settings, sources = _found_anywhere(settings, _sources(videos, groups, poses))
    job = describe_job(sources, settings, PoseFiles() if poses else process_detector(settings, maker), split, licence)
    folder = part_folder(out, part)
    own = [source for source in sources if part.holds(source.digest)]
    quarantine = Quarantine(folder)
    if retry_quarantined:
        quarantine.release()
    cache = ClipCache(folder, job.settings_digest)
    with begin_part(folder, part, job) as finish:
        return finish(make_clips(own, settings, cache, quarantine, execution, maker=maker, gpu=_on_gpu(job, settings), progress=progress))


def make_clips(
    sources: Sequence[Source],
    settings: PrepareSettings,
    cache: ClipCache,
    quarantine: Quarantine,
    execution: Execution,
    *,
    maker: DetectorMaker | None = None,
    gpu: bool = False,
    progress: Progress | None = None,
) -> dict[str, VideoRecord]:
    """By name of the video, what became of it; only what is not in the cache is computed."""
    originals = {source.digest: source for source in reversed(sources)}  # the first of equal files
    tell = _Teller(progress, quarantine)
    with execution.open(gpu=gpu) as run:
        plans = _plan([source for source in sources if originals[source.digest] is source], settings, cache, quarantine, run, tell)
        outcomes = _cut(plans, settings, cache, quarantine, run, tell, maker)
    return {source.name: _record(source, originals[source.digest], plans, outcomes, quarantine) for source in sources}


def _sources(videos: Path, groups: Path | None, poses: Path | None) -> list[Source]:
    found = find_videos(videos, groups)
    return found if poses is None else with_poses(found, poses)


def _workplace(execution: Execution, detector: PoseDetector | DetectorMaker | None) -> tuple[Execution, DetectorMaker | None]:
    """A finished detector cannot travel: it works here."""
    if detector is None or isinstance(detector, type) or not hasattr(detector, "track"):
        return execution, detector  # type: ignore[return-value]  # a class is a function that makes one
    return replace(execution, workers=0, engine="local", ray_address=None), lambda: detector  # type: ignore[return-value]


def _found_anywhere(settings: PrepareSettings, sources: Sequence[Source]) -> tuple[PrepareSettings, list[Source]]:
    """With whole paths: a worker may have another working folder."""
    weights = {name: path and path.absolute() for name in ("pose_weights", "person_weights") for path in [getattr(settings, name)]}
    return replace(settings, **weights), [replace(source, path=source.path.absolute()) for source in sources]


def _on_gpu(job: Job, settings: PrepareSettings) -> bool:
    """Whether workers compute on a GPU: then one of them fills it."""
    return not job.device.lower().startswith("cpu") or ("jukebox" in settings.features and select_device(settings.device).type != "cpu")


def _plan(
    sources: Sequence[Source], settings: PrepareSettings, cache: ClipCache, quarantine: Quarantine, run: Run, tell: "_Teller"
) -> dict[str, Plan]:
    """The cuts of each video, by digest."""
    plans = {source.digest: plan for source in sources if (plan := cache.plan(source)) is not None}
    todo = {source.digest: source for source in sources if source.digest not in plans and source.digest not in quarantine.reasons}
    tasks = [Task(digest, digest, plan_video, (source, settings)) for digest, source in todo.items()]
    for number, (task, plan) in enumerate(run(tasks), start=1):
        if isinstance(plan, Casualty):
            quarantine.add(todo[task.key], plan.reason)
        else:
            plans[task.key] = plan
            cache.store_plan(todo[task.key], plan)
        tell("plan", number, len(tasks))
    return plans


def _cut(
    plans: dict[str, Plan],
    settings: PrepareSettings,
    cache: ClipCache,
    quarantine: Quarantine,
    run: Run,
    tell: "_Teller",
    maker: DetectorMaker | None,
) -> dict[str, int | Rejection]:
    """What became of each cut, by key: frames of its clip, or why there is none."""
    cuts = {cut.key: cut for digest, plan in plans.items() if digest not in quarantine.reasons for cut in plan.cuts}
    outcomes = {key: outcome for key in cuts if (outcome := cache.outcome(key)) is not None}
    tell.count(outcomes)
    if cuts:
        tell("clips", len(outcomes), len(cuts))
    tasks = [Task(key, cut.source.digest, make_clip, (cut, settings, maker)) for key, cut in cuts.items() if key not in outcomes]
    done = len(outcomes)
    for task, made in run(tasks):
        if isinstance(made, Casualty):
            quarantine.add(cuts[task.key].source, f"{made.reason} ({task.key})")
        else:
            cache.store(task.key, made)
            outcome = made if isinstance(made, Rejection) else cache.outcome(task.key)
            assert outcome is not None, f"{task.key}: stored and not readable"
            outcomes[task.key] = outcome
            tell.count({task.key: outcome})
        done += 1
        tell("clips", done, len(cuts))
    return outcomes


def _record(
    source: Source, original: Source, plans: dict[str, Plan], outcomes: dict[str, int | Rejection], quarantine: Quarantine
) -> VideoRecord:
    """A copy of another video would leak between splits; a video in quarantine gives nothing."""
    if original is not source:
        return VideoRecord(source.name, reasons=(f"same file as {original.name}",))
    if source.digest in quarantine.reasons:
        return VideoRecord(source.name, quarantined=quarantine.reasons[source.digest])
    plan = plans[source.digest]
    cuts = []
    for cut in plan.cuts:
        outcome = outcomes[cut.key]
        frames, reason = (outcome, "") if isinstance(outcome, int) else (0, outcome.reason)
        cuts.append(CutRecord(cut.key, cut.start, cut.stop, frames, reason))
    return VideoRecord(source.name, tuple(cuts), plan.reasons, plan.notes)


class _Teller:
    """Progress with how many clips were accepted, left out and quarantined so far."""

    def __init__(self, progress: Progress | None, quarantine: Quarantine) -> None:
        self.progress, self.quarantine = progress, quarantine
        self.accepted = self.left_out = 0

    def count(self, outcomes: dict[str, int | Rejection]) -> None:
        accepted = sum(isinstance(outcome, int) for outcome in outcomes.values())
        self.accepted += accepted
        self.left_out += sum(isinstance(outcome, Rejection) and bool(outcome.reason) for outcome in outcomes.values())

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            counts = [f"{self.accepted} accepted", f"{self.left_out} left out"] if what == "clips" else []
            counts += [f"{len(self.quarantine)} quarantined"] if len(self.quarantine) else []
            self.progress(what, done, total, ", ".join(counts))
