"""Reading and writing an evaluation folder.

```
DIR/motion/KEY.generated.npy      (frame, 60, 3) float32, 30 fps, coordinates of PoseBatch
DIR/motion/KEY.true.npy           likewise
DIR/motion/KEY.json               {"beats": [s, …], "tempo": BPM, "duration": s, "swapped_beats": [s, …] (optional)}
DIR/motion/KEY.envelope.npy       optional: (frame,) onset strength of the music
DIR/motion/KEY.swapped.npy        optional: the dance from the same first pose to another song
DIR/video/KEY.portrait.png        RGB
DIR/video/KEY.portrait_mask.png   white = person (optional)
DIR/video/KEY.portrait_pose.npy   (60, 3) (optional)
DIR/video/KEY.true.mp4            30 fps; the same frames and size as
DIR/video/KEY.generated.mp4
DIR/video/KEY.mask.mp4            white = person in the true frames
DIR/video/KEY.pose.npy            (frame, 60, 3)
DIR/video/KEY.json                {"identity": text} (optional)
DIR/video/training_mean.png       mean training frame (optional)
```
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from xdancer.errors import XDancerError
from xdancer.files import whole
from xdancer.media import made_by_model, read_image, read_video, write_video
from xdancer.metrics.motion_table import MotionItem
from xdancer.metrics.video_item import VideoItem
from xdancer.skeleton import KEYPOINT_COUNT
from xdancer.strict import read_array, read_json_file
from xdancer.types import FPS

MEAN = "training_mean.png"
QUALITY = 8
"""CRF of the stored videos: compression stays far below every error that is measured."""


def _write(path: Path, save: Callable[[Any], object]) -> None:
    """Write a file under a temporary name and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole(path) as temporary, temporary.open("wb") as file:
            save(file)
    except OSError as error:
        raise XDancerError(f"{path}: cannot be written ({error.strerror}). Free some space or choose another folder.") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """JSON in one stroke; numbers that are not finite are refused (they are no JSON).

    Raises:
        XDancerError: it cannot be written.
    """
    _write(path, lambda file: file.write((json.dumps(value, indent=1, allow_nan=False) + "\n").encode()))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        XDancerError: missing, damaged, or no object.
    """
    try:
        value = read_json_file(path)
    except (OSError, ValueError) as error:
        raise XDancerError(f"{path}: not readable as JSON ({error}). Generate the evaluation folder again.") from error
    if not isinstance(value, dict):
        raise XDancerError(f"{path}: holds a {type(value).__name__}, needs an object. Generate the evaluation folder again.")
    return value


def read_pose(path: Path, *, frames: bool = True) -> NDArray[np.float32]:
    """A pose file, (frame, 60, 3) or, with `frames=False`, (60, 3).

    Raises:
        XDancerError: missing, no npy, of another shape, or not finite.
    """
    try:
        pose = read_array(path)
    except (OSError, ValueError) as error:
        raise XDancerError(f"{path}: not readable as a pose ({error}). It needs a .npy file of shape (frame, {KEYPOINT_COUNT}, 3).") from error
    shape = pose.shape[1:] if frames else pose.shape
    if shape != (KEYPOINT_COUNT, 3) or pose.dtype.kind not in "fiu" or (frames and not len(pose)):
        raise XDancerError(f"{path}: {pose.dtype} of shape {pose.shape}, needs {'(frame, ' if frames else '('}{KEYPOINT_COUNT}, 3).")
    if not np.isfinite(pose).all():
        raise XDancerError(f"{path}: {int((~np.isfinite(pose)).sum())} values are not finite. Mark missing keypoints by confidence 0.")
    return pose.astype(np.float32)


def _read_envelope(path: Path) -> NDArray[np.float64]:
    try:
        envelope = read_array(path)
    except (OSError, ValueError) as error:
        raise XDancerError(f"{path}: not readable as an envelope ({error}). Generate the evaluation folder again.") from error
    if envelope.ndim != 1 or envelope.dtype.kind not in "fiu" or not np.isfinite(envelope).all():
        raise XDancerError(f"{path}: needs finite numbers (frame,). Generate the evaluation folder again.")
    return envelope.astype(np.float64)


def _beats(path: Path, value: Any) -> NDArray[np.float64]:
    try:
        beats = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        beats = np.full((), np.nan)
    if beats.ndim != 1 or not np.isfinite(beats).all():
        raise XDancerError(f"{path}: beats {str(value)[:40]!r}, needs a list of seconds.")
    return np.sort(beats)


def is_empty(folder: Path) -> bool:
    """Whether the folder holds no dance and no video."""
    return not any((folder / "motion").glob("*.generated.npy")) and not any((folder / "video").glob("*.generated.mp4"))


def evaluation_folder(folder: Path) -> Path | None:
    """The folder itself where it holds dances, or the one in a demo's folder; None where neither does."""
    inner = folder / "evaluation"
    place = inner if inner.is_dir() else folder
    return None if is_empty(place) else place


def write_motion_item(folder: Path, item: MotionItem) -> None:
    """Store one generated dance under `folder/motion`.

    Raises:
        XDancerError: the folder cannot be written.
    """
    stem = folder / "motion"
    poses = {"generated": item.generated, "true": item.true} | ({} if item.swapped is None else {"swapped": item.swapped})
    for name, pose in poses.items():
        _write(stem / f"{item.key}.{name}.npy", lambda file, pose=pose: np.save(file, pose.astype(np.float32)))
    if item.envelope is not None:
        envelope = item.envelope.astype(np.float32)
        _write(stem / f"{item.key}.envelope.npy", lambda file: np.save(file, envelope))
    meta = {"beats": [float(beat) for beat in item.beats], "tempo": float(item.tempo), "duration": len(item.generated) / FPS}
    if item.swapped_beats is not None:
        meta["swapped_beats"] = [float(beat) for beat in item.swapped_beats]
    write_json(stem / f"{item.key}.json", meta)


def read_motion_items(folder: Path) -> list[MotionItem]:
    """The generated dances of an evaluation folder, by key; empty when it has none.

    Raises:
        XDancerError: a file is missing or damaged.
    """
    items = []
    for path in sorted((folder / "motion").glob("*.generated.npy")):
        stem = str(path)[: -len(".generated.npy")]
        meta_path = Path(stem + ".json")
        meta = read_json(meta_path)
        swapped, envelope = (Path(f"{stem}.{name}.npy") for name in ("swapped", "envelope"))
        tempo = meta.get("tempo")
        items.append(
            MotionItem(
                key=Path(stem).name,
                generated=read_pose(path),
                true=read_pose(Path(stem + ".true.npy")),
                beats=_beats(meta_path, meta.get("beats")),
                tempo=float(tempo) if isinstance(tempo, int | float) else 0.0,
                swapped=read_pose(swapped) if swapped.exists() else None,
                swapped_beats=_beats(meta_path, meta["swapped_beats"]) if "swapped_beats" in meta else None,
                envelope=_read_envelope(envelope) if envelope.exists() else None,
            )
        )
    return items


def _save_picture(path: Path, picture: UInt8[NDArray, "height width *rgb"]) -> None:
    _write(path, lambda file: Image.fromarray(picture).save(file, format="PNG"))


def write_video_item(folder: Path, item: VideoItem, made_by: Mapping[str, Any] | None = None) -> None:
    """Store one rendered clip under `folder/video`; `made_by` (`model`, `seed`) goes into the tags of what was generated.

    Raises:
        XDancerError: the folder cannot be written.
    """
    stem = folder / "video"
    _save_picture(stem / f"{item.key}.portrait.png", item.portrait)
    if item.portrait_mask is not None:
        _save_picture(stem / f"{item.key}.portrait_mask.png", item.portrait_mask.astype(np.uint8) * 255)
    if item.portrait_pose is not None:
        portrait_pose = item.portrait_pose.astype(np.float32)
        _write(stem / f"{item.key}.portrait_pose.npy", lambda file: np.save(file, portrait_pose))
    _write(stem / f"{item.key}.pose.npy", lambda file: np.save(file, item.pose.astype(np.float32)))
    write_json(stem / f"{item.key}.json", {"identity": item.identity})
    mask = np.repeat(item.mask[..., None].astype(np.uint8) * 255, 3, axis=-1)
    for name, frames in (("true", item.true), ("mask", mask), ("generated", item.generated)):
        tags = made_by_model(made_by or {}) if name == "generated" else None
        write_video(stem / f"{item.key}.{name}.mp4", iter(frames), fps=float(FPS), crf=QUALITY, metadata=tags)


def write_training_mean(folder: Path, mean: UInt8[NDArray, "height width 3"]) -> None:
    """Store the mean training frame for the null row."""
    _save_picture(folder / "video" / MEAN, mean)


def read_training_mean(folder: Path) -> UInt8[NDArray, "height width 3"] | None:
    """The mean training frame, if the folder has one."""
    path = folder / "video" / MEAN
    return read_image(path) if path.exists() else None


def read_video_items(folder: Path) -> Iterator[VideoItem]:
    """The rendered clips of an evaluation folder, one at a time, by key.

    Raises:
        XDancerError: a file is missing, damaged or of another length.
    """
    for path in sorted((folder / "video").glob("*.generated.mp4")):
        stem = str(path)[: -len(".generated.mp4")]
        optional = {name: Path(f"{stem}.{name}") for name in ("portrait_mask.png", "portrait_pose.npy", "json")}
        there = {name for name, file in optional.items() if file.exists()}
        yield VideoItem(
            key=Path(stem).name,
            portrait=read_image(Path(stem + ".portrait.png")),
            true=read_video(Path(stem + ".true.mp4")).frames,
            generated=read_video(path).frames,
            mask=read_video(Path(stem + ".mask.mp4")).frames[..., 0] >= 128,
            pose=read_pose(Path(stem + ".pose.npy")),
            portrait_mask=read_image(optional["portrait_mask.png"])[..., 0] >= 128 if "portrait_mask.png" in there else None,
            portrait_pose=read_pose(optional["portrait_pose.npy"], frames=False) if "portrait_pose.npy" in there else None,
            identity=read_json(optional["json"]).get("identity") if "json" in there else None,
        )
