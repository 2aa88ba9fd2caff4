"""AIST++: 2D keypoints of dances in nine cameras, beside the music of the AIST data base.

`annotations/keypoints2d/SEQUENCE.pkl` is a dictionary with `keypoints2d` (9, frame, 17, 3): pixels of 1920×1080 and confidence, COCO's order,
NaN where nobody was found; `det_scores` (9, frame); `timestamps` (frame,). A sequence is called gGENRE_sSITUATION_cAll_dDANCER_mMUSIC_chNUMBER.
Layout and the two broken views: https://github.com/google/aistplusplus_api (aist_plusplus/loader.py, processing/run_preprocessing.py and
run_estimate_keypoints.py), Apache 2.0; nothing is copied from there.
"""

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.errors import PoseError, XDancerError
from xdancer.importers.dances import Dance, Seen
from xdancer.importers.pose_files import FARTHEST
from xdancer.importers.pose_json import ABOVE_ONE, MOST_HOLES, read_bytes
from xdancer.importers.restricted import read_pickle
from xdancer.pose.coordinates import hold_missing
from xdancer.pose.detector import add_neck
from xdancer.pose.wholebody import COCO_BODY
from xdancer.skeleton import BODY, KEYPOINT_COUNT

NAME = re.compile(r"(g[A-Z]{2})_s[A-Z]{2}_c(?:All|\d\d)_(d\d\d)_(m[A-Z]{2}\d)_ch\d\d")
GENRES = {
    "gBR": "break", "gPO": "pop", "gLO": "lock", "gMH": "middle hip-hop", "gLH": "LA hip-hop", "gHO": "house", "gWA": "waack", "gKR": "krump",
    "gJS": "street jazz", "gJB": "ballet jazz",
}  # fmt: skip
CAMERAS = 9
FPS = 60.0
SIZE = (1080, 1920)
"""(height, width) of the pictures."""
BROKEN = {
    ("gBR_sBM_cAll_d04_mBR0_ch01", 5): "this camera is not in time with the others",
    ("gJB_sBM_cAll_d07_mJB3_ch05", 7): "this camera's pictures have another size (640×480)",
}
SMPL = (
    "are rotations of a body model's bones (SMPL): they become keypoints only with that model, which has its own licence and is not part of "
    "xdancer"
)
OFFICIAL = ("crossmodal_train", "crossmodal_val", "crossmodal_test")


def annotations(folder: Path) -> Path | None:
    """The folder of AIST++ annotations in or at `folder`, or None."""
    places = [folder, folder / "annotations", folder / "aist_plusplus_final"]
    return next((place for place in places if any((place / name).is_dir() for name in ("keypoints2d", "keypoints3d", "motions"))), None)


def music_of(name: str) -> str | None:
    """The song of an AIST++ sequence or of a file named after one; None for other names."""
    match = NAME.match(name)
    return match[3] if match else None


def aist_dances(folder: Path, sounds: Mapping[str, Path], cameras: tuple[int, ...]) -> tuple[list[Dance], dict[str, str]]:
    """The dances of every sequence in the given cameras, and what is left out with reasons.

    Args:
        folder: of the annotations.
        sounds: file by lower-case stem; a dance takes the one called like its video, its sequence or its music.
        cameras: 1 to 9; 1 stands in front of the dancer.

    Raises:
        XDancerError: no 2D keypoints.
    """
    paths = sorted((folder / "keypoints2d").glob("*.pkl"))
    if not paths:
        raise XDancerError(
            f"{folder}: no keypoints2d/*.pkl. AIST++'s motions/ {SMPL}; its keypoints3d/ have no picture to lie in. "
            "Download keypoints2d of the annotations, or run `xdancer prepare` on the AIST videos."
        )
    ignored = set(_lines(folder / "ignore_list.txt")) if (folder / "ignore_list.txt").is_file() else set()
    dances, left_out = list[Dance](), dict[str, str]()
    for path in paths:
        match = NAME.fullmatch(path.stem)
        if match is None or path.stem in ignored:
            left_out[path.stem] = "on the data set's ignore_list.txt" if match else "its name is none of AIST++ (gBR_sBM_cAll_d04_mBR0_ch01)"
            continue
        genre, dancer, music = match.groups()
        for camera in cameras:
            name = path.stem.replace("cAll", f"c{camera:02d}")
            if reason := BROKEN.get((path.stem, camera)):
                left_out[name] = reason
                continue
            sound = next((sounds[key.lower()] for key in (name, path.stem, music) if key.lower() in sounds), None)
            dances.append(Dance(name, music, partial(read_view, path, camera), sound, GENRES.get(genre, genre[1:]), dancer))
    return dances, left_out


def official_splits(folder: Path, dances: list[Dance]) -> tuple[list[Dance], dict[str, str], dict[str, str]]:
    """The dances of the published music-to-dance split: those to keep, those left out with reasons, and the split of the test's songs.

    The published validation shares its ten songs with the test, so it is left out and validation comes from training's songs.

    Raises:
        XDancerError: lists are missing, or training and test share a song.
    """
    names = {name: {line.replace("cAll", "c*") for line in _lines(folder / "splits" / f"{name}.txt")} for name in OFFICIAL}
    train, val, test = (names[name] for name in OFFICIAL)
    kept, left_out = list[Dance](), dict[str, str]()
    songs: dict[str, set[str]] = {"train": set(), "test": set()}
    for dance in dances:
        sequence = re.sub(r"_c\d\d_", "_c*_", dance.name)
        split = "test" if sequence in test else "train" if sequence in train else None
        if split is None:
            left_out[dance.name] = (
                "in crossmodal_val, whose songs are the test's" if sequence in val else "in none of the official music-to-dance splits"
            )
            continue
        songs[split].add(dance.song)
        kept.append(dance)
    if shared := sorted(songs["train"] & songs["test"]):
        raise XDancerError(
            f"{folder / 'splits'}: training and test share {', '.join(shared[:5])}. Leave --official-splits out to split by song."
        )
    return kept, left_out, dict.fromkeys(songs["test"], "test")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise XDancerError(f"{path}: cannot be read ({error}). Download AIST++'s annotations again.") from error


def read_view(path: Path, camera: int) -> Seen:
    """What one camera saw, at 60 frames per second; hands have confidence 0.

    Raises:
        XDancerError: a pickle that asks for more than arrays, damaged, of another layout, or nobody in this camera.
    """
    keypoints, times = _read(path)
    view = keypoints[camera - 1].astype(np.float64)
    missing = ~np.isfinite(view).all(-1) | (view[..., 2] <= 0)
    view[missing] = 0
    if missing.all():
        raise PoseError(f"nobody is seen by camera {camera}")
    if view[..., 2].max() > ABOVE_ONE:
        raise PoseError(f"{path}: confidences up to {view[..., 2].max():g}. They lie in 0 … 1.")
    height, width = SIZE
    points = view[~missing][:, :2]
    outside = ((points < 0) | (points > (width, height))).any(-1).mean()
    if outside > 0.5 or np.abs(points - (width / 2, height / 2)).max() > FARTHEST * height / 2:
        raise PoseError(
            f"{path}: {outside:.0%} of the keypoints lie outside of a picture of {width}×{height}, the size of AIST's videos, as far as "
            f"{points[:, 0].max():.4g}, {points[:, 1].max():.4g}."
        )
    pixels = np.zeros((len(view), KEYPOINT_COUNT, 3), np.float32)
    pixels[:, BODY] = view[:, list(COCO_BODY)].clip((-np.inf, -np.inf, 0), (np.inf, np.inf, 1))
    add_neck(pixels)
    return Seen(hold_missing(pixels), times, SIZE, True, "AIST++ keypoints2d")


@lru_cache(maxsize=1)
def _read(path: Path) -> tuple[Float[NDArray, "camera frame 17 3"], Float[NDArray, " frame"]]:
    """Keypoints of all cameras, and seconds since the first frame; missing frames leave gaps in the time stamps, whose unit does not matter."""
    value = read_pickle(read_bytes(path), where=str(path))
    keypoints, stamps = (value.get("keypoints2d"), value.get("timestamps")) if isinstance(value, dict) else (None, None)
    if not isinstance(keypoints, np.ndarray) or keypoints.dtype.kind != "f" or keypoints.ndim != 4 or keypoints.shape[2:] != (17, 3):
        found = f"{keypoints.dtype} {keypoints.shape}" if isinstance(keypoints, np.ndarray) else type(keypoints).__name__
        raise PoseError(f"{path}: keypoints2d is {found}, needed are numbers ({CAMERAS}, frames, 17, 3) as in AIST++'s keypoints2d.")
    frames = keypoints.shape[1]
    if len(keypoints) != CAMERAS or frames < 2:
        raise PoseError(f"{path}: {len(keypoints)} cameras and {frames} frames, needed are {CAMERAS} and at least two.")
    if stamps is None:
        return keypoints, np.arange(frames) / FPS
    if not isinstance(stamps, np.ndarray) or stamps.shape != (frames,) or stamps.dtype.kind not in "iuf":
        raise PoseError(f"{path}: timestamps do not fit {frames} frames. Download the file again.")
    steps = np.diff(stamps.astype(np.float64))
    if not np.isfinite(steps).all() or steps.min() <= 0:
        raise PoseError(f"{path}: timestamps do not ascend. Download the file again.")
    counts = np.maximum(1, np.round(steps / np.median(steps)))
    if counts.sum() > frames / (1 - MOST_HOLES):
        raise PoseError(f"{path}: timestamps leave out more than half of the frames. Download the file again.")
    return keypoints, np.concatenate([[0.0], np.cumsum(counts)]) / FPS
