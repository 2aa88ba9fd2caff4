"""Poses that other systems write, as arrays in the coordinates of `PoseBatch`.

Known by their content, whatever they are called:

- ours: `.npy` of numbers (frame, 60, 3) or (60, 3);
- MusePose: `.npy` of one dictionary per frame, with `bodies` (`candidate`, `subset`) and `hands`; the same as a pickled list;
- Animate-X and UniAnimate: a pickled dictionary with `bodies` (frame, 18, 2), `hands` (frame, 2, 21, 2), `size` and `fps`;
- OpenPose, ComfyUI, DisCo: JSON, see `pose_json`; a folder is a clip of one JSON file per frame.

Pickles are read by `restricted`, which runs nothing.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.lib import format as npy
from numpy.typing import NDArray

from xdancer.errors import PoseError
from xdancer.importers.pose_json import BEYOND, Detections, Size, picture_size, read_bytes, read_json_clip, read_json_folder
from xdancer.importers.restricted import MAGIC, read_pickle
from xdancer.pose.coordinates import hold_missing, to_normalised
from xdancer.skeleton import BODY, BODY_COUNT, KEYPOINT_COUNT, LEFT_HAND, RIGHT_HAND, VISIBLE
from xdancer.strict import array_header

FARTHEST = 20.0
"""Half picture heights from the centre: coordinates beyond are of another unit."""
SHARES = 2.0
"""Coordinates whose median is at most this are shares of the picture, larger ones pixels."""
MOST_PEOPLE = 1_000_000
"""Of one file, frames included: hours of a crowd."""
FORMATS = "Known are .npy (ours, MusePose), pickles (Animate-X, UniAnimate) and JSON (OpenPose, ComfyUI, DisCo)."


@dataclass(frozen=True)
class PoseFile:
    """One person's dance as a file tells it."""

    pose: Float[NDArray, "frame 60 3"]
    """float32, coordinates of `PoseBatch`, confidence in [0, 1]; missing keypoints have confidence 0 and their last known position."""
    fps: float | None
    """Frames per second; None where the file does not say."""
    size: Size | None
    """(height, width) of the pictures, from the file or the caller; None where neither says and none is needed."""
    confidence_known: bool
    """False where the file carries no confidences: those in `pose` then only say whether a keypoint is there (1 or 0), nothing was measured."""
    format: str
    """xdancer, musepose, animate-x, openpose, comfyui or disco."""
    notes: tuple[str, ...] = ()
    """What was guessed, chosen or cut."""

    def __post_init__(self) -> None:
        if self.pose.ndim != 3 or self.pose.shape[1:] != (KEYPOINT_COUNT, 3) or self.pose.dtype != np.float32:
            raise ValueError(f"PoseFile needs float32 (frame, {KEYPOINT_COUNT}, 3), got {self.pose.dtype} {self.pose.shape}.")


def read_pose_file(path: Path, *, size: Size | None = None) -> PoseFile:
    """The poses of a file, or of a folder of JSON files that is one clip.

    Of several people in a frame the one with the largest box is taken, and said. The neck is made from the shoulders where the format has none.

    Args:
        path: file or folder; its name tells nothing.
        size: (height, width) of the pictures in pixels, for formats that do not carry it; where the file does, the file is believed.

    Raises:
        PoseError: missing, of no known format, damaged, without a person, or coordinates that need a size which neither file nor caller gives.
        XDancerError: a pickle that asks for more than plain values and numpy arrays.
    """
    size = None if size is None else picture_size(size, f"size {str(size)[:40]}")
    if path.is_dir():
        return _finished(read_json_folder(path), size, path)
    content = read_bytes(path)
    if content.startswith(npy.MAGIC_PREFIX):
        found = _npy(content, path)
        if isinstance(found, np.ndarray):
            return PoseFile(_own(found, path), None, size, True, "xdancer")
    elif content.startswith(MAGIC):
        value = read_pickle(content, where=str(path))
        found = _animate_x(value, path) if isinstance(value, dict) else _musepose(value, path)
    elif content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        found = read_json_clip(path, content)
    else:
        raise PoseError(f"{path}: no file of poses (begins with {content[:8]!r}). {FORMATS}")
    return _finished(found, size, path)


def _npy(content: bytes, path: Path) -> NDArray[Any] | Detections:
    """Numbers as they are, or the frames of an array of objects."""
    stream = io.BytesIO(content)
    try:
        shape, fortran, dtype = array_header(stream)
    except ValueError as error:
        raise PoseError(f"{path}: a damaged .npy ({str(error)[:100]}). Write it again with numpy.save.") from error
    body = content[stream.tell() :]
    if dtype.kind == "O":
        value = read_pickle(body, where=str(path))
        if not isinstance(value, np.ndarray) or value.shape != shape:
            found = f"an array {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise PoseError(f"{path}: its header says {shape}, its content is {found}. Write it again with numpy.save.")
        return _musepose(value.ravel().tolist(), path)
    if dtype.kind not in "fiu" or math.prod(shape) * dtype.itemsize != len(body):
        raise PoseError(f"{path}: its header says {dtype} {shape}, its content has {len(body)} bytes. {_OWN}")
    return np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C")


_OWN = f"Ours are numbers (frames, {KEYPOINT_COUNT}, 3), written with numpy.save."


def _own(array: NDArray[Any], path: Path) -> Float[NDArray, "frame 60 3"]:
    """Our own layout, checked."""
    if array.ndim not in (2, 3) or array.shape[-2:] != (KEYPOINT_COUNT, 3) or not array.size:
        raise PoseError(f"{path}: holds {array.dtype} {array.shape}. {_OWN}")
    pose = array.reshape(-1, KEYPOINT_COUNT, 3).astype(np.float64)
    if not np.isfinite(pose).all():
        raise PoseError(f"{path}: {int((~np.isfinite(pose)).sum())} values are NaN or infinite. Give a missing keypoint confidence 0.")
    if (farthest := float(np.abs(pose[..., :2]).max())) > FARTHEST:
        raise PoseError(f"{path}: coordinates up to {farthest:.4g}: pixels? The origin is the picture's centre, the unit half its height.")
    if pose[..., 2].min() < 0 or pose[..., 2].max() > 1:
        raise PoseError(f"{path}: confidences from {pose[..., 2].min():g} to {pose[..., 2].max():g}. They lie in 0 … 1.")
    if not pose[..., 2].any():
        raise PoseError(f"{path}: nobody is seen in any of {len(pose)} frames (all confidences are 0).")
    return hold_missing(pose.astype(np.float32))


def _animate_x(value: Mapping[Any, Any], path: Path) -> Detections:
    """A dictionary of arrays over all frames; −1 marks what is missing."""
    body = _floats(value.get("bodies"), (None, BODY_COUNT, 2), f"{path}, bodies")
    frames = len(body)
    poses = np.zeros((frames, KEYPOINT_COUNT, 3), np.float32)
    poses[:, BODY] = _with_presence(body)
    if value.get("body_indices") is not None:
        poses[:, BODY, 2] *= _floats(value["body_indices"], (frames, BODY_COUNT), f"{path}, body_indices") >= 0
    if value.get("hands") is not None:
        hands = _with_presence(_floats(value["hands"], (frames, 2, 21, 2), f"{path}, hands"))
        poses[:, LEFT_HAND], poses[:, RIGHT_HAND] = hands[:, 0], hands[:, 1]
    size = None if value.get("size") is None else picture_size(value["size"], f"{path}, size")
    fps, notes = value.get("fps"), ()
    rate = float(fps) if isinstance(fps, int | float | np.integer | np.floating) and math.isfinite(fps) and 1 <= fps <= 1000 else None
    if rate in (23.0, 29.0, 59.0):
        notes = (f"{rate:.0f} frames per second as the file says; its writer cuts fractions off, so {(rate + 1) / 1.001:.2f} is likely",)
    elif rate is None and fps is not None:
        notes = ("the file's frame rate is no number from 1 to 1000: taken for unknown",)
    return Detections(poses, np.arange(frames), frames, "animate-x", False, True, size, rate, notes)


def _musepose(frames: Any, path: Path) -> Detections:
    """One dictionary per frame."""
    if not isinstance(frames, Sequence) or not frames or not all(isinstance(frame, dict) and "bodies" in frame for frame in frames):
        raise PoseError(f"{path}: neither a dictionary with `bodies` nor a list of them. {FORMATS}")
    people: list[NDArray[np.float32]] = []
    total = 0
    for number, frame in enumerate(frames):
        people.append(_musepose_frame(frame, f"{path}, frame {number}"))
        total += len(people[-1]) + 1
        if total > MOST_PEOPLE:  # a pickle can name one frame of thousands thousands of times
            raise PoseError(f"{path}: more than {MOST_PEOPLE:,} people in {number + 1} frames. Cut the clip into shorter ones.")
    measured = all(_has_scores(frame) for frame in frames)
    poses = np.concatenate([poses if measured else np.where([True, True, False], poses, poses > 0) for poses in people])
    index = np.repeat(np.arange(len(people)), [len(poses) for poses in people])
    return Detections(poses, index, len(people), "musepose", measured, True)


def _has_scores(frame: Mapping[Any, Any]) -> bool:
    return frame["bodies"].get("score") is not None and frame.get("hands_score") is not None


def _musepose_frame(frame: Mapping[Any, Any], where: str) -> Float[NDArray, "person 60 3"]:
    """Everybody in a frame: `subset` says which row of `candidate` is which keypoint, −1 for none; hands lie all left ones first."""
    bodies = frame["bodies"]
    if not isinstance(bodies, dict):
        raise PoseError(f"{where}: bodies is of type {type(bodies).__name__}, needed is a dictionary with `candidate` and `subset`.")
    candidate = _floats(bodies.get("candidate"), (None, None), f"{where}, candidate")
    subset = _floats(bodies.get("subset"), (None, None), f"{where}, subset")
    columns, subset = subset.shape[1], subset[:, :BODY_COUNT]
    rows = subset.astype(np.int64)
    if subset.shape[1] != BODY_COUNT or candidate.shape[1] < 2 or (rows != subset).any() or rows.max(initial=-1) >= len(candidate):
        raise PoseError(
            f"{where}: candidate {candidate.shape} and subset {subset.shape} do not fit: subset holds {BODY_COUNT} rows of candidate (or −1)."
        )
    poses = np.zeros((len(rows), KEYPOINT_COUNT, 3), np.float32)
    there = rows >= 0
    poses[:, BODY][there] = np.concatenate([candidate[rows[there], :2], np.ones((int(there.sum()), 1))], axis=-1)
    if _has_scores(frame):
        poses[:, BODY, 2] = _scores(bodies["score"], (len(rows), columns), f"{where}, score")[:, :BODY_COUNT] * there
    if frame.get("hands") is not None:
        hands = _with_presence(_floats(frame["hands"], (2 * len(rows), 21, 2), f"{where}, hands"))
        if _has_scores(frame):
            hands[..., 2] *= _scores(frame["hands_score"], (2 * len(rows), 21), f"{where}, hands_score")
        poses[:, LEFT_HAND], poses[:, RIGHT_HAND] = hands[: len(rows)], hands[len(rows) :]
    return poses


def _floats(value: Any, shape: tuple[int | None, ...], where: str) -> NDArray[np.float64]:
    """An array of finite numbers of that shape, None standing for any length."""
    wanted = f"({', '.join('any' if length is None else str(length) for length in shape)})"
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        found = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise PoseError(f"{where}: {found}, needed are numbers {wanted}.")
    if value.ndim != len(shape) or any(length not in (None, real) for length, real in zip(shape, value.shape, strict=True)):
        raise PoseError(f"{where}: shape {value.shape}, needed is {wanted}.")
    numbers = value.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise PoseError(f"{where}: {int((~np.isfinite(numbers)).sum())} values are NaN or infinite. Mark a missing keypoint by −1.")
    if (farthest := float(np.abs(numbers).max(initial=0))) > BEYOND:
        raise PoseError(f"{where}: values up to {farthest:.4g}, beyond any picture. Write shares of its width and height (0 … 1).")
    return numbers


def _scores(value: Any, shape: tuple[int | None, ...], where: str) -> NDArray[np.float64]:
    """Confidences, cut to [0, 1]."""
    return _floats(value, shape, where).clip(0, 1)


def _with_presence(points: Float[NDArray, "*axes 2"]) -> Float[NDArray, "*axes 3"]:
    """Confidence 1 beside every point, 0 beside those at (−1, −1) or (0, 0), which mark what is missing."""
    missing = (points == -1).all(-1) | (points == 0).all(-1)
    return np.concatenate([points, ~missing[..., None]], axis=-1)


def _finished(found: Detections, size: Size | None, path: Path) -> PoseFile:
    """One person in our coordinates."""
    notes = list(found.notes)
    if found.size is not None and size is not None and found.size != size:
        notes.append(f"the file's own size {found.size[1]}×{found.size[0]} is used, not the given {size[1]}×{size[0]}")
    height_width = found.size or size
    pose, crowded = _largest(found)
    there = pose[..., 2] > 0
    if not there.any():
        raise PoseError(f"{path}: nobody is seen in any of {found.frames} frames.")
    if crowded:
        notes.append(f"several people in {crowded} of {found.frames} frames: the largest box of each frame is followed")
    if height_width is None:
        raise PoseError(f"{path}: {found.format} files of this kind do not say how large the pictures are. Give the size (height, width).")
    shares = float(np.median(np.abs(pose[there][:, :2]))) <= SHARES
    if found.shares is not shares:
        notes.append(f"coordinates are taken for {'shares of the width and height (0 … 1)' if shares else 'pixels'}")
    pixels = pose * ((height_width[1], height_width[0], 1) if shares else 1)
    _check_places(pixels[there], height_width, path, shares=shares)
    if not found.measured:
        notes.append("no confidences in the file: 1 stands for there, 0 for missing")
    own = to_normalised(pixels, width=height_width[1], height=height_width[0])
    return PoseFile(hold_missing(own), found.fps, height_width, found.measured, found.format, tuple(notes))


def _largest(found: Detections) -> tuple[Float[NDArray, "frame 60 3"], int]:
    """The person with the largest box of each frame (zeros where nobody is), and how many frames show several people."""
    pose = np.zeros((found.frames, KEYPOINT_COUNT, 3), np.float32)
    best, seen = np.full(found.frames, -1.0), np.zeros(found.frames, dtype=np.int64)
    for frame, person in zip(found.frame, found.people, strict=True):
        if not (person[:, 2] > 0).any():
            continue
        seen[frame] += 1
        points = person[person[:, 2] >= VISIBLE, :2]
        area = float(np.prod(np.ptp(points, axis=0))) if len(points) else 0.0
        if area > best[frame]:
            best[frame], pose[frame] = area, person
    return pose, int((seen > 1).sum())


def _check_places(points: Float[NDArray, "point 3"], size: Size, path: Path, *, shares: bool) -> None:
    """Refuse coordinates that lie outside of the picture too often or too far."""
    height, width = size
    outside = ((points[:, :2] < 0) | (points[:, :2] > (width, height))).any(-1)
    if shares and float((points[:, :2] < 0).mean()) > 0.2:
        raise PoseError(f"{path}: a fifth of the coordinates is negative: from −1 to 1? Write them in pixels or from 0 to 1.")
    if outside.mean() > 0.5 or np.abs(points[:, :2] - (width / 2, height / 2)).max() > FARTHEST * height / 2:
        raise PoseError(
            f"{path}: {outside.mean():.0%} of the keypoints lie outside of a picture of {width}×{height}, as far as "
            f"{points[:, 0].max():.0f}, {points[:, 1].max():.0f}. Give the size that the poses were found in."
        )
