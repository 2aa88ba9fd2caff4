"""Small dances as files: a stick person that sways to a click, drawn, with sound."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xdancer.media import write_video
from xdancer.pipelines.standing import standing_pose
from xdancer.pose.render import draw_skeleton
from xdancer.types import FPS

SECONDS = 4
SAMPLE_RATE = 22050


def swaying(period: float, *, amplitude: float = 0.15, frames: int = SECONDS * FPS) -> NDArray[np.float32]:
    """A standing person whose arms and head swing and rest every `period` seconds."""
    pose = np.repeat(standing_pose()[None], frames, axis=0).astype(np.float32)
    swing = amplitude * np.cos(np.pi * np.arange(frames) / FPS / period)
    pose[:, [0, 3, 4, 6, 7], 0] += swing[:, None]
    pose[:, [4, 7], 1] += 0.5 * swing[:, None]
    return pose


def clicks(period: float, *, seconds: int = SECONDS) -> NDArray[np.float32]:
    """Short noisy clicks every `period` seconds, from the first sample on."""
    sound = np.zeros(seconds * SAMPLE_RATE, np.float32)
    click = np.random.default_rng(0).standard_normal(600).astype(np.float32) * np.exp(-np.arange(600) / 120).astype(np.float32) * 0.5
    for beat in np.arange(0, seconds - 0.1, period):
        start = int(beat * SAMPLE_RATE)
        sound[start : start + 600] += click
    return sound


@pytest.fixture(scope="session")
def dance_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that writes a folder of dances: NAME.mp4 with sound, NAME.npy with the poses."""

    def write(name: str, periods: dict[str, float], *, poses: bool = True, size: int = 64, frames: int = SECONDS * FPS) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for key, period in periods.items():
            pose = swaying(period, frames=frames)
            pictures = (draw_skeleton(one, size, size) for one in pose)
            write_video(folder / f"{key}.mp4", pictures, fps=float(FPS), audio=clicks(period), sample_rate=SAMPLE_RATE)
            if poses:
                np.save(folder / f"{key}.npy", pose)
        return folder

    return write
