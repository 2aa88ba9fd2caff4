"""The two real dance loops (PyPI `pybullet`, zlib licence) as postures on the beat.

DeepMimic's text format: rows of 44 numbers (time step, root place, quaternions w x y z, hinge angles about z); x forward, y up, z right. Each
loop spans four beats; its own grid of beats is laid so that its speed is lowest on them.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from xdancer.embedded import body as layout
from xdancer.embedded.body import Array, apply, unit

LOOP_BEATS = 4
"""Beats that a loop spans (loop a at 147 BPM, loop b at 94 BPM as recorded)."""
SAMPLES_PER_BEAT = 32
_JOINTS = (
    ("chest", "root", (0, 0.236, 0), 4), ("neck", "chest", (0, 0.224, 0), 4), ("right_hip", "root", (0, 0, 0.085), 4),
    ("right_knee", "right_hip", (0, -0.4215, 0), 1), ("right_ankle", "right_knee", (0, -0.41, 0), 4),
    ("right_shoulder", "chest", (-0.024, 0.2435, 0.183), 4), ("right_elbow", "right_shoulder", (0, -0.275, 0), 1),
    ("left_hip", "root", (0, 0, -0.085), 4), ("left_knee", "left_hip", (0, -0.4215, 0), 1), ("left_ankle", "left_knee", (0, -0.41, 0), 4),
    ("left_shoulder", "chest", (-0.024, 0.2435, -0.183), 4), ("left_elbow", "left_shoulder", (0, -0.275, 0), 1),
)  # fmt: skip
_TO_WORLD = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""DeepMimic's axes (forward, up, right) to ours (the dancer's left, up, forward)."""
_ANKLE_HEIGHT = 0.07
_LEG = 0.4215 + 0.41


def _quaternion(value: Array) -> Array:
    w, x, y, z = np.moveaxis(unit(value), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _forward(rows: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Places (frame, 3) and frames (frame, 3, 3) of every joint, in our axes."""
    place, frame = {"root": rows[:, 1:4]}, {"root": _quaternion(rows[:, 4:8])}
    column = 8
    for name, parent, offset, width in _JOINTS:
        value = rows[:, column : column + width]
        column += width
        if width == 1:
            turn = np.zeros((len(rows), 4))
            turn[:, 0], turn[:, 3] = np.cos(value[:, 0] / 2), np.sin(value[:, 0] / 2)
            value = turn
        frame[name] = frame[parent] @ _quaternion(value)
        place[name] = place[parent] + frame[parent] @ np.array(offset)
    for side in ("left", "right"):
        place[f"{side}_wrist"] = place[f"{side}_elbow"] + frame[f"{side}_elbow"] @ np.array([0, -0.259, 0])
    return {name: value @ _TO_WORLD.T for name, value in place.items()}, {
        name: _TO_WORLD @ value @ _TO_WORLD.T for name, value in frame.items()
    }


def _angles(matrix: Array) -> Array:
    """Yaw, pitch, roll (frame, 3) of `xdancer.embedded.body.rotation`."""
    yaw = np.arctan2(matrix[:, 0, 2], matrix[:, 2, 2])
    return np.stack([yaw, np.arcsin(np.clip(-matrix[:, 1, 2], -1, 1)), np.arctan2(matrix[:, 1, 0], matrix[:, 1, 1])], -1)


def _smooth(track: Array, width: float) -> Array:
    """Gaussian low-pass of a loop's track (frame, …) over `width` frames, the drift of one round taken into account."""
    count = len(track) - 1
    drift = track[-1] - track[0]
    periodic = track[:-1] - drift * np.arange(count).reshape(-1, *[1] * (track.ndim - 1)) / count
    periodic = gaussian_filter1d(periodic, width, axis=0, mode="wrap")
    return np.concatenate([periodic, periodic[:1]]) + drift * np.arange(count + 1).reshape(-1, *[1] * (track.ndim - 1)) / count


def _facing_front(place: dict[str, Array], frame: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """The loop with its slow turning and most of its travelling taken out: the dancer faces the camera and stays in the picture."""
    half_beat = (len(place["root"]) - 1) / LOOP_BEATS / 2
    yaw = np.unwrap(np.arctan2(frame["root"][:, 0, 2], frame["root"][:, 2, 2]))
    turn = np.zeros((len(yaw), 3))
    turn[:, 0] = -_smooth(yaw, half_beat)
    straight = layout.rotation(turn)
    origin = _smooth(place["root"], 2 * half_beat) * [1, 0, 1]
    place = {name: apply(straight, value - origin) for name, value in place.items()}
    return place, {name: straight @ value for name, value in frame.items()}


def _postures(rows: Array) -> Array:
    place, frame = _facing_front(*_forward(rows))
    posture = np.zeros((len(rows), layout.WIDTH))
    floor = np.array([0, _ANKLE_HEIGHT, 0])
    posture[:, layout.PELVIS] = (place["root"] - floor) / _LEG
    posture[:, layout.PELVIS_TURN] = _angles(frame["root"])
    back = np.swapaxes(frame["chest"], 1, 2)
    posture[:, layout.CHEST_TURN] = _angles(np.swapaxes(frame["root"], 1, 2) @ frame["chest"])
    posture[:, layout.HEAD_TURN] = 0.45 * np.tanh(_angles(back @ frame["neck"]) / 0.6)  # the rig's neck carries more than a head should nod
    for side, part, sign in (("left", layout.LEFT, 1.0), ("right", layout.RIGHT, -1.0)):
        values, out = posture[:, part], np.array([sign, 1.0, 1.0])
        values[:, layout.UPPER_ARM] = apply(back, unit(place[f"{side}_elbow"] - place[f"{side}_shoulder"])) * out
        values[:, layout.FOREARM] = apply(back, unit(place[f"{side}_wrist"] - place[f"{side}_elbow"])) * out
        values[:, layout.FOOT] = (place[f"{side}_ankle"] - floor) / _LEG * out
        middle = (place[f"{side}_ankle"] + place[f"{side}_hip"]) / 2
        knee = unit(place[f"{side}_knee"] - middle + [0, 0, 0.05])
        values[:, layout.KNEE] = np.clip(np.arctan2(knee[:, 0], np.maximum(knee[:, 2], 0.2)) * sign, -0.7, 1.2)
    return posture


def _speed(posture: Array) -> Array:
    return np.linalg.norm(np.diff(posture, axis=0), axis=-1)


def _mocap_dir() -> Path:
    return Path(__file__).parent / "data"


@cache
def load_loop(name: str) -> NDArray[np.float64]:
    """Loop `a` or `b`: (128, 51) postures, 32 per beat, row 0 on a beat; row 128 would be row 0 again. Hands are left at zero."""
    document = json.loads((_mocap_dir() / f"humanoid3d_dance_{name}.txt").read_text(encoding="utf-8"))
    posture = _postures(np.array(document["Frames"], dtype=np.float64))
    count = LOOP_BEATS * SAMPLES_PER_BEAT
    at = np.linspace(0, len(posture) - 1, count + 1)
    even = np.stack([np.interp(at, np.arange(len(posture)), column) for column in posture.T], -1)
    speed = _speed(even)
    phase = np.exp(2j * np.pi * (np.arange(count) + 0.5) / SAMPLES_PER_BEAT)
    offset = np.angle(-(speed * phase.conj()).sum().conj()) / (2 * np.pi)  # −cos 2π(beat − offset) fits the speed best
    shift = round(offset * SAMPLES_PER_BEAT) % SAMPLES_PER_BEAT
    return np.roll(even[:-1], -shift, axis=0)
