"""Data sets in the layouts of others: recognised by their folders, read without a detector where their poses are 2D keypoints."""

import csv
import io
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xdancer import media
from xdancer.errors import PoseError, XDancerError
from xdancer.files import write_text
from xdancer.importers.aist import SMPL, annotations, music_of
from xdancer.importers.dances import Dance, Seen
from xdancer.importers.pose_files import read_pose_file
from xdancer.pose.coordinates import to_pixels
from xdancer.prepare.sources import EXTENSIONS, Source, find_videos
from xdancer.strict import read_json_file

Layout = Literal["auto", "videos", "aist", "edge", "finedance"]
LAYOUTS = (
    "Known are: videos/ beside a folder of pose files with equal names (videos_dwpose/, or --poses DIR); AIST++ (annotations/keypoints2d/); "
    "EDGE (wavs_sliced/); FineDance (music_wav/, label_json/)."
)
SOUNDS = frozenset((".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus")) | EXTENSIONS
ENDINGS = (".npy", ".pkl", ".pickle", ".json", "")
"""Of a clip's pose file; a folder of one JSON file per frame has none."""
MOST_APART = 2
"""Frames by which poses and pictures of a video may differ in number: writers lose the last ones."""
LARGEST_LABEL = 2**20
"""Bytes of one label."""
RENDERED = (
    "holds videos of drawn skeletons, as MusePose and Moore-AnimateAnyone write them: no keypoints can be read from those. "
    "Give the folder of the pose files with --poses (MusePose: *_dwpose_keypoints), or run `xdancer prepare` on the videos"
)


def recognise(folder: Path) -> Layout:
    """Which layout a folder has.

    Raises:
        XDancerError: none that is known.
    """
    if not folder.is_dir():
        raise XDancerError(f"{folder}: no such folder. {LAYOUTS}")
    if annotations(folder) is not None:
        return "aist"
    if edge_sounds(folder):
        return "edge"
    if (folder / "label_json").is_dir() or (folder / "music_wav").is_dir():
        return "finedance"
    if (folder / "videos").is_dir() or any(path.suffix.lower() in EXTENSIONS for path in folder.iterdir()):
        return "videos"
    raise XDancerError(f"{folder}: no layout that is known. {LAYOUTS}")


def edge_sounds(folder: Path) -> list[Path]:
    """EDGE's folders of sliced songs."""
    return [place for place in (folder / "wavs_sliced", folder / "train/wavs_sliced", folder / "test/wavs_sliced") if place.is_dir()]


def sounds_in(*folders: Path) -> dict[str, Path]:
    """Sound and video files by lower-case stem; of equal stems the first.

    Raises:
        XDancerError: no such folder, or nothing in it that sounds.
    """
    found = dict[str, Path]()
    for folder in folders:
        if not folder.is_dir():
            raise XDancerError(f"--music {folder}: no such folder. Give the folder of the songs.")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SOUNDS and path.is_file() and not path.name.startswith("."):
                found.setdefault(path.stem.lower(), path)
    if not found:
        raise XDancerError(f"--music {' '.join(map(str, folders))}: holds no sound ({', '.join(sorted(SOUNDS - EXTENSIONS))}, or videos).")
    return found


def video_dances(
    folder: Path, *, poses: Path | None = None, groups: Path | None = None, pose_fps: float | None = None
) -> tuple[list[Dance], dict[str, str]]:  # fmt: skip
    """Dances of videos whose poses lie in files beside them, and what is left out with reasons.

    Args:
        folder: holds `videos/` and the folder of the pose files, or is itself the videos' folder with the other beside it.
        poses: the folder of the pose files, where its name does not tell.
        groups: CSV with the columns video,song.
        pose_fps: of the pose files, where they have another rate than the videos.

    Raises:
        XDancerError: no videos, no pose files, or several folders of them.
    """
    videos = folder / "videos" if (folder / "videos").is_dir() else folder
    sources = find_videos(videos, groups)
    place = pose_folder(videos, sources) if poses is None else poses
    if not place.is_dir():
        raise XDancerError(f"--poses {place}: no such folder. {LAYOUTS}")
    dances, left_out = list[Dance](), dict[str, str]()
    for source in sources:
        path = pose_file(place, source.name)
        if path is None:
            rendered = (place / source.name).is_file()
            left_out[source.name] = f"{place.name} {RENDERED}" if rendered else f"no pose file of this name in {place}"
            continue
        dances.append(
            Dance(source.name, source.song, partial(_read_pair, path, source, pose_fps), source.path, identity=Path(source.name).stem)
        )
    if not dances and any(RENDERED in reason for reason in left_out.values()):
        raise XDancerError(f"{place} {RENDERED}.")
    return dances, left_out


def pose_file(folder: Path, name: str) -> Path | None:
    """The pose file or folder of a clip, by its name without ending."""
    stem = Path(name).with_suffix("").as_posix()
    paths = [folder / f"{stem}{ending}" for ending in ENDINGS]
    return next((path for path in paths if path.is_file() or (path.is_dir() and any(path.glob("*.json")))), None)


def pose_folder(videos: Path, sources: list[Source]) -> Path:
    """The folder beside the videos that holds pose files of their names.

    Raises:
        XDancerError: none, several, or only drawn skeletons.
    """
    beside = [
        path for path in sorted(videos.parent.iterdir())
        if path.is_dir() and path != videos and (videos.name == "videos" or path.name.startswith(f"{videos.name}_"))
    ]  # fmt: skip
    inside = [] if videos.name == "videos" else [path for path in sorted(videos.iterdir()) if path.is_dir()]
    counts = {path: sum(pose_file(path, source.name) is not None for source in sources) for path in (*beside, *inside)}
    found = [path for path, count in counts.items() if count and count == max(counts.values())]
    if len(found) == 1:
        return found[0]
    if found:
        raise XDancerError(f"{videos}: pose files lie in {' and '.join(str(path) for path in found)}. Say which with --poses DIR.")
    drawn = next((path for path in counts if any((path / source.name).is_file() for source in sources)), None)
    if drawn is not None:
        raise XDancerError(f"{drawn} {RENDERED}.")
    raise XDancerError(f"{videos}: no folder of pose files beside it. Give one with --poses DIR, or run `xdancer prepare {videos}`.")


def _read_pair(path: Path, source: Source, pose_fps: float | None) -> Seen:
    info, stamps = media.probe(source.path), media.frame_times(source.path)
    found = read_pose_file(path, size=(info.height, info.width))
    times, note = _moments(len(found.pose), stamps, pose_fps or _other_rate(len(found.pose), stamps, found.fps))
    pixels = to_pixels(found.pose[: len(times)], width=info.width, height=info.height)
    notes = (*found.notes, *note)
    return Seen(pixels, times, (info.height, info.width), found.confidence_known, f"{found.format} file", notes)


def _other_rate(frames: int, stamps: NDArray[np.float64], fps: float | None) -> float | None:
    """The file's own rate, if the poses are not those of the pictures but last as long."""
    apart = abs(frames - len(stamps)) > MOST_APART
    return fps if apart and fps is not None and abs(frames / fps - (stamps[-1] + 1 / fps)) < 0.5 else None


def _moments(frames: int, stamps: NDArray[np.float64], fps: float | None) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Seconds of every pose: those of the pictures, or by a rate."""
    if fps is not None:
        return np.arange(frames) / fps, (f"poses at {fps:g} frames per second",)
    if abs(frames - len(stamps)) > MOST_APART:
        raise PoseError(
            f"{frames} poses for {len(stamps)} pictures: found on another video or at another rate. Give --pose-fps if it is the rate, "
            "else find the poses again."
        )
    note = (f"{frames} poses for {len(stamps)} pictures: the first {min(frames, len(stamps))} are taken",) if frames != len(stamps) else ()
    return stamps[:frames], note


def sound_dances(
    sounds: Mapping[str, Path], poses: Path, *, pose_fps: float | None, labels: Mapping[str, tuple[str, str | None]]
) -> tuple[list[Dance], dict[str, str]]:  # fmt: skip
    """Dances of songs without videos (EDGE, FineDance) whose 2D poses lie in files of equal names.

    Args:
        sounds: file by stem.
        poses: folder of the pose files.
        pose_fps: of the pose files, where they do not say.
        labels: song and style by lower-case stem; else the song is AIST++'s, or the name without `_slice…`.

    Raises:
        XDancerError: no such folder.
    """
    if not poses.is_dir():
        raise XDancerError(f"--poses {poses}: no such folder. Give a folder of pose files called like the songs.")
    dances, left_out = list[Dance](), dict[str, str]()
    for stem, sound in sounds.items():
        path = pose_file(poses, sound.name)
        if path is None:
            left_out[sound.stem] = f"no pose file of this name in {poses}"
            continue
        song, style = labels.get(stem, (music_of(sound.stem) or re.sub(r"_slice\d+$", "", sound.stem), None))
        dances.append(Dance(sound.stem, song, partial(_read_alone, path, pose_fps), sound, style))
    return dances, left_out


def _read_alone(path: Path, pose_fps: float | None) -> Seen:
    found = read_pose_file(path)
    fps = pose_fps or found.fps
    if fps is None:
        raise PoseError(f"{path}: does not say how many frames a second it has. Give --pose-fps.")
    height, width = found.size or (896, 512)  # our own files are in shares of the height: any size does
    pixels = to_pixels(found.pose, width=width, height=height)
    return Seen(pixels, np.arange(len(pixels)) / fps, (height, width), found.confidence_known, f"{found.format} file", found.notes)


def smpl_only(folder: Path, layout: Layout) -> XDancerError:
    """Why an EDGE or FineDance folder cannot be imported as it is, and what to do; its pickles are not opened."""
    if layout == "edge":
        place = " ".join(str(path) for path in edge_sounds(folder)) or "wavs_sliced/"
        return XDancerError(
            f"{folder}: EDGE's motions_sliced/*.pkl (pos, q) {SMPL}. Its dances are AIST++'s, whose 2D keypoints are read by "
            f"`xdancer import dataset ANNOTATIONS --music WAVS`. Or give pose files called like the sounds in {place} with --poses DIR."
        )
    return XDancerError(
        f"{folder}: FineDance's motion/*.npy (315 or 319 numbers a frame) {SMPL}. Run `xdancer prepare VIDEOS --groups songs.csv` "
        f"on its videos, with songs.csv from `xdancer import labels {folder} --out songs.csv`; or give pose files called like the songs with "
        "--poses DIR."
    )


def read_labels(folder: Path) -> dict[str, tuple[str, str | None]]:
    """FineDance's song and finest style by file stem, from `label_json/*.json`.

    Raises:
        XDancerError: no labels, or one that is not JSON or names no song.
    """
    paths = sorted((folder / "label_json").glob("*.json"))
    if not paths:
        raise XDancerError(f"{folder}: no label_json/*.json. Give the folder of FineDance.")
    labels = dict[str, tuple[str, str | None]]()
    for path in paths:
        try:
            value: Any = read_json_file(path, largest=LARGEST_LABEL)
        except (OSError, ValueError) as error:
            raise XDancerError(f"{path}: not readable as JSON ({str(error)[:100]}). Download it again.") from error
        song, style = _text(value, "name", "song_name", "song"), _text(value, "style2", "style1", "genre", "style")
        if song is None:
            raise XDancerError(f"{path}: has no text `name`, the song's. Download it again.")
        labels[path.stem.lower()] = (song, style)
    return labels


def _text(value: Any, *keys: str) -> str | None:
    """The first of these entries that is a text."""
    texts = [value[key].strip() for key in keys if isinstance(value.get(key), str)] if isinstance(value, dict) else []
    return next((text for text in texts if text), None)


def write_groups(folder: Path, out: Path, *, videos: Path | None = None) -> int:
    """Write video,song,style from FineDance's labels, for `xdancer prepare --groups`; returns the rows.

    Args:
        folder: of FineDance.
        out: the CSV file.
        videos: only rows whose video lies in this folder, as `--groups` wants them.

    Raises:
        XDancerError: no labels, or none of them belongs to a video.
    """
    labels = read_labels(folder)
    there = None if videos is None else {Path(source.name).stem.lower() for source in find_videos(videos)}
    rows = [(stem, song, style or "") for stem, (song, style) in labels.items() if there is None or stem in there]
    if not rows:
        raise XDancerError(f"{videos}: no video is called like a label of {folder} (001 …). Name the videos like the labels.")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("video", "song", "style"), *rows])
    write_text(out, text.getvalue())
    return len(rows)
