"""Beat scores against closed forms: a dance locked to clicks, half a frame off, chance, nulls."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from xdancer.metrics import beat_alignment as ba


def locked_dance(
    beats_per_minute: int | float, *, phase: int | float = 0.25, seconds: float = 10.0, fps: float = 30.0, seed: int = 0
) -> NDArray[np.float32]:
    """A pose (frame, 60, 3) whose whole-body speed has its minima exactly on the beats `phase + k · 60 / bpm`."""
    time_of = np.arange(round(seconds * fps)) / fps
    turns = (time_of - phase) * beats_per_minute / 60
    place = turns - 0.9 * np.sin(2 * np.pi * turns) / (2 * np.pi)
    direction = np.random.default_rng(seed).normal(size=(60, 2))
    pose = np.ones((len(time_of), 60, 3), np.float32)
    pose[..., :2] = place[:, None, None] * direction
    return pose


def clicks(beats_per_minute: int | float, *, phase: int | float = 0.25, seconds: float = 10.0) -> NDArray[np.float64]:
    return np.arange(phase, seconds, 60 / beats_per_minute)


def clip(
    beats_per_minute: int | float, protocol: ba.Protocol = "seconds", *, phase: int | float = 0.25, shift: float = 0.0, fps: float = 30.0
) -> ba.BeatClip:
    pose = locked_dance(beats_per_minute, phase=phase, fps=fps)
    motion = ba.motion_beats(pose[..., :2], pose[..., 2], fps, protocol=protocol)
    return ba.BeatClip(motion, clicks(beats_per_minute, phase=phase) + shift, beats_per_minute, 10.0)


@pytest.mark.parametrize("protocol", ba.PROTOCOLS)
@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_a_locked_dance_is_perfect(protocol: ba.Protocol, fps: float) -> None:
    one = clip(120, protocol, phase=7.5 / 30 if fps == 30 else 15.5 / 60, fps=fps)  # beats on the stamps of the speeds
    score = ba.score_beats(one.motion, one.music, duration=10.0)
    assert score.value(protocol) >= (0.98 if (protocol, fps) == ("bailando60", 30.0) else 0.99)  # resampling moves a stamp by 1/120 s
    assert score.hard_f1 == 1.0
    assert score.motion_beats == score.music_beats == 20


def test_half_a_frame_costs_five_percent_and_a_whole_frame_twenty() -> None:
    exact = clip(120)
    motion = exact.music.copy()
    for frames, factor in ((0.5, 0.946), (1.0, 0.801)):
        score = ba.score_beats(motion, exact.music + frames / 30)
        assert score.f1 == pytest.approx(np.exp(-((frames / 30) ** 2) / (2 * 0.05**2)))
        assert score.f1 == pytest.approx(factor, abs=5e-4)


@pytest.mark.parametrize("phase", [7.5 / 30, 8 / 30])
def test_speed_is_stamped_between_its_frames(phase: float) -> None:
    pose = locked_dance(120, phase=phase)
    beats = ba.motion_beats(pose[..., :2], pose[..., 2])
    off_the_stamp = abs(phase * 30 % 1 - 0.5) / 30
    np.testing.assert_allclose(np.abs(beats - clicks(120, phase=phase)).max(), off_the_stamp, atol=1e-6)


def test_recall_and_precision_have_bailandos_and_aists_directions() -> None:
    music = clicks(120)
    half = ba.score_beats(music[::2], music)
    assert half.precision == 1.0
    assert half.recall == pytest.approx(0.5)
    assert half.f1 == pytest.approx(2 / 3)
    assert (half.value("bailando60"), half.value("aist60")) == (half.recall, half.precision)


def test_a_still_dancer_has_no_beats_and_is_counted_not_scored() -> None:
    still = np.ones((300, 60, 3), np.float32)
    motion = ba.motion_beats(still[..., :2], still[..., 2])
    assert len(motion) == 0
    report = ba.beat_report([clip(120), ba.BeatClip(motion, clicks(100), 100, 10.0)])
    assert report.clips == 1
    assert report.clips_without_motion_beats == 1
    assert report.value >= 0.99


def test_unseen_joints_are_left_out() -> None:
    pose = locked_dance(120)
    broken = pose.copy()
    broken[::7, 4, :2] = 50.0
    broken[::7, 4, 2] = 0.1
    np.testing.assert_allclose(ba.motion_beats(broken[..., :2], broken[..., 2]), ba.motion_beats(pose[..., :2], pose[..., 2]), atol=0.02)


def test_null_leaves_out_songs_of_nearly_the_same_tempo() -> None:
    one = clip(120)
    songs = [(clicks(124), 124.0), (clicks(115), 115.0), (clicks(127), 127.0)]
    assert len(ba.null_values(one, songs)) == 1
    assert np.isnan(ba.beat_report([one, clip(122)]).null)


@pytest.mark.parametrize("protocol", ba.PROTOCOLS)
def test_locked_dances_beat_their_nulls(protocol: ba.Protocol) -> None:
    rng = np.random.default_rng(0)
    clips = [clip(bpm, protocol, phase=rng.uniform(0, 0.6)) for bpm in rng.uniform(90, 140, size=12)]
    report = ba.beat_report(clips, protocol=protocol)
    assert report.low <= report.value <= report.high
    assert report.value > 0.9
    assert report.null < 0.4
    assert report.chance < 0.4
    assert report.z > 15
    assert report.motion_beats_per_second == pytest.approx(report.music_beats_per_second, rel=0.05)
    assert set(report.as_dict("val/")) >= {"val/value", "val/null", "val/z", "val/chance", "val/clips"}


def test_random_motion_is_at_its_null() -> None:
    rng = np.random.default_rng(1)
    clips = []
    for bpm in rng.uniform(90, 140, size=20):
        walk = np.cumsum(rng.normal(size=(300, 60, 2)), axis=0).astype(np.float32)
        clips.append(ba.BeatClip(ba.motion_beats(walk, np.ones((300, 60), np.float32)), clicks(bpm), bpm, 10.0))
    report = ba.beat_report(clips)
    assert abs(report.z) < 4
    assert report.value == pytest.approx(report.null, abs=0.06)


def test_forty_by_forty_nulls_take_seconds_not_minutes() -> None:
    rng = np.random.default_rng(0)
    start = time.process_time()
    report = ba.beat_report([clip(bpm) for bpm in rng.uniform(90, 140, size=40)])
    assert report.clips == 40
    assert time.process_time() - start < 5
