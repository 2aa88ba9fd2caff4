"""Motion capture in npz files: takes of the 18 body joints in space, checked, at 30 frames per second.

Two layouts are read. Either every array is a take of its own, (frame, 18, 3), named SUBJECT_RECORDING, beside an optional number `fps` (30
where it is missing). Or `positions` (frame, 18, 3) holds all takes one after the other, with `fps` and, where there are several, `starts`
(first frame of each, ascending from 0) and `names`. Joints in the order of `xdancer.skeleton.BODY_NAMES`, metres, y up, right-handed axes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.errors import XDancerError
from xdancer.skeleton import BODY_COUNT, BODY_NAMES, LEFT_ANKLE, LEFT_EAR, NECK, NOSE, RIGHT_ANKLE, RIGHT_EAR
from xdancer.strict import read_arrays
from xdancer.types import FPS

HEIGHT = (0.6, 1.9)
"""Metres from the ankles to the neck of a standing child or giant; outside, the unit is another or y is not up."""
LAYOUTS = (
    "Give an .npz with arrays (frames, 18, 3) named SUBJECT_RECORDING and a number `fps`, or with `positions` (frames, 18, 3), `fps`, "
    "`starts` and `names`; docs/data.md describes both."
)


@dataclass(frozen=True)
class Take:
    """One dancer's recording."""

    name: str
    joints: Float[NDArray, "frame 18 3"]
    """Metres, y up, 30 frames per second."""

    @property
    def group(self) -> str:
        """Dancers of one recording, named SUBJECT_RECORDING, belong together: splits never share a group."""
        return self.name.rpartition("_")[2]


def read_takes(path: Path) -> list[Take]:
    """The takes of an npz file, by name.

    Raises:
        XDancerError: no such file, another layout, another unit, or positions that are not finite.
    """
    try:
        arrays = read_arrays(path)
    except FileNotFoundError:
        raise XDancerError(f"{path}: no such file. {LAYOUTS}") from None
    except (OSError, ValueError) as error:
        raise XDancerError(f"{path}: not a readable .npz of plain numbers ({error}). {LAYOUTS}") from error
    fps = _rate(arrays.pop("fps", np.array(float(FPS))), path)
    named = _cut(arrays, path) if "positions" in arrays else arrays
    if not named:
        raise XDancerError(f"{path} holds no takes. {LAYOUTS}")
    return [Take(name, resampled(_checked(joints, f"{path}, {name}"), fps)) for name, joints in sorted(named.items())]


def resampled(joints: Float[NDArray, "frame 18 3"], fps: float) -> Float[NDArray, "moment 18 3"]:
    """Positions at t/30 s, linear between the frames."""
    if fps == FPS:
        return joints
    moments = np.arange(int((len(joints) - 1) / fps * FPS + 1e-6) + 1) * (fps / FPS)
    before = np.minimum(moments.astype(np.int64), len(joints) - 1)
    after = np.minimum(before + 1, len(joints) - 1)
    share = (moments - before)[:, None, None]
    return joints[before] * (1 - share) + joints[after] * share


def _rate(value: NDArray[Any], path: Path) -> float:
    if value.size != 1 or value.dtype.kind not in "iuf" or not 1 <= float(value.item()) <= 1000:
        raise XDancerError(f"{path}: fps is {value!s:.40}, needed is one number from 1 to 1000.")
    return float(value.item())


def _cut(arrays: dict[str, NDArray[Any]], path: Path) -> dict[str, NDArray[Any]]:
    """The takes inside `positions`."""
    unknown = sorted(set(arrays) - {"positions", "starts", "names"})
    if unknown:
        raise XDancerError(f"{path} has {', '.join(unknown)} beside positions. {LAYOUTS}")
    positions, starts = arrays["positions"], arrays.get("starts", np.zeros(1, dtype=np.int64))
    length = len(positions) if positions.ndim else 0
    ends = [*starts[1:], length] if starts.ndim == 1 and starts.size else []
    if not ends or starts.dtype.kind not in "iu" or starts[0] != 0 or any(end <= start for start, end in zip(starts, ends, strict=True)):
        raise XDancerError(
            f"{path}: starts is {starts!s:.60}, needed are first frames, ascending from 0 and below {len(positions) if positions.ndim else 1}."
        )
    names = arrays.get("names", np.array([f"take_{number:03d}" for number in range(len(starts))]))
    if names.shape != starts.shape or names.dtype.kind != "U" or len(set(names.tolist())) != len(names):
        raise XDancerError(f"{path}: names is {names!s:.60}, needed are {len(starts)} different texts, one for each of starts.")
    return {name: positions[start:end] for name, start, end in zip(names.tolist(), starts, ends, strict=True)}


def _checked(joints: NDArray[Any], where: str) -> Float[NDArray, "frame 18 3"]:
    if joints.ndim != 3 or joints.shape[1:] != (BODY_COUNT, 3) or len(joints) < 2 or joints.dtype.kind not in "iuf":
        order, found = ", ".join(BODY_NAMES).replace("_", " "), f"shape {joints.shape} of {joints.dtype}"
        raise XDancerError(f"{where}: {found}, needed are numbers (frames, {BODY_COUNT}, 3) of the joints {order}.")
    joints = joints.astype(np.float64)
    if not np.isfinite(joints).all():
        frame = int(np.flatnonzero(~np.isfinite(joints).all(axis=(1, 2)))[0])
        raise XDancerError(f"{where}: positions are not finite (first in frame {frame}). Repair them or leave the take out.")
    height = float(np.median(joints[:, NECK, 1] - (joints[:, RIGHT_ANKLE, 1] + joints[:, LEFT_ANKLE, 1]) / 2))
    if not HEIGHT[0] <= height <= HEIGHT[1]:
        raise XDancerError(
            f"{where}: the neck is {height:.3g} above the ankles (median), possible are {HEIGHT[0]} to {HEIGHT[1]} m. "
            "Write metres with y up: centimetres times 0.01, other axes turned."
        )
    left, ears = joints[:, LEFT_EAR] - joints[:, RIGHT_EAR], (joints[:, LEFT_EAR] + joints[:, RIGHT_EAR]) / 2
    ahead = np.cross(left, [0.0, 1.0, 0.0])  # where the face is, in right-handed axes
    if np.median((ahead * (joints[:, NOSE] - ears)).sum(-1)) < 0:
        raise XDancerError(f"{where}: the nose lies behind the ears, so left and right are exchanged or the axes left-handed. Negate one axis.")
    return joints
