"""Poses in JSON: OpenPose and ComfyUI (`people`), and DisCo (a list of people with `keypoints`), in one file or one file per frame."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from xdancer.errors import PoseError
from xdancer.pose.detector import add_neck
from xdancer.pose.wholebody import COCO_BODY
from xdancer.skeleton import BODY, KEYPOINT_COUNT, LEFT_HAND, RIGHT_HAND
from xdancer.strict import parse_json

Size = tuple[int, int]
"""(height, width) of a picture, pixels."""

LARGEST = 256 * 2**20
"""Bytes of one file: hours of poses."""
BODY_LENGTHS = {54: tuple(range(18)), 75: (*range(8), *range(9, 19))}
"""Numbers in `pose_keypoints_2d` → which points are our 18: COCO-18 in its order, or BODY_25, which has a mid-hip and feet more."""
HANDS = {"hand_left_keypoints_2d": LEFT_HAND, "hand_right_keypoints_2d": RIGHT_HAND}
BEYOND = 1e9
"""No coordinate of a picture, in whatever unit."""
ABOVE_ONE = 1.25
"""Peaks of OpenPose's heat maps exceed 1 by a little; confidences beyond this are of another kind."""
MOST_HOLES = 0.5
"""Share of a clip's frames that may lack a file: detectors write none where they see nobody."""


@dataclass(frozen=True)
class Detections:
    """Everybody whom a file shows, in the file's own coordinates (from the picture's upper left corner)."""

    people: Float[NDArray, "person 60 3"]
    """x, y, confidence; confidence 0 where a keypoint is missing."""
    frame: Int[NDArray, " person"]
    """In which frame."""
    frames: int
    format: str
    measured: bool
    """Whether the confidences come from a detector."""
    shares: bool | None
    """True: coordinates are documented as shares of the picture's width and height; False: as pixels; None: either."""
    size: Size | None = None
    fps: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Frame:
    people: list[NDArray[np.float32]]
    format: str | None
    """None where the frame shows nobody, so that nothing tells."""
    size: Size | None = None


def read_bytes(path: Path) -> bytes:
    """The content of a file of poses.

    Raises:
        PoseError: missing, unreadable, empty or larger than any clip.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise PoseError(f"{path}: cannot be read ({error.strerror or error}). Give a file of poses.") from error
    if size > LARGEST:
        raise PoseError(f"{path}: {size / 2**20:.0f} MB, a file of poses has at most {LARGEST / 2**20:.0f}. Cut the clip into shorter ones.")
    if not content:
        raise PoseError(f"{path}: an empty file. Write the poses again.")
    return content


def read_json_clip(path: Path, content: bytes) -> Detections:
    """A clip in one file: ComfyUI's list of frames, or a single frame of OpenPose or DisCo.

    Raises:
        PoseError: no JSON, another layout, wrong lengths, or numbers that are none.
    """
    return _joined(_frames(_parse(content, path), str(path)), path)


def read_json_folder(folder: Path) -> Detections:
    """A clip of one file per frame; the names differ in the frame's number alone, and frames without a file show nobody.

    Raises:
        PoseError: as `read_json_clip`; no JSON in the folder, names that differ in more than a number, or too many numbers without a file.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".json" and not path.name.startswith("."))
    if not paths:
        raise PoseError(f"{folder}: a folder without .json. A folder is read as one clip of one JSON file per frame; else give one file.")
    numbered = _frame_numbers(paths, folder)
    frames = [_Frame([], None) for _ in range(max(numbered) + 1)]
    for number, path in numbered.items():
        found = _frames(_parse(read_bytes(path), path), str(path))
        if len(found) != 1:
            raise PoseError(
                f"{path}: holds {len(found)} frames. In a folder that is one clip each file holds one; give files like this one by one."
            )
        frames[number] = found[0]
    holes = len(frames) - len(paths)
    notes = (f"{holes} of {len(frames)} frames have no file: taken for frames that show nobody",) if holes else ()
    return _joined(frames, folder, notes)


def _frame_numbers(paths: Sequence[Path], folder: Path) -> dict[int, Path]:
    """Position in the clip → file."""
    if len(paths) == 1:
        return {0: paths[0]}
    parts = [re.split(r"(\d+)", path.name) for path in paths]
    alike = len({len(part) for part in parts}) == 1
    places = [place for place in range(len(parts[0])) if len({part[place] for part in parts}) > 1] if alike else []
    if len(places) != 1 or places[0] % 2 == 0 or len({int(part[places[0]]) for part in parts}) < len(parts):
        raise PoseError(
            f"{folder}: {paths[0].name} and {paths[-1].name} differ in more than a frame number: "
            "several clips? Give each clip its own folder, or one file per clip."
        )
    numbered = sorted((int(part[places[0]]), path) for part, path in zip(parts, paths, strict=True))
    step = math.gcd(*(later - earlier for (earlier, _), (later, _) in pairwise(numbered)))
    frames = (numbered[-1][0] - numbered[0][0]) // step + 1
    if frames - len(paths) > MOST_HOLES * frames:
        raise PoseError(
            f"{folder}: {len(paths)} files for the frames {numbered[0][0]} to {numbered[-1][0]}: more than half are missing. "
            "Number the files by frame."
        )
    return {(number - numbered[0][0]) // step: path for number, path in numbered}


def _parse(content: bytes, path: Path) -> Any:
    try:
        return parse_json(content, largest=LARGEST)
    except ValueError as error:
        raise PoseError(f"{path}: not readable as JSON ({str(error)[:100]}). Write the file again.") from error


def _frames(content: Any, where: str) -> list[_Frame]:
    """The frames in one file."""
    entries = content if isinstance(content, list) else [content]
    if all(isinstance(entry, dict) and isinstance(entry.get("people"), list) for entry in entries) and entries:
        return [_openpose(entry, f"{where}, frame {number}") for number, entry in enumerate(entries)]
    if isinstance(content, list) and all(isinstance(entry, dict) and "keypoints" in entry for entry in entries):
        if len({str(entry.get("image_id"))[:80] for entry in entries}) > 1:
            raise PoseError(f"{where}: people of several pictures (image_id). Write one file per frame into a folder.")
        people = [_coco(entry["keypoints"], f"{where}, person {number}") for number, entry in enumerate(entries)]
        return [_Frame(people, "disco" if people else None)]
    raise PoseError(
        f"{where}: JSON without poses. Needed is an object with `people` (OpenPose), a list of them (ComfyUI), "
        "or a list of people with `keypoints` (DisCo)."
    )


def _openpose(entry: dict[str, Any], where: str) -> _Frame:
    people = []
    for number, person in enumerate(entry["people"]):
        place = f"{where}, person {number}"
        if not isinstance(person, dict) or "pose_keypoints_2d" not in person:
            raise PoseError(f"{place}: no `pose_keypoints_2d`. Write what OpenPose or ComfyUI writes.")
        pose = np.zeros((KEYPOINT_COUNT, 3), np.float32)
        if body := person["pose_keypoints_2d"]:
            numbers = _numbers(body, tuple(BODY_LENGTHS), f"{place}, pose_keypoints_2d")
            pose[BODY] = numbers[list(BODY_LENGTHS[numbers.size])]
        for name, part in HANDS.items():
            if hand := person.get(name):
                pose[part] = _numbers(hand, (63,), f"{place}, {name}")
        people.append(pose)
    width, height = entry.get("canvas_width"), entry.get("canvas_height")
    known = width is not None or height is not None
    size = picture_size((height, width), f"{where}, canvas_height and canvas_width") if known else None
    return _Frame(people, "comfyui" if known else "openpose", size)


def _coco(keypoints: Any, where: str) -> NDArray[np.float32]:
    """COCO-17 as triples or flat; the neck is made from the shoulders."""
    nested = isinstance(keypoints, list) and all(isinstance(point, list) and len(point) == 3 for point in keypoints)
    numbers = _numbers([value for point in keypoints for value in point] if nested else keypoints, (51,), f"{where}, keypoints")
    numbers[numbers[:, 2] <= 0] = 0
    pose = np.zeros((KEYPOINT_COUNT, 3), np.float32)
    pose[BODY] = numbers[list(COCO_BODY)]
    add_neck(pose)
    return pose


def _numbers(value: Any, lengths: tuple[int, ...], where: str) -> NDArray[np.float32]:
    """(point, 3) of a flat list x, y, confidence …"""
    expected = " or ".join(str(length) for length in lengths)
    if not isinstance(value, list) or len(value) not in lengths:
        found = f"{len(value)} numbers" if isinstance(value, list) else type(value).__name__
        raise PoseError(f"{where}: {found}, needed are {expected} (x, y, confidence per keypoint).")
    if any(type(number) not in (int, float) for number in value):
        raise PoseError(f"{where}: holds something else than numbers. Needed are {expected} (x, y, confidence per keypoint).")
    if not all(math.isfinite(number) and abs(number) < BEYOND for number in value):
        raise PoseError(f"{where}: a value is infinite or beyond any picture. Give a missing keypoint confidence 0.")
    return np.array(value, dtype=np.float32).reshape(-1, 3)


def picture_size(value: Any, where: str) -> Size:
    """(height, width) from two positive whole numbers, further ones (channels) left out.

    Raises:
        PoseError: anything else.
    """
    value = np.atleast_1d(value) if isinstance(value, np.ndarray) else value
    numbers = list(value) if isinstance(value, list | tuple | np.ndarray) else []
    whole = [isinstance(n, int | float | np.integer | np.floating) and math.isfinite(n) and 1 <= n <= 10**6 and n == int(n) for n in numbers]
    if len(numbers) not in (2, 3) or not all(whole):
        raise PoseError(f"{where}: no size of a picture. Needed are height and width in pixels.")
    return int(numbers[0]), int(numbers[1])


def _joined(frames: list[_Frame], where: Path, notes: tuple[str, ...] = ()) -> Detections:
    """The frames as one clip of one format and size."""
    formats = {frame.format for frame in frames if frame.format is not None}
    sizes = {frame.size for frame in frames if frame.size is not None}
    if len(formats) > 1:
        raise PoseError(f"{where}: frames of several formats ({', '.join(sorted(formats))}). Give one clip of one kind.")
    if len(sizes) > 1:
        raise PoseError(f"{where}: frames of several sizes ({', '.join(f'{w}×{h}' for h, w in sorted(sizes))}). Write the clip in one size.")
    people = [pose for frame in frames for pose in frame.people]
    stacked = np.stack(people) if people else np.zeros((0, KEYPOINT_COUNT, 3), np.float32)
    confidence = stacked[..., 2].clip(min=0)
    if len(people) and confidence.max() > ABOVE_ONE:
        raise PoseError(f"{where}: confidences up to {confidence.max():g}. They lie in 0 … 1.")
    if len(people) and confidence.max() > 1:
        notes = (*notes, f"confidences up to {confidence.max():.3g} were cut to 1")
    stacked[..., 2] = confidence.clip(max=1)
    measured = bool(((confidence > 0) & (confidence < 1)).any())
    kind = next(iter(formats), "openpose")
    return Detections(
        stacked, np.repeat(np.arange(len(frames)), [len(frame.people) for frame in frames]), len(frames), kind, measured,
        False if kind == "disco" else None, next(iter(sizes), None), None, notes,
    )  # fmt: skip
