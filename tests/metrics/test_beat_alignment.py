"""Beat scores against closed forms: a dance locked to clicks, half a frame off, chance, nulls."""

import time
from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from xdancer.errors import XDancerError
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


def test_half_tempo_motion_meets_every_second_beat() -> None:
    phase = 7.5 / 30
    pose = locked_dance(60, phase=phase)
    score = ba.score_beats(ba.motion_beats(pose[..., :2], pose[..., 2]), clicks(120, phase=phase), duration=10.0)
    assert score.recall == pytest.approx(0.5, abs=0.01)
    assert score.precision >= 0.99


def test_the_click_and_its_dance_cut_to_the_music() -> None:
    phase = 7.5 / 30  # beats at (k + ½) / fps
    pose = locked_dance(120, phase=phase, seconds=12.0)
    motion = ba.motion_beats(pose[..., :2], pose[..., 2])
    music = clicks(120, phase=phase)
    score = ba.score_beats(motion[motion < music[-1] + 0.25], music)
    assert score.f1 >= 0.99
    assert score.motion_beats == score.music_beats


def test_white_noise_has_bailandos_chance_score() -> None:
    rng = np.random.default_rng(0)
    music = np.arange(0.25, 20, 0.5)
    scores = []
    for _ in range(300):
        noise = rng.standard_normal((1200, 18, 2), dtype=np.float32)
        motion = ba.motion_beats(noise, np.ones((1200, 18), np.float32), 60.0, protocol="bailando60")
        scores.append(ba.score_beats(motion, music, duration=20.0).value("bailando60"))
    assert np.mean(scores) == pytest.approx(0.29, abs=0.02)


def test_seconds_is_bailando_at_60_fps() -> None:
    rng = np.random.default_rng(0)
    walk = rng.normal(size=(600, 60, 2)).cumsum(axis=0).astype(np.float32)
    ours, theirs = (ba.motion_beats(walk, np.ones((600, 60), np.float32), 60.0, protocol=name) for name in ("seconds", "bailando60"))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    frames = np.abs(clicks(117)[:, None] - ours).min(axis=1) * 60  # Bailando's formula in frames
    assert ba.score_beats(ours, clicks(117)).recall == pytest.approx(np.exp(-(frames**2) / (2 * 3**2)).mean(), abs=1e-9)


def mixed_clips(number: int = 14, *, seed: int = 0) -> list[ba.BeatClip]:
    """Clips of several lengths, off the beat, some still, some silent; songs longer and earlier than the clips."""
    rng = np.random.default_rng(seed)
    made = []
    for index, tempo in enumerate(rng.uniform(90, 140, size=number)):
        duration = float(rng.choice([3.0, 8.0, rng.uniform(1, 12)]))
        motion = np.sort(rng.uniform(0, duration, size=0 if index == 3 else rng.integers(1, 25)))
        music = np.arange(-0.7, 0.0 if index == 5 else 14.0, 60 / tempo)
        made.append(ba.BeatClip(motion, music, float(tempo), duration))
    return made


@pytest.mark.parametrize("protocol", ba.PROTOCOLS)
def test_the_report_in_bulk_is_the_loop_over_clips_and_songs(protocol: ba.Protocol) -> None:
    clips = mixed_clips()
    report = ba.beat_report(clips, protocol=protocol)
    values, nulls, chances = [], [], []
    for one in clips:
        score = ba.score_beats(one.motion, one.music, duration=one.duration)
        if not score.motion_beats or not score.music_beats:
            continue
        values.append(score.value(protocol))
        others = [other.music for other in clips if abs(other.tempo / one.tempo - 1) >= 0.05]
        row = np.array([ba.score_beats(one.motion, music, duration=one.duration).value(protocol) for music in others])
        nulls.append(row[~np.isnan(row)])
        period = 60 / one.tempo
        grids = [np.arange(-1, 99) * period + (phase + 0.5) / 16 * period for phase in range(16)]
        grids = [grid[grid >= (phase + 0.5) / 16 * period - 1e-9] for phase, grid in enumerate(grids)]
        scores = [ba.score_beats(one.motion, grid, duration=one.duration).value(protocol) for grid in grids]
        chances.append(np.nanmean(scores))
        np.testing.assert_allclose(ba.null_values(one, [(other.music, other.tempo) for other in clips], protocol), nulls[-1], atol=1e-12)
    assert report.value == pytest.approx(np.mean(values), abs=1e-12)
    assert report.null == pytest.approx(np.mean([row.mean() for row in nulls]), abs=1e-12)
    spread = np.sqrt(np.sum([row.var() for row in nulls])) / len(nulls)
    assert report.z == pytest.approx((np.mean(values) - np.mean([row.mean() for row in nulls])) / spread, abs=1e-9)
    assert report.chance == pytest.approx(np.mean(chances), abs=1e-12)
    assert (report.clips, report.clips_without_motion_beats, report.clips_without_music_beats) == (12, 1, 1)
    assert report.notes[:2] == ("clips without motion beats, in no mean: 1 of 14", "clips without music beats, in no mean: 1 of 14")


def test_shuffles_agree_with_the_exact_null() -> None:
    clips = mixed_clips(30)
    many = ba.beat_report(clips, shuffles=20_000)
    spread = (many.value - many.null) / many.z
    assert many.shuffles == 20_000
    assert many.null_low == pytest.approx(many.null - 1.96 * spread, abs=0.1 * spread)
    assert many.null_high == pytest.approx(many.null + 1.96 * spread, abs=0.1 * spread)
    below = 50 * (1 + np.tanh(many.z * (0.7988 + 0.0354 * many.z**2)))  # normal distribution
    assert many.percentile == pytest.approx(below, abs=2)
    few = ba.beat_report(clips)
    assert few.shuffles == 200
    assert (few.null, few.z) == (many.null, many.z)
    assert few == ba.beat_report(clips)
    assert few.null_low != ba.beat_report(clips, seed=1).null_low


def test_locked_dances_are_above_every_shuffle() -> None:
    report = ba.beat_report([clip(bpm) for bpm in (90, 100, 110, 120, 130)])
    assert report.percentile == 100
    assert report.null_high < report.low
    assert (ba.percentile_of(1.0, np.array([0.0, 1.0, 2.0, 3.0])), ba.percentile_of(9.0, np.zeros(3))) == (37.5, 100.0)


def test_without_shuffles_and_draws_there_is_no_null_and_the_report_says_so() -> None:
    clips = [clip(90), clip(120)]
    bare, full = ba.beat_report(clips, shuffles=0, draws=0), ba.beat_report(clips)
    assert (bare.value, bare.chance) == (full.value, full.chance)
    assert np.isnan([bare.null, bare.z, bare.percentile, bare.low]).all()
    assert bare.notes == ("no interval was asked for (draws = 0)", "no null was asked for (shuffles = 0)")
    assert full.notes == ("all other songs give the same value: no z",)


def test_tempo_octaves_of_dances_and_of_trackers() -> None:
    half = locked_dance(60)
    motion = ba.motion_beats(half[..., :2], half[..., 2])
    doubled = ba.BeatClip(clip(100).motion, np.arange(0.25, 10, 0.3), 100, 10.0)
    report = ba.beat_report([clip(90), ba.BeatClip(motion, clicks(120), 120, 10.0), doubled])
    flat = report.as_dict()
    assert (flat["motion_tempo_same"], flat["motion_tempo_half"], flat["motion_tempo_clips"]) == pytest.approx((2 / 3, 1 / 3, 3))
    assert (flat["music_tempo_same"], flat["music_tempo_double"], flat["music_tempo_other"]) == pytest.approx((2 / 3, 1 / 3, 0))


@pytest.mark.parametrize("clips", [[], mixed_clips(1), mixed_clips(4)[3:], [ba.BeatClip(clicks(90), np.zeros(0), 0.0, 0.0)]])
def test_poor_sets_give_counts_and_reasons(clips: list[ba.BeatClip]) -> None:
    report = ba.beat_report(clips)
    unknown = [field.name for field in fields(report) if isinstance(value := getattr(report, field.name), float) and np.isnan(value)]
    assert unknown
    assert report.notes
    assert report.clips + report.clips_without_motion_beats + report.clips_without_music_beats >= len(clips)
    if report.clips == 1:
        assert "one clip: no interval over clips" in report.notes
        assert np.isnan(report.low)
        assert report.value == ba.score_beats(clips[0].motion, clips[0].music, duration=clips[0].duration).f1
    else:
        assert any(note.startswith("no clip has both") for note in report.notes)


def test_an_unknown_tempo_takes_a_clip_out_of_null_and_chance() -> None:
    report = ba.beat_report([clip(90), clip(120), ba.BeatClip(clicks(100), clicks(100), 0.0, 10.0)])
    assert (report.clips, report.clips_with_null) == (3, 2)
    assert "clips without a song of another tempo (5 % apart), in no null: 1 of 3" in report.notes
    assert "clips without a tempo, in no chance: 1 of 3" in report.notes
    assert report.motion_tempo.clips == 2


def test_beats_must_ascend() -> None:
    with pytest.raises(XDancerError, match=r"Music beats \[2\. 1\.\]: needs ascending finite seconds"):
        ba.BeatClip(clicks(120), np.array([2.0, 1.0]), 120, 10.0)
    with pytest.raises(XDancerError, match=r"Motion beats \[ ?nan\]"):
        ba.BeatClip(np.array([np.nan]), clicks(120), 120, 10.0)
    with pytest.raises(XDancerError, match=r"Clip of -1\.0 s"):
        ba.BeatClip(clicks(120), clicks(120), 120, -1.0)


def test_forty_by_forty_nulls_take_seconds_not_minutes() -> None:
    rng = np.random.default_rng(0)
    start = time.process_time()
    report = ba.beat_report([clip(bpm) for bpm in rng.uniform(90, 140, size=40)])
    assert report.clips == 40
    assert time.process_time() - start < 5
