"""What `xdancer evaluate` measures: the dances of a folder of videos or pose files of any system, or of shards, one item each."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from xdancer.data.members import AUDIO, MASK, VIDEO
from xdancer.data.reader import ShardReader
from xdancer.errors import XDancerError
from xdancer.evaluation.folder import evaluation_folder, read_motion_items
from xdancer.importers.pose_files import read_pose_file
from xdancer.media import probe
from xdancer.media.reading import Source
from xdancer.pose.coordinates import resample_poses
from xdancer.strict import parse_json
from xdancer.types import FPS

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
POSES = (".npy", ".pkl", ".json")
SOUNDS = (".wav", ".mp3", ".flac", ".m4a", ".ogg", ".aac")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")

Pose = Float[NDArray, "frame 60 3"]


@dataclass(frozen=True)
class Item:
    """One dance: pictures, poses, or both, at their own frame rate until they are read.

    Poses that come with it are taken as they are; otherwise they are found in the pictures.
    """

    key: str
    digest: str
    """Hash of all its content: what was measured of equal content is measured once."""
    video: Source | None = None
    sound: Source | None = None
    """Where its music is heard; None: nowhere."""
    mask: Source | None = None
    """Video of the person's mask, white on black."""
    pose: Pose | None = None
    """At 30 fps."""
    beats: Float[NDArray, " _"] | None = None
    """Known music beats, seconds from the first frame; None: tracked in the sound."""
    beats_from: str = ""
    """Where known beats are from; empty where they are tracked."""
    portrait: Path | None = None
    """Who it is meant to show; None: the first frame stands for it."""
    notes: tuple[str, ...] = ()
    frames: UInt8[NDArray, "_ _ _ 3"] | None = None
    """Pictures in memory at 30 fps, of a null row; instead of `video`."""
    still: bool = False
    """All these pictures are the same: a pose found in one is that of all."""
    music: tuple[Float[NDArray, " _"], Float[NDArray, " _"] | None, float] | None = None
    """Beats, onset envelope and tempo as they were found in another dance, or as they are known; instead of `sound` and `beats`."""


@dataclass(frozen=True)
class Excluded:
    """An item that could not be read or measured."""

    key: str
    reason: str


def find_items(
    folder: Path, *, beats: Path | None = None, music: Path | None = None, portraits: Path | None = None, side: str = "generated"
) -> tuple[list[Item], list[Excluded]]:  # fmt: skip
    """The dances of a folder, by key, and what was left out.

    A folder of files: every video and every pose file is a dance; two of one name (`a.mp4`, `a.npy`) are one dance with known poses, and so is
    an OpenPose folder of one JSON a frame. A folder of shards: every clip.

    Args:
        folder: of videos and pose files, or of shards.
        beats: folder with NAME.json or NAME.txt, beats in seconds.
        music: folder with NAME.wav (or mp3, flac, …) for dances whose file has no sound.
        portraits: folder with NAME.png.
        side: of an evaluation folder (`evaluation.folder`), whether the `generated` or the `real` dances.

    Raises:
        XDancerError: no such folder, nothing in it, or no file of a further folder belongs to any dance.
    """
    if not folder.is_dir():
        raise XDancerError(f"{folder}: no such folder. Give one with videos, pose files or shards.")
    if (folder / "manifest.json").is_file():
        items, excluded = _of_shards(folder)
    elif (evaluation := evaluation_folder(folder)) is not None:
        items, excluded = _of_evaluation(evaluation, side), []
    else:
        items, excluded = _of_files(folder)
    for flag, place, add in (("--beats", beats, _with_beats), ("--music", music, _with_music), ("--portraits", portraits, _with_portrait)):
        if place is not None:
            items = _with(items, flag, place, add)
    if not items and not excluded:
        raise XDancerError(
            f"{folder}: no dance in it. It needs videos ({' '.join(VIDEOS)}), pose files ({' '.join(POSES)}) or shards (index.json and tars)."
        )
    return items, excluded


def _of_shards(folder: Path) -> tuple[list[Item], list[Excluded]]:
    reader, items, excluded = ShardReader(folder), [], []
    for key in reader.keys:
        try:
            pose, meta = reader.pose(key), reader.meta(key)
            video, mask, sound = (reader.member(key, name) if reader.has(key, name) else None for name in (VIDEO, MASK, AUDIO))
        except XDancerError as error:
            excluded.append(Excluded(key, str(error)))
            continue
        known = np.asarray(meta["beats"], np.float64)
        own = digest(pose.tobytes(), video or b"", known.tobytes())
        items.append(Item(key, own, video=video, sound=sound, mask=mask, pose=pose, beats=known, beats_from="manifest"))
    return items, excluded


def _of_evaluation(folder: Path, side: str) -> list[Item]:
    """Dances and videos that `xdancer evaluate --model` or the demo left; the two are of different clips, so their keys say which."""
    items = []
    for dance in read_motion_items(folder):
        pose = dance.generated if side == "generated" else dance.true
        beats = dance.beats.astype(np.float64)
        tempo = dance.tempo if dance.tempo > 0 else 0.0
        own = digest(pose.tobytes(), beats.tobytes(), b"" if dance.envelope is None else dance.envelope.tobytes())
        items.append(Item(f"motion/{dance.key}", own, pose=pose, music=(beats, dance.envelope, float(tempo)), beats_from="manifest"))
    for path in sorted((folder / "video").glob("*.generated.mp4")):
        stem = str(path)[: -len(".generated.mp4")]
        shown, mask, portrait = (
            path if side == "generated" else Path(stem + ".true.mp4"),
            Path(stem + ".mask.mp4"),
            Path(stem + ".portrait.png"),
        )
        pose = Path(stem + ".pose.npy").read_bytes()
        own = digest(*(file.read_bytes() for file in (shown, mask, portrait)), pose)
        items.append(Item(f"video/{Path(stem).name}", own, video=shown, mask=mask, portrait=portrait))
    return items


def _of_files(folder: Path) -> tuple[list[Item], list[Excluded]]:
    found: dict[str, dict[str, Path]] = {}
    excluded = []
    for path in sorted(folder.iterdir()):
        frames = path.is_dir() and any(path.glob("*.json"))
        kind = "pose" if frames or path.suffix.lower() in POSES else "video" if path.suffix.lower() in VIDEOS else None
        if kind is None or path.name.startswith("."):
            continue
        there = found.setdefault(path.name if frames else path.stem, {})
        if kind in there:
            raise XDancerError(f"{folder}: {there[kind].name} and {path.name} are the same dance twice. Keep one of them.")
        there[kind] = path
    items = []
    for key, paths in sorted(found.items()):
        try:
            items.append(_of_paths(key, paths.get("video"), paths.get("pose")))
        except XDancerError as error:
            excluded.append(Excluded(key, str(error)))
    return items, excluded


def _of_paths(key: str, video: Path | None, pose: Path | None) -> Item:
    content = [] if video is None else [video.read_bytes()]
    if pose is None:
        return Item(key, digest(*content), video=video, sound=video)
    info = None if video is None else probe(video)
    found = read_pose_file(pose, size=None if info is None else (info.height, info.width))
    fps = found.fps if info is None else info.fps
    notes = [*found.notes] + ([] if found.confidence_known else ["the pose file carries no confidences"])
    if fps is None:
        notes.append(f"the pose file tells no frame rate: {FPS} frames a second")
    times = np.arange(len(found.pose)) / (fps or FPS)
    poses = resample_poses(found.pose, times, np.arange(int(np.floor(times[-1] * FPS + 1e-3)) + 1) / FPS)
    return Item(key, digest(*content, poses.tobytes()), video=video, sound=video, pose=poses, notes=tuple(notes))


def digest(*parts: bytes) -> str:
    """Of some content, 16 hexadecimal digits."""
    content = hashlib.sha256()
    for part in parts:
        content.update(hashlib.sha256(part).digest())
    return content.hexdigest()[:16]


def _with(items: Sequence[Item], flag: str, folder: Path, add: Callable[[Item, Path], Item]) -> list[Item]:
    """Items with what a folder says about them by name."""
    if not folder.is_dir():
        raise XDancerError(f"{flag} {folder}: no such folder.")
    there: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        there.setdefault(path.stem, []).append(path)
    named = [add(item, path) for item in items for path in there.get(item.key, [])[:1]]
    if not named:
        raise XDancerError(f"{flag} {folder}: no file is named like a dance, such as {items[0].key!r}. Names decide which belongs to which.")
    changed = {item.key: item for item in named}
    return [changed.get(item.key, item) for item in items]


def _with_beats(item: Item, path: Path) -> Item:
    return replace(item, beats=read_beats(path), beats_from="file", digest=digest(item.digest.encode(), path.read_bytes()))


def _with_music(item: Item, path: Path) -> Item:
    return replace(item, sound=path, digest=digest(item.digest.encode(), path.read_bytes()))


def _with_portrait(item: Item, path: Path) -> Item:
    return replace(item, portrait=path, digest=digest(item.digest.encode(), path.read_bytes()))


def read_beats(path: Path) -> Float[NDArray, " _"]:
    """Beats in seconds: a JSON list (or an object with `beats`), or numbers in a text file, one a line.

    Raises:
        XDancerError: not readable as such, or not ascending.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = parse_json(text) if path.suffix == ".json" else [float(word) for word in text.split()]
        times = np.asarray(value["beats"] if isinstance(value, dict) else value, dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise XDancerError(f"{path}: not readable as beats ({error}). It needs a list of seconds: JSON, or one number a line.") from error
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise XDancerError(f"{path}: beats need to be ascending seconds, found {str(times)[:60]}.")
    return times
