"""`--poses DIR`: keypoints that somebody found before, read from files beside the videos instead of looked for in the pictures."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer import media
from xdancer.errors import PoseError, XDancerError
from xdancer.importers.pose_files import PoseFile, read_pose_file
from xdancer.pose.coordinates import resample_poses, to_pixels
from xdancer.pose.detector import DetectedPose, PoseDetector
from xdancer.prepare.looking import picture_times
from xdancer.prepare.settings import PrepareSettings, file_digest
from xdancer.prepare.sniff import EXTENSIONS
from xdancer.prepare.sources import Cut, Source
from xdancer.skeleton import KEYPOINT_COUNT
from xdancer.types import ClipSample

ENDINGS = (".npy", ".pkl", ".pickle", ".json")
SPARE = 2
"""Pictures that a file may have more or less than its video: programs drop the first or last one."""
ASPECT = 0.02
"""By which share width / height of the file's pictures may differ from the video's."""
FORMATS = (
    "Known are .npy (ours, MusePose), .pkl (Animate-X, UniAnimate), .json and folders of one .json per picture (OpenPose, ComfyUI, DisCo)."
)
DRAWN = "is a video of drawn skeletons, which holds no keypoints: leave --poses out, and they are found in the pictures"


def with_poses(sources: Sequence[Source], folder: Path) -> list[Source]:
    """The videos, each with the place of its poses (`DIR/take1.npy` for `take1.mp4`); the content of those becomes part of the video's digest.

    Raises:
        XDancerError: no such folder, or no video has poses in it.
    """
    if not folder.is_dir():
        raise XDancerError(f"--poses {folder}: no such folder. Give one with a file of poses for each video, named like it.")
    found = []
    for source in sources:
        place = _place(folder, source.name)
        digest = source.digest if place is None else hashlib.sha256(f"{source.digest} {_digest(place)}".encode()).hexdigest()
        found.append(replace(source, poses=(place or folder / Path(source.name).with_suffix("")).absolute(), digest=digest))
    if not any(source.poses.exists() for source in found if source.poses is not None):
        drawn = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in EXTENSIONS]
        why = f"{drawn[0].name} {DRAWN}" if drawn else f"none is named like a video, such as {Path(sources[0].name).stem}.npy"
        raise XDancerError(f"--poses {folder}: holds no poses of these {len(sources)} videos; {why}. {FORMATS}")
    return found


class PoseFiles(PoseDetector):
    """What a run's report names where poses come from files."""

    name, version, device = "pose files", "1", "cpu"

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[DetectedPose]:
        raise AssertionError("poses are read for one cut at a time")


class CutPoses(PoseFiles):
    """The poses of one cut, in the place of a detector that is shown its pictures."""

    def __init__(self, cut: Cut, settings: PrepareSettings) -> None:
        self.cut, self.fps = cut, settings.source_fps
        self.found: PoseFile | None = None

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[DetectedPose]:
        """One pose per picture, from the cut's first picture on.

        Raises:
            PoseError: no poses, damaged ones, or those of another video.
        """
        path = self.cut.source.path
        times = picture_times(path, self.fps)
        first = int(np.searchsorted(times, self.cut.start - 1e-6))
        info = media.probe(path)
        self.found = _read(self.cut.source, (info.height, info.width))
        pixels = to_pixels(_at(self.found, times, self.cut.source), width=info.width, height=info.height)
        for number, _ in enumerate(frames, start=first):
            yield DetectedPose(pixels[number] if number < len(pixels) else np.zeros((KEYPOINT_COUNT, 3), np.float32))

    def marked(self, sample: ClipSample) -> ClipSample:
        """The clip with what is known about its poses: their format, and whether anybody measured the confidences."""
        assert self.found is not None, "the poses were not read"
        meta: dict[str, Any] = {"detector": f"{self.found.format} file", "confidence": "measured" if self.found.confidence_known else "absent"}
        return replace(sample, meta={**sample.meta, **meta, "pose_notes": list(self.found.notes)})


def _read(source: Source, size: tuple[int, int]) -> PoseFile:
    """The file's poses, if they can be those of pictures of that size (height, width)."""
    path = source.poses
    assert path is not None, "no --poses"
    if not path.exists():
        drawn = next((path.with_suffix(ending) for ending in sorted(EXTENSIONS) if path.with_suffix(ending).is_file()), None)
        reason = f"{drawn.name} {DRAWN}" if drawn is not None else f"no {', '.join(ENDINGS)} or folder of that name"
        raise PoseError(f"no poses of it at {path.parent}: {reason}")
    try:
        found = read_pose_file(path, size=size)
    except PoseError:
        raise
    except XDancerError as error:  # a pickle that is refused costs this video, not the run
        raise PoseError(str(error)) from error
    if found.size is not None and abs(found.size[1] / found.size[0] / (size[1] / size[0]) - 1) > ASPECT:
        raise PoseError(f"{path.name}: poses of pictures of {found.size[1]}×{found.size[0]}, the video has {size[1]}×{size[0]}")
    return found


def _at(found: PoseFile, times: NDArray[np.float64], source: Source) -> Float[NDArray, "picture 60 3"]:
    """The poses at the moments of the video's pictures: one for each, or by the file's own frame rate."""
    count = len(found.pose)
    if abs(count - len(times)) <= SPARE:
        return found.pose
    length = float(times[-1] + np.median(np.diff(times))) if len(times) > 1 else 0.0
    if found.fps is not None and abs(count / found.fps - length) <= max(0.25, 0.02 * length):
        return resample_poses(found.pose, np.arange(count) / found.fps, times)
    rate = "" if found.fps is None else f" at {found.fps:g} per second"
    name = "poses" if source.poses is None else source.poses.name
    raise PoseError(
        f"{name}: {count} poses{rate} for {len(times)} pictures of {length:.1f} s: of another video, or found at another frame rate"
    )


def _place(folder: Path, name: str) -> Path | None:
    """The file or folder of a video's poses, under its path or its name alone."""
    for stem in dict.fromkeys((Path(name).with_suffix("").as_posix(), Path(name).stem)):
        for place in (*(folder / f"{stem}{ending}" for ending in ENDINGS), folder / stem):
            if place.is_file() if place.suffix in ENDINGS else place.is_dir() and any(place.glob("*.json")):
                return place
    return None


def _digest(place: Path) -> str:
    if place.is_file():
        return file_digest(place)
    return hashlib.sha256("".join(f"{path.name} {file_digest(path)}\n" for path in sorted(place.glob("*.json"))).encode()).hexdigest()
