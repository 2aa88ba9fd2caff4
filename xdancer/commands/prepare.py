"""`xdancer prepare VIDEO_DIR --out DIR`: your dance videos → training shards."""

from pathlib import Path

from xdancer.device import DeviceName, Precision
from xdancer.errors import XDancerError
from xdancer.pose.detector import DetectorName
from xdancer.prepare import PrepareReport, PrepareSettings, prepare_videos
from xdancer.prepare.settings import SplitMode
from xdancer.progress import Steps


def prepare(
    videos: Path,
    out: Path = Path("data"),
    *,
    groups: Path | None = None,
    split: SplitMode = "song",
    val: float = 0.1,
    test: float = 0.1,
    width: int = 512,
    height: int = 896,
    min_seconds: float = 5.0,
    max_seconds: float = 20.0,
    margin: float = 0.08,
    min_person: int = 100,
    source_fps: float | None = None,
    features: str = "librosa,musicnn",
    detector: DetectorName = "mediapipe",
    pose_weights: Path | None = None,
    person_weights: Path | None = None,
    device: DeviceName = "auto",
    precision: Precision = "fp32",
    workers: int = 1,
    licence: str = "unstated",
    overwrite: bool = False,
    keep_work: bool = False,
) -> PrepareReport:
    """Turn dance videos with their sound into training shards: person-centred 30 fps clips, 60 keypoints, music features.

    Writes OUT/train, OUT/val, OUT/test and OUT/report.json. A video without a person, without sound, too short or damaged is left out with a
    reason. Interrupted, the same command continues.

    Args:
        videos: folder with dance videos, one dancer each; searched with its sub-folders.
        out: folder for the shards.
        groups: CSV with the columns video,song; splits never share a song. Without it each file name is a song.
        split: `song` holds out whole songs; `frames` puts every clip into train, val and test, for data modules with a frame_range.
        val: share of the songs for validation (at least one from two songs on).
        test: share of the songs for testing (at least one from three songs on).
        width: of the clips in pixels.
        height: of the clips in pixels.
        min_seconds: shorter clips are left out.
        max_seconds: longer videos are cut into equal clips.
        margin: room around the dancer's keypoints, as a share of their height.
        min_person: least height of the dancer in pixels of the video.
        source_fps: the videos' true frame rate, if their containers lie.
        features: music features, separated by commas: librosa, beat_phase, musicnn, jukebox.
        detector: mediapipe works offline; dwpose and rtmw need the extra `wholebody` and their weights.
        pose_weights: local ONNX file of DWPose or RTMW.
        person_weights: local ONNX file of the YOLOX person detector.
        device: where dwpose, rtmw and jukebox compute; MediaPipe, librosa and musicnn compute on the CPU.
        precision: only fp32.
        workers: clips made at the same time.
        licence: terms of the videos, kept in the manifests; another licence is other output.
        overwrite: replace shards that are in OUT; other files there are refused.
        keep_work: keep finished clips in OUT/.work, so that a later run with more videos makes only the new ones.
    """
    if precision != "fp32":
        raise XDancerError(f"--precision {precision}: keypoint detectors and music features compute in fp32 only. Leave the flag out.")
    names = tuple(name.strip() for name in features.split(",") if name.strip())
    on_cpu = detector == "mediapipe" and "jukebox" not in names
    if on_cpu and device not in ("auto", "cpu"):
        raise XDancerError(f"--device {device}: MediaPipe computes on the CPU. Use --device auto, or --detector dwpose or rtmw.")
    settings = PrepareSettings(
        width=width, height=height, min_seconds=min_seconds, max_seconds=max_seconds, margin=margin, min_person=min_person,
        features=names, detector=detector, pose_weights=pose_weights, person_weights=person_weights, device=device, source_fps=source_fps,
    )  # fmt: skip
    print(f"prepare: {videos} → {out}, detector {detector}, device {'cpu' if on_cpu else device}, precision fp32", flush=True)
    with Steps() as steps:
        report = prepare_videos(
            videos, out, settings, groups=groups, split=split, val=val, test=test, licence=licence, workers=workers, overwrite=overwrite,
            keep_work=keep_work, progress=steps,
        )  # fmt: skip
    for line in report.lines():
        print(line)
    if report.finished_before:
        print(f"{out} was finished before; nothing was done.")
    else:
        print(f"Used {report.detector} on {report.device}, {report.precision}, {report.seconds_spent:.0f} s. Next: xdancer shards verify {out}")
    return report
