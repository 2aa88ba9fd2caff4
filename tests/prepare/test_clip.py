"""One clip: 24 → 30 fps, crop, sound and beats where they belong."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xdancer import media
from xdancer.errors import MediaError, PoseError
from xdancer.pose.coordinates import to_pixels
from xdancer.pose.detector import PoseDetector
from xdancer.prepare.clip import prepare_clip
from xdancer.prepare.filters import LIMITS, FilterError
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.sources import Cut, Source
from xdancer.types import ClipSample

RATE = 44100
SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=5.0, min_person=50, features=("librosa",), shot_threshold=0.0)


def make(path: Path, detector: PoseDetector, start: float = 0.0, stop: float = 3.0, settings: PrepareSettings = SETTINGS) -> ClipSample:
    return prepare_clip(Cut(Source(path, path.name, "song", "0" * 64), "key", start, stop), settings, detector)


def block(frame: np.ndarray) -> tuple[float, float]:
    """Left and right edge of the red block in a cropped picture."""
    columns = np.flatnonzero(((frame[..., 0] > 140) & (frame[..., 1] < 110)).sum(axis=0) > 20)
    return float(columns.min()), float(columns.max() + 1)


def test_24_fps_becomes_30(video: Callable[..., Path], detector: PoseDetector, left_edge: Callable[[float], float]) -> None:
    clip = make(video("a.mp4"), detector)
    frames = int((71 / 24) * 30) + 1  # from the first to the last native frame
    assert clip.pose.shape == (frames, 60, 3)
    assert clip.features["librosa"].shape == (frames, 35)
    assert clip.video is not None
    assert clip.audio is not None
    pictures = media.read_video(clip.video).frames
    assert pictures.shape == (frames, 112, 64, 3)
    assert len(media.read_audio(clip.audio, sample_rate=RATE)) == pytest.approx(frames / 30 * RATE, abs=1100)
    assert (clip.meta["width"], clip.meta["height"], clip.meta["song"], clip.meta["detector"]) == (64, 112, "song", "red 1")
    assert clip.meta["quality"]["native_fps"] == pytest.approx(24, abs=0.01)
    assert set(clip.meta["quality"]["filters"]) == set(LIMITS)
    assert all(entry["passed"] for entry in clip.meta["quality"]["filters"].values())
    edge = to_pixels(clip.pose, width=64, height=112)[:, 0, 0]
    scale = clip.meta["quality"]["scale"]
    true = np.array([left_edge(frame / 30) for frame in range(frames)])
    np.testing.assert_allclose(edge - edge.mean(), (true - true.mean()) * scale, atol=2 * scale)  # rounding of the block, chords of the sine
    nearest = np.array([block(picture)[0] for picture in pictures])
    assert np.abs(nearest - edge).max() < 4.0 * scale + 1  # half a native frame at full speed: 2.6 px
    speed = np.abs(np.diff(edge))
    assert (speed > 1e-3).mean() > 0.8  # interpolated: no frame stands still


def test_missing_hand_keeps_confidence_zero_and_a_place(video: Callable[..., Path], detector: PoseDetector) -> None:
    pose = make(video("a.mp4", 1.5), detector, stop=1.5).pose
    assert (pose[:, 18:39, 2] == 0).all()
    assert np.isfinite(pose).all()
    assert np.abs(pose[..., :2]).max() < 2


def test_sound_and_beats_start_with_the_clip(video: Callable[..., Path], detector: PoseDetector) -> None:
    clip = make(video("a.mp4", 6.0), detector, start=2.0, stop=5.0)
    assert clip.audio is not None
    sound = np.abs(media.read_audio(clip.audio, sample_rate=RATE))
    loud = np.flatnonzero(sound > 0.25)
    onsets = loud[np.append(True, np.diff(loud) > 0.1 * RATE)] / RATE
    np.testing.assert_allclose(onsets, [0.25, 0.75, 1.25, 1.75, 2.25, 2.75], atol=0.002)
    assert clip.meta["source"] == "a.mp4 2.000–4.967 s"
    assert all(0 <= beat < 3 for beat in clip.meta["beats"])
    assert len(clip.meta["beats"]) in (5, 6)


def test_the_mask_lies_on_the_person(video: Callable[..., Path], detector: PoseDetector) -> None:
    clip = make(video("a.mp4", 1.5), detector, stop=1.5)
    assert clip.mask is not None
    assert clip.video is not None
    mask, pictures = media.read_video(clip.mask).frames[..., 0] > 127, media.read_video(clip.video).frames
    red = (pictures[..., 0] > 140) & (pictures[..., 1] < 110)
    assert mask.shape == red.shape
    assert (mask & red).sum() / (mask | red).sum() > 0.85


def test_only_the_stretch_with_the_person(video: Callable[..., Path], detector: PoseDetector) -> None:
    clip = make(video("a.mp4", 4.0, absent=(0.0, 1.5)), detector, stop=4.0)
    assert clip.frames == pytest.approx(75, abs=2)
    assert clip.meta["source"].startswith("a.mp4 1.500–")
    gap = make(video("b.mp4", 2.0, absent=(1.0, 1.2)), detector, stop=2.0)
    assert gap.frames == pytest.approx(60, abs=2)
    assert (gap.pose[31:34, :, 2] == 0).all()
    assert gap.meta["quality"]["person_seen"] < 1


def test_reasons_to_leave_a_clip_out(video: Callable[..., Path], detector: PoseDetector) -> None:
    with pytest.raises(PoseError, match="no person was found"):
        make(video("nobody.mp4", absent=(0.0, 9.0)), detector)
    with pytest.raises(PoseError, match=r"seen for 0\.5 s at a stretch, --min-seconds is 1"):
        make(video("short.mp4", absent=(0.5, 9.0)), detector)
    with pytest.raises(PoseError, match="person pixels 30 is below --min-person 50"):
        make(video("far.mp4", height=30), detector)
    with pytest.raises(FilterError, match="people 1 is above --max-people 0") as crowded:
        make(video("crowd.mp4"), detector, settings=replace(SETTINGS, max_people=0))
    assert crowded.value.figures["filters"]["people"] == {"value": 1.0, "threshold": 0, "passed": False}
    with pytest.raises(FilterError, match="is below --min-sharpness 1e\\+06"):
        make(video("soft.mp4"), detector, settings=replace(SETTINGS, min_sharpness=1e6))
    with pytest.raises(MediaError, match="silent"):
        make(video("silent.mp4", silent=True), detector)


def test_a_lying_container_is_overruled(video: Callable[..., Path], detector: PoseDetector) -> None:
    path = video("slow.mp4", 6.0, fps=12.0)  # 72 frames that were really taken at 24 fps
    clip = make(path, detector, settings=replace(SETTINGS, source_fps=24.0))
    assert clip.frames == 89
    assert clip.meta["quality"]["native_fps"] == 24


@pytest.mark.parametrize("offset", [0.15, -0.15])
def test_sound_is_moved_by_the_offset(video: Callable[..., Path], detector: PoseDetector, offset: float) -> None:
    clip = make(video("a.mp4"), detector, settings=replace(SETTINGS, audio_offset=offset))
    assert clip.audio is not None
    loud = np.flatnonzero(np.abs(media.read_audio(clip.audio, sample_rate=RATE)) > 0.25)
    onsets = loud[np.append(True, np.diff(loud) > 0.1 * RATE)] / RATE
    np.testing.assert_allclose(onsets[:5], np.arange(0.25, 2.5, 0.5) + offset, atol=0.002)
    straight = make(video("a.mp4"), detector)
    moved = np.array(straight.meta["beats"])[:5] + offset
    np.testing.assert_allclose(np.array(clip.meta["beats"])[: sum(moved >= 0)], moved[moved >= 0], atol=1e-3)
