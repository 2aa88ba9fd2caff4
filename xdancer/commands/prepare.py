"""`xdancer prepare VIDEO_DIR --out DIR`: your dance videos → training shards."""

from pathlib import Path

from xdancer.device import DeviceName, Precision
from xdancer.errors import XDancerError
from xdancer.pose.detector import DetectorName
from xdancer.prepare import Execution, Part, PartReport, PrepareReport, PrepareSettings, SplitChoice, prepare_part, prepare_videos
from xdancer.prepare.execution import EngineName
from xdancer.prepare.settings import People, SongIdentity, SplitMode
from xdancer.progress import Steps


def prepare(
    videos: Path,
    out: Path = Path("data"),
    *,
    groups: Path | None = None,
    songs: SongIdentity = "music",
    split: SplitMode = "song",
    val: float = 0.1,
    test: float = 0.1,
    width: int = 512,
    height: int = 896,
    min_seconds: float = 5.0,
    max_seconds: float = 20.0,
    margin: float = 0.08,
    min_person: int = 100,
    min_side: int = 120,
    min_sharpness: float = 3.0,
    min_box_share: float = 0.02,
    max_people: int = 4,
    max_camera_motion: float = 20.0,
    people: People = "largest",
    source_fps: float | None = None,
    audio_offset: float = 0.0,
    shot_threshold: float = 3.0,
    features: str = "librosa,musicnn",
    poses: Path | None = None,
    detector: DetectorName = "mediapipe",
    pose_weights: Path | None = None,
    person_weights: Path | None = None,
    device: DeviceName = "auto",
    precision: Precision = "fp32",
    workers: int | None = None,
    part: str | None = None,
    engine: EngineName = "local",
    ray_address: str | None = None,
    clip_timeout: float = 1800.0,
    retry_quarantined: bool = False,
    licence: str = "unstated",
    overwrite: bool = False,
    keep_work: bool = False,
) -> PrepareReport | PartReport:
    """Turn dance videos with their sound into training shards: person-centred 30 fps clips, 60 keypoints, music features.

    Writes OUT/train, OUT/val, OUT/test, OUT/report.json and OUT/report.html. A video without a person, without sound, too short or damaged is
    left out with a reason. Interrupted, the same command continues.

    Args:
        videos: folder with dance videos; searched with its sub-folders.
        out: folder for the shards.
        groups: CSV with the columns video,song; splits never share a song. A video that it does not name is called after its file.
        songs: `music` makes videos one song in which the same music is heard (chroma fingerprints); `name` believes names alone.
        split: `song` holds out whole songs; `frames` puts every clip into train, val and test, for data modules with a frame_range.
        val: share of the songs for validation (at least one from two songs on).
        test: share of the songs for testing (at least one from three songs on).
        width: of the clips in pixels.
        height: of the clips in pixels.
        min_seconds: shorter clips are left out.
        max_seconds: longer videos are cut into equal clips.
        margin: room around the dancer's keypoints, as a share of their height.
        min_person: least height of the dancer in pixels of the video.
        min_side: least shorter side of the videos in pixels.
        min_sharpness: least sharpness of the dancer in the clip (variance of the Laplacian); 0 takes any.
        min_box_share: least area of the box around the dancer, as a share of the picture (paper: 0.275).
        max_people: most people seen together (paper: 1); more than 4 are not looked for.
        max_camera_motion: most change of the background, in grey levels of 255 (paper: 20); 255 takes any.
        people: of several people `largest` takes the one who fills the most of the pictures, `each` makes one clip of everybody (at most 4).
        source_fps: the videos' true frame rate, if their containers lie.
        audio_offset: seconds by which the sound is delayed against what the files say; negative where it comes too late.
        shot_threshold: how many times a cut's difference between pictures exceeds its neighbours'; clips lie within shots. 0 looks for no cuts.
        features: music features, separated by commas: librosa, beat_phase, musicnn, jukebox.
        poses: folder with a file of poses named like each video, from which the keypoints are taken instead of a detector: ours, MusePose,
            Animate-X, UniAnimate, OpenPose, ComfyUI or DisCo, as in videos/ beside videos_dwpose/. Skeletons drawn as videos hold none.
        detector: mediapipe works offline; dwpose and rtmw need the extra `wholebody` and their weights.
        pose_weights: local ONNX file of DWPose or RTMW.
        person_weights: local ONNX file of the YOLOX person detector.
        device: where dwpose, rtmw and jukebox compute; MediaPipe, librosa and musicnn compute on the CPU.
        precision: only fp32.
        workers: clips made at the same time; one per usable core if not given (one if they compute on a GPU), 0 works in this process.
        part: I/N with I from 0 on makes the clips of one share of the videos, in OUT; `xdancer shards merge` joins all N of them.
        engine: `local` works on this machine, `ray` on a Ray cluster (extra `ray`).
        ray_address: of a running cluster, such as auto or HOST:6379; without it Ray starts on this machine.
        clip_timeout: seconds after which a clip's worker counts as hanging and is ended.
        retry_quarantined: try videos again that are listed in OUT/quarantine.json because each cost two workers.
        licence: terms of the videos, kept in the manifests; another licence is other output.
        overwrite: replace shards that are in OUT; other files there are refused.
        keep_work: keep finished clips in OUT/.work, so that a later run with more videos makes only the new ones.
    """
    if precision != "fp32":
        raise XDancerError(f"--precision {precision}: keypoint detectors and music features compute in fp32 only. Leave the flag out.")
    if poses is not None and (detector != "mediapipe" or pose_weights is not None or person_weights is not None):
        raise XDancerError("--poses: keypoints come from its files, not by --detector, --pose-weights or --person-weights. Leave those out.")
    names = tuple(name.strip() for name in features.split(",") if name.strip())
    on_cpu = detector == "mediapipe" and "jukebox" not in names
    if on_cpu and device not in ("auto", "cpu"):
        raise XDancerError(f"--device {device}: MediaPipe computes on the CPU. Use --device auto, or --detector dwpose or rtmw.")
    settings = PrepareSettings(
        width=width, height=height, min_seconds=min_seconds, max_seconds=max_seconds, margin=margin, min_person=min_person,
        min_side=min_side, min_sharpness=min_sharpness, min_box_share=min_box_share, max_people=max_people,
        max_camera_motion=max_camera_motion, people=people,
        features=names, detector=detector, pose_weights=pose_weights, person_weights=person_weights, device=device, source_fps=source_fps,
        shot_threshold=shot_threshold, audio_offset=audio_offset,
    )  # fmt: skip
    finder = f"detector {detector}" if poses is None else f"poses of {poses}"
    print(f"prepare: {videos} → {out}, {finder}, device {'cpu' if on_cpu else device}, precision fp32", flush=True)
    execution = Execution(workers, engine, ray_address, clip_timeout)
    choice, share = SplitChoice(split, val, test, songs), None if part is None else Part.parse(part)
    if share is not None:
        _refuse_with_part(overwrite=overwrite, keep_work=keep_work)
        with Steps() as steps:
            made = prepare_part(
                videos, out, share, settings, groups=groups, poses=poses, split=choice, licence=licence, execution=execution,
                retry_quarantined=retry_quarantined, progress=steps,
            )  # fmt: skip
        print(f"{made.line}\nWhen all {share.count} parts are finished: xdancer shards merge {out} --out {out}")
        return made
    with Steps() as steps:
        report = prepare_videos(
            videos, out, settings, groups=groups, poses=poses, split=choice, licence=licence, execution=execution, overwrite=overwrite,
            keep_work=keep_work, retry_quarantined=retry_quarantined, progress=steps,
        )  # fmt: skip
    show_report(report, out)
    return report


def show_report(report: PrepareReport, out: Path) -> None:
    """Prints what was accepted and left out, and the next step."""
    for line in report.lines():
        print(line)
    if report.finished_before:
        print(f"{out} was finished before; nothing was done.")
    else:
        print(
            f"Used {report.detector} on {report.device}, {report.precision}, {report.seconds_spent:.0f} s. Pictures and distributions: "
            f"{out / 'report.html'}. Next: xdancer shards verify {out}"
        )


def _refuse_with_part(*, overwrite: bool, keep_work: bool) -> None:
    if overwrite:
        raise XDancerError("--overwrite --part: a part replaces no shards. Give --overwrite to `xdancer shards merge`.")
    if keep_work:
        raise XDancerError("--keep-work --part: a part is nothing but finished work, which stays. Leave --keep-work out.")
