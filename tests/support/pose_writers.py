"""One dance as each system writes its poses to files, and a pickle that would run a program."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH, FRAMES = 480, 640, 5
COCO = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
        "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")  # fmt: skip
BODY_18: tuple[str, ...] = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
BODY_25 = (
    *BODY_18[:8],
    "mid_hip",
    *BODY_18[8:],
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)


def dance(seed: int = 0, spread: float = 0.8, frames: int = FRAMES) -> np.ndarray:
    """(frame, 60, 3) in our coordinates; the right elbow is missing in frame 2, the left hand in frames 0 and 1."""
    rng = np.random.default_rng(seed)
    pose = rng.uniform(-spread, spread, (frames, 60, 3))
    pose[..., 2] = rng.uniform(0.35, 0.95, (frames, 60))
    pose[:, 1, :2] = (pose[:, 2, :2] + pose[:, 5, :2]) / 2
    pose[:, 1, 2] = np.minimum(pose[:, 2, 2], pose[:, 5, 2])
    pose[2, 3], pose[:2, 18:39] = 0, 0
    return pose


def pixels(pose: np.ndarray) -> np.ndarray:
    """x, y in pixels, confidence; 0, 0, 0 where missing."""
    out = np.concatenate([pose[..., :1] * HEIGHT / 2 + WIDTH / 2, pose[..., 1:2] * HEIGHT / 2 + HEIGHT / 2, pose[..., 2:]], axis=-1)
    return out * (pose[..., 2:] > 0)


def shares(pose: np.ndarray) -> np.ndarray:
    """x, y in 0 … 1, (−1, −1) where missing."""
    return np.where(pose[..., 2:] > 0, pixels(pose)[..., :2] / (WIDTH, HEIGHT), -1.0)


def musepose(*people: np.ndarray, scores: bool = False) -> np.ndarray:
    """One dictionary per frame; the body of a keypoint that is too uncertain keeps its place in `candidate`."""
    frames = []
    for frame in range(len(people[0])):
        poses = [person[frame] for person in people]
        body = np.concatenate([np.where(pose[:18, 2:] > 0, shares(pose)[:18], 0.123) for pose in poses])
        subset = [[18 * number + j if pose[j, 2] > 0 else -1 for j in range(18)] for number, pose in enumerate(poses)]
        hands = np.stack([shares(pose)[18:39] for pose in poses] + [shares(pose)[39:] for pose in poses])
        entry: dict[str, Any] = {
            "bodies": {"candidate": body, "subset": np.array(subset, float)},
            "hands": hands,
            "faces": np.zeros((1, 68, 2)),
        }
        if scores:
            entry["bodies"]["score"] = np.stack([pose[:18, 2] for pose in poses])
            entry["hands_score"] = np.stack([pose[18:39, 2] for pose in poses] + [pose[39:, 2] for pose in poses])
        frames.append(entry)
    return np.array(frames)


def animate_x(pose: np.ndarray) -> dict[str, Any]:
    there = pose[:, :18, 2] > 0
    return {
        "bodies": shares(pose)[:, :18], "body_indices": np.where(there, np.arange(18.0), -1), "faces": np.zeros((len(pose), 68, 2)),
        "hands": np.stack([shares(pose)[:, 18:39], shares(pose)[:, 39:]], axis=1), "size": (HEIGHT, WIDTH, 3), "fps": 24,
    }  # fmt: skip


def openpose(*people: np.ndarray, body: tuple[str, ...] = BODY_18, ones: bool = False) -> dict[str, Any]:
    """One frame; keypoints that we do not have lie at 7, 7."""
    written = []
    for person in people:
        points = pixels(person)
        if ones:
            points[:, 2] = points[:, 2] > 0
        named = dict(zip(BODY_18, points[:18].tolist(), strict=True))
        hands = {
            name: part.ravel().tolist() if part[:, 2].any() else []
            for name, part in (("hand_left_keypoints_2d", points[18:39]), ("hand_right_keypoints_2d", points[39:]))
        }
        flat = [number for name in body for number in named.get(name, [7.0, 7.0, 0.5])]
        written.append({"person_id": [-1], "pose_keypoints_2d": flat, "face_keypoints_2d": [], **hands})
    return {"version": 1.3, "people": written}


def comfyui(*people: np.ndarray) -> dict[str, Any]:
    """One frame."""
    return openpose(*people, ones=True) | {"canvas_height": HEIGHT, "canvas_width": WIDTH}


def disco(*people: np.ndarray) -> list[Any]:
    """One frame; −1, −1, −1 where missing."""
    named = [dict(zip(BODY_18, pixels(person).tolist(), strict=False)) for person in people]
    return [{"keypoints": [one[name] if one[name][2] else [-1, -1, -1] for name in COCO]} for one in named]


def write(path: Path, content: Any) -> Path:
    """By the kind of the content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, np.ndarray):
        with path.open("wb") as file:
            np.save(file, content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        path.write_text(json.dumps(content))
    return path


def folder(path: Path, frames: dict[str, Any]) -> Path:
    for name, frame in frames.items():
        write(path / name, frame)
    return path


class Runs:
    """Pickles as a call of `os.system`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)
