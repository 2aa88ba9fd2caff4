"""The two pure functions that workers call, here or on another machine: video → cuts, and cut → finished clip."""

import base64
import io
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from xdancer import media
from xdancer.audio.encoder import feature_table
from xdancer.data.writer import encode_sample
from xdancer.errors import MediaError, PoseError, ShardError, XDancerError
from xdancer.pose.detector import PoseDetector, make_detector
from xdancer.prepare.cache import Plan, Rejection, pack_clip
from xdancer.prepare.clip import prepare_clip
from xdancer.prepare.pose_files import CutPoses
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.shots import shot_starts
from xdancer.prepare.sniff import no_video, oddities
from xdancer.prepare.songs import hear
from xdancer.prepare.sources import Cut, Source, plan_cuts
from xdancer.workers import one_thread

DetectorMaker = Callable[[], PoseDetector]
FINAL = (PoseError, MediaError, ShardError)
"""Errors that lie in the video."""
PICTURE_HEIGHT = 160


def plan_video(source: Source, settings: PrepareSettings) -> Plan:
    """The cuts of a video, or why there are none."""
    if why := no_video(source.path):
        return Plan(reasons=(why,))
    try:
        info = media.probe(source.path)
    except MediaError as error:
        return Plan(reasons=(_reason(error, source),))
    duration = info.duration if settings.source_fps is None else info.frames / settings.source_fps
    if not info.has_audio:
        return Plan(reasons=("no sound",))
    notes = list(oddities(source.path, info, duration, settings))
    if duration < settings.min_seconds - 0.001:
        return Plan(reasons=(f"too short: {duration:.1f} s, --min-seconds is {settings.min_seconds:g}",), notes=tuple(notes))
    try:
        shots = shot_starts(source.path, settings)
    except MediaError as error:
        return Plan(reasons=(_reason(error, source),), notes=tuple(notes))
    lengths = np.diff([0.0, *shots, duration])
    short = int((lengths < settings.min_seconds - 0.001).sum())
    if short:
        notes.append(f"{short} of {len(lengths)} shots are shorter than --min-seconds {settings.min_seconds:g}")
    cuts = plan_cuts(source, duration, settings, shots)
    if not cuts:
        return Plan(reasons=(f"no shot is long enough: the longest has {lengths.max():.1f} s",), notes=tuple(notes))
    return Plan(tuple(cuts), notes=tuple(notes), music=hear(source.path))


def make_clip(cut: Cut, settings: PrepareSettings, maker: DetectorMaker | None = None) -> bytes | Rejection:
    """The finished clip (`pack_clip`), or why there is none. `maker` makes another detector than the settings'."""
    features = feature_table(settings.features, device=settings.device)
    try:
        with one_thread():  # as in every other process, for equal bytes
            if cut.source.poses is None:
                sample = prepare_clip(cut, settings, process_detector(settings, maker))
            else:
                sample = (poses := CutPoses(cut, settings)).marked(prepare_clip(cut, settings, poses))
        encode_sample(sample, features)  # what shards would refuse is refused now
    except XDancerError as error:
        reason = _reason(error, cut.source)
        return Rejection(reason, isinstance(error, FINAL), getattr(error, "figures", {}), _picture(cut) if reason else "")
    except MemoryError:
        raise
    except Exception as error:  # one odd video must not cost a night's work; the report names it
        return Rejection(f"unexpected {type(error).__name__}: {str(error)[:200]}", final=False, picture=_picture(cut))
    return pack_clip(sample)


@lru_cache(maxsize=1)
def process_detector(settings: PrepareSettings, maker: DetectorMaker | None = None) -> PoseDetector:
    """This process's detector: made once, as that takes seconds."""
    if maker is not None:
        return maker()
    return make_detector(settings.detector, device=settings.device, pose_weights=settings.pose_weights, person_weights=settings.person_weights)


def jpeg(picture: media.Picture, height: int = PICTURE_HEIGHT) -> str:
    """A small picture in base64."""
    stream = io.BytesIO()
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC).save(stream, format="JPEG", quality=75)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _picture(cut: Cut) -> str:
    """From the middle of a cut, for the report; empty where none can be had."""
    try:
        times = media.frame_times(cut.source.path)
        middle = int((times < (cut.start + cut.stop) / 2).sum())
        _, picture = next(iter(media.stream_video(cut.source.path, start=min(middle, len(times) - 1))))
        return jpeg(picture)
    except Exception:  # a picture more or less decides nothing
        return ""


def _reason(error: XDancerError, source: Source) -> str:
    return str(error).removeprefix(f"{source.path}: ").rstrip(".")
