"""One dance as the metrics see it: pictures at 30 fps, poses, music beats, features of its windows. Its file is decoded once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from xdancer.audio.beats import is_silent, track_beats
from xdancer.errors import MediaError, XDancerError
from xdancer.evaluation.items import Item, Pose, digest
from xdancer.files import whole
from xdancer.media import frame_times, read_audio, read_image, read_video
from xdancer.metrics.feature_sets import FeatureSet, Subject, window_features
from xdancer.metrics.identity import FaceNet, embed_faces
from xdancer.metrics.lag_null import onset_envelope
from xdancer.metrics.motion_footage import draw_motion
from xdancer.metrics.perceptual import VGGLPIPS
from xdancer.metrics.tempo import tempo_of
from xdancer.metrics.video_networks import VideoNetwork
from xdancer.metrics.video_protocols import VideoProtocol
from xdancer.pose.coordinates import nearest_frames, resample_poses, to_normalised
from xdancer.pose.detector import PoseDetector
from xdancer.types import FPS

FORMAT = "3"
"""Of what is kept in a cache; another one is measured again. To be raised when a measured value changes its meaning."""
SAMPLE_RATE = 22050
MOST_PICTURE_BYTES = 6_000_000_000
"""Pictures of one video that are held in memory; longer ones are refused (a minute at 896 × 512 and 30 fps is 2.5 GB)."""

Pictures = UInt8[NDArray, "frame height width 3"]


@dataclass(frozen=True)
class Recording:
    """What was measured of one dance by itself."""

    key: str
    frames: int
    """At 30 fps."""
    fps: float
    """Of the file."""
    arrays: Mapping[str, NDArray]
    """`pose` (frame, 60, 3); `beats` (s); `tracked_tempo` (1): librosa's, where other beats are known; `envelope` (frame);
    `features`, `drawn` (window, feature) of the pictures and of the drawn poses; `identity` (frame), NaN without a face, `face`,
    `portrait_face` (see `_identity`). What it does not have is absent."""
    tempo: float = 0.0
    """Beats per minute of the music; 0 where none is known."""
    beats_from: str = ""
    """Where the beats are from: `manifest`, `file` or `librosa`; empty without any."""
    notes: tuple[str, ...] = ()

    @property
    def pose(self) -> Pose | None:
        return self.arrays.get("pose")


@dataclass(frozen=True)
class Instruments:
    """With what dances are measured."""

    protocol: VideoProtocol
    network: VideoNetwork
    detector: PoseDetector | None
    """None: dances without known poses have no motion figures."""
    face_net: FaceNet | None
    seed: int = 0
    vgg: VGGLPIPS | None = None
    """For LPIPS by VGG beside the one by AlexNet."""
    segment_frames: int | None = None
    """Frames, at 30 fps, from one border between segments to the next, where the dances were made in segments."""

    @property
    def settings(self) -> dict[str, str]:
        """All that a measured value depends on beside the content of the files."""
        return {
            "protocol": self.protocol.name, "network": f"{self.network.name} {self.network.digest}",
            "detector": "none" if self.detector is None else f"{self.detector.name} {self.detector.version}",
            "face network": "none" if self.face_net is None else f"{self.face_net.name} {self.face_net.digest}", "seed": str(self.seed),
        } | ({} if self.vgg is None else {self.vgg.name: self.vgg.digest})  # fmt: skip


class Opened:
    """An item whose pictures are decoded at most once, when something first needs them; at 30 fps, each the frame nearest in time."""

    def __init__(self, item: Item) -> None:
        self.item = item

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """Seconds of the file's own frames."""
        if self.item.video is None:
            assert self.item.frames is not None
            return np.arange(len(self.item.frames)) / FPS
        return frame_times(self.item.video)

    @cached_property
    def native(self) -> Pictures:
        """All frames of the file."""
        if self.item.frames is not None:
            return self.item.frames
        assert self.item.video is not None
        first = read_video(self.item.video, count=1).frames
        if first.nbytes * len(self.times) > MOST_PICTURE_BYTES:
            gigabytes = first.nbytes * len(self.times) / 1e9
            raise MediaError(
                f"{self.item.key}: {len(self.times)} frames of {first.shape[2]}×{first.shape[1]} are {gigabytes:.1f} GB, at most "
                f"{MOST_PICTURE_BYTES / 1e9:.0f} are held at once. Cut it into pieces."
            )
        return read_video(self.item.video).frames

    @property
    def fps(self) -> float:
        """Of the file, by its time stamps; a single frame has none and counts as 30."""
        return float((len(self.times) - 1) / self.times[-1]) if len(self.times) > 1 and self.times[-1] > 0 else float(FPS)

    @property
    def moments(self) -> NDArray[np.float64]:
        """Seconds of the frames at 30 fps."""
        return np.arange(int(np.floor(self.times[-1] * FPS + 1e-3)) + 1) / FPS

    @cached_property
    def pictures(self) -> Pictures:
        """Frames at 30 fps."""
        index = nearest_frames(self.times, self.moments)
        return self.native if np.array_equal(index, np.arange(len(self.native))) else self.native[index]

    @property
    def has_pictures(self) -> bool:
        return self.item.video is not None or self.item.frames is not None

    @cached_property
    def person(self) -> Bool[NDArray, "frame height width"] | None:
        """Where the person is, at 30 fps, if that is known."""
        return None if self.item.mask is None else read_video(self.item.mask).frames[..., 0] >= 128


def measure(opened: Opened, tools: Instruments, cache: Path | None = None, *, share: int | None = None) -> Recording:
    """Everything that is known of a dance by itself; from the cache where equal content was measured with equal instruments.

    Args:
        opened: the dance.
        tools: with what.
        cache: folder of earlier measurements.
        share: how many windows it gives under a protocol that draws them (`clip_share`).

    Raises:
        XDancerError: it cannot be read, or is empty.
    """
    item = opened.item
    settings = tools.settings | {"share": str(share), "format": FORMAT}
    place = None if cache is None else cache / f"{item.digest}-{digest(json.dumps(settings, sort_keys=True).encode())}.safetensors"
    if place is not None and (stored := _load(place, item.key)) is not None:
        return stored
    pose, notes = _pose(opened, tools)
    beats_from = opened.item.beats_from or "librosa"
    count = len(pose) if pose is not None else len(opened.moments)
    arrays, tempo, heard = _music(opened, count)
    if pose is not None:
        arrays["pose"] = pose
        arrays["drawn"] = _features(draw_motion(pose), float(FPS), tools, item.digest, share)
    if opened.has_pictures:
        arrays["features"] = _features(opened.native, opened.fps, tools, item.digest, share)
        if tools.face_net is not None and pose is not None:
            arrays |= _identity(opened, pose, tools.face_net, tools.detector)
    found = Recording(
        item.key, count, opened.fps if opened.has_pictures else float(FPS), arrays, tempo, beats_from, (*item.notes, *notes, *heard)
    )
    if place is not None:
        _store(place, found)
    return found


def _pose(opened: Opened, tools: Instruments) -> tuple[Pose | None, tuple[str, ...]]:
    """At 30 fps; with a note where nobody is found."""
    if opened.item.pose is not None:
        return opened.item.pose, ()
    if tools.detector is None:
        return None, ("no poses: no detector",)
    height, width = opened.native.shape[1:3]
    pixels = tools.detector.detect(opened.native[:1] if opened.item.still else opened.native).pixels
    if opened.item.still:
        pixels = np.repeat(pixels, len(opened.native), axis=0)
    if not (pixels[..., 2] > 0).any():
        return None, ("nobody found in it",)
    return resample_poses(to_normalised(pixels, width=width, height=height), opened.times, opened.moments), ()


def _music(opened: Opened, frames: int) -> tuple[dict[str, NDArray], float, tuple[str, ...]]:
    """Beats and onset envelope of the part that is danced to."""
    item, seconds = opened.item, frames / FPS
    if item.music is not None:
        beats, envelope, tempo = item.music
        heard = np.zeros(0) if envelope is None or not len(envelope) else np.resize(envelope.astype(np.float64), frames)
        found = {"beats": beats[(beats >= 0) & (beats < seconds)], "envelope": heard}
        return {name: value for name, value in found.items() if len(value)}, tempo, ()
    arrays: dict[str, NDArray] = {}
    notes: tuple[str, ...] = ()
    if item.sound is not None:
        try:
            sound = read_audio(item.sound, sample_rate=SAMPLE_RATE)[: int(seconds * SAMPLE_RATE)]
        except MediaError as error:
            notes = (f"no music: {error}",)
        else:
            if is_silent(sound):
                notes = ("silent",)
            else:
                arrays["envelope"] = onset_envelope(sound, SAMPLE_RATE, frames, FPS)
                arrays["beats"] = track_beats(sound, SAMPLE_RATE).times
    if item.beats is not None:
        if "beats" in arrays:
            arrays["tracked_tempo"] = np.array([tempo_of(arrays["beats"])])
        arrays["beats"] = item.beats
    beats = arrays.get("beats", np.zeros(0))
    beats = beats[(beats >= 0) & (beats < seconds)]
    if len(beats):
        arrays["beats"] = beats
    else:
        arrays.pop("beats", None)
    tempo = 60 / float(np.median(np.diff(beats))) if len(beats) > 1 else 0.0
    return arrays, tempo, notes


def _features(frames: Pictures, fps: float, tools: Instruments, content: str, share: int | None) -> Float[NDArray, "window feature"]:
    """Features of the windows that the protocol takes of a video; drawn starts depend on its content and the seed alone."""
    start = (tools.seed, int(content[:8], 16))
    return window_features(frames, fps, tools.network, tools.protocol, seed=start, clips=share).astype(np.float64)


def _identity(opened: Opened, pose: Pose, network: FaceNet, detector: PoseDetector | None) -> dict[str, NDArray]:
    """`identity`: likeness of every frame's face to the portrait's (the first frame where none is given); `face`: mean direction of the frames'
    vectors, `portrait_face`: direction of the portrait's, for the likeness to other people's portraits. Absent where there is no face.
    """
    pictures = opened.pictures
    if opened.item.portrait is None:
        portrait, portrait_pose = pictures[0], pose[0]
    else:
        portrait = read_image(opened.item.portrait)
        if detector is None:
            raise XDancerError(f"{opened.item.portrait}: a portrait's face is found by a detector; choose one with --detector.")
        height, width = portrait.shape[:2]
        portrait_pose = to_normalised(detector.detect(portrait[None]).pixels, width=width, height=height)[0]
    count = min(len(pictures), len(pose))
    vectors, shown = embed_faces(pictures[:count], pose[:count], network)
    anchor, _ = embed_faces(portrait[None], portrait_pose[None], network)
    vectors, anchor = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (vectors, anchor))
    curve = np.full(count, np.nan)
    arrays = {"identity": curve}
    if len(anchor):
        arrays["portrait_face"] = anchor[0]
        if len(vectors):
            curve[shown] = vectors @ anchor[0]
    if len(vectors):
        arrays["face"] = vectors.mean(axis=0)
    return arrays


def _store(path: Path, found: Recording) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"frames": found.frames, "fps": found.fps, "tempo": found.tempo, "beats_from": found.beats_from, "notes": list(found.notes)}
    with whole(path) as temporary:
        save_file({name: np.ascontiguousarray(value) for name, value in found.arrays.items()}, temporary, metadata={"about": json.dumps(about)})


def _load(path: Path, key: str) -> Recording | None:
    """The stored recording; None where there is none, or its file is damaged (it is measured again)."""
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads(file.metadata()["about"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    return Recording(key, about["frames"], about["fps"], arrays, about["tempo"], about["beats_from"], tuple(about["notes"]))


def feature_set(recordings: Sequence[Recording], tools: Instruments, subject: Subject) -> FeatureSet | None:
    """Features of all recordings that have pictures (`video`) or poses (`motion`); None without any."""
    name = {"video": "features", "motion": "drawn"}[subject]
    watched = [found for found in recordings if name in found.arrays]
    if not watched:
        return None
    kept = [found for found in watched if len(found.arrays[name])]
    rows = [found.arrays[name] for found in kept]
    rates = [found.fps for found in watched]
    return FeatureSet(
        tools.protocol, tools.network.digest, np.concatenate(rows) if rows else np.zeros((0, tools.network.width)),
        np.repeat(np.arange(len(rows)), [len(value) for value in rows]), tuple(found.key for found in kept),
        digest(*(value.tobytes() for value in rows)), subject, (min(rates), max(rates)) if subject == "video" else None,
        tuple(found.key for found in watched if not len(found.arrays[name])),
    )  # fmt: skip
