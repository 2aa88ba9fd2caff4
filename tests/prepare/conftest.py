"""Little videos of a red dancer (a block that swings with the time) with clicks, and a detector that finds it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from xdancer import media
from xdancer.pose.detector import DetectedPose, PoseDetector
from xdancer.prepare import assemble
from xdancer.skeleton import LEFT_HAND

RATE = 44100
HEIGHT, WIDTH = 120, 160


class RedDetector(PoseDetector):
    """Spreads the 60 keypoints over the red block; never sees the left hand."""

    name, version, device = "red", "1", "cpu"

    def __init__(self) -> None:
        self.looked_at = 0

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[DetectedPose]:
        for frame in frames:
            self.looked_at += 1
            red = (frame[..., 0] > 150) & (frame[..., 1] < 100)
            pixels = np.zeros((60, 3), np.float32)
            if red.any():
                rows, columns = np.nonzero(red)
                spread = np.random.default_rng(0).uniform(0, 1, (60, 2))
                spread[:4] = (0, 0), (1, 0), (0, 1), (1, 1)
                low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
                pixels[:, :2] = np.array(low) + spread * (np.array(high) - low)
                pixels[:, 2] = 0.9
                pixels[LEFT_HAND] = 0
            yield DetectedPose(pixels, (red * 255).astype(np.uint8))


def place(time: float) -> float:
    """Left edge of the dancer in pixels at that time."""
    return 60 + 20 * np.sin(2 * np.pi * time)


def picture(time: float, *, person: bool = True, height: int = 80) -> np.ndarray:
    frame = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    if person:
        left = round(place(time))
        frame[110 - height : 110, left : left + 24] = (230, 20, 20)
    return frame


def clicks(seconds: float, every: float = 0.5) -> np.ndarray:
    """A click on every beat over a soft hum."""
    wave = 0.01 * np.sin(np.arange(round(seconds * RATE)) * 0.05).astype(np.float32)
    burst = 0.8 * np.sin(2 * np.pi * 1500 * np.arange(400) / RATE) * np.linspace(1, 0, 400)
    for beat in np.arange(0.25, seconds - 0.02, every):
        wave[round(beat * RATE) : round(beat * RATE) + 400] += burst.astype(np.float32)
    return wave


@pytest.fixture
def detector() -> RedDetector:
    return RedDetector()


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a little video and gives its path in `videos/`."""
    folder = tmp_path / "videos"

    def write(
        name: str,
        seconds: float = 3.0,
        *,
        fps: float = 24.0,
        sound: bool = True,
        silent: bool = False,
        absent: tuple[float, float] | None = None,
        height: int = 80,
        wave: np.ndarray | None = None,
    ) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        times = np.arange(round(seconds * fps)) / fps
        frames = (picture(time, person=absent is None or not absent[0] <= time < absent[1], height=height) for time in times)
        if wave is None:
            wave = np.zeros(round(seconds * RATE), np.float32) if silent else clicks(seconds)
        media.write_video(folder / name, frames, fps=fps, audio=wave if sound else None, sample_rate=RATE)
        return folder / name

    folder.mkdir()
    return write


@pytest.fixture
def left_edge() -> Callable[[float], float]:
    """Left edge of the dancer in pixels at a time."""
    return place


@pytest.fixture(name="clicks")
def clicks_fixture() -> Callable[[float], np.ndarray]:
    """Sound of so many seconds."""
    return clicks


@pytest.fixture
def plain_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """An HTML report that costs nothing: drawing is another test's."""
    monkeypatch.setattr(assemble, "write_page", lambda folder, report, gallery: (folder / "report.html").write_text("page"))
