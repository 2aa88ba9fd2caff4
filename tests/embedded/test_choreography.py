"""Dances: on the beat, in style, the same every time, with hands that move."""

import numpy as np
import pytest

from xdancer.embedded.choreography import STYLES, BeatGrid, make_dance, phrase_names, phrases_danced, sample_dance, warp
from xdancer.embedded.identity import identity_name, make_identity
from xdancer.embedded.plan import EmbeddedConfig, plan_clips
from xdancer.metrics.beat_alignment import BeatClip, BeatReport, beat_report
from xdancer.metrics.motion_beats import motion_beats
from xdancer.skeleton import LEFT_HAND, LEFT_WRIST, RIGHT_HAND, RIGHT_WRIST


@pytest.fixture(scope="module")
def report() -> BeatReport:
    """Beat figures of 32 test clips, protocol `seconds`, each clip's song the null of the others."""
    clips = []
    for plan in plan_clips(EmbeddedConfig(test_clips=32), "test"):
        identity = make_identity(plan.identity)
        dance = make_dance(plan.style, plan.phrases, plan.grid, frames=240, identity=identity, energy=plan.energy, accent=plan.accent)
        motion = motion_beats(dance.pose[..., :2], dance.pose[..., 2])
        clips.append(BeatClip(motion, plan.grid.beats(8.0), plan.grid.tempo, 8.0))
    return beat_report(clips)


def test_ground_truth_is_on_its_own_beats(report: BeatReport) -> None:
    assert report.clips == 32
    assert report.f1 >= 0.85
    assert abs(report.motion_beats_per_second / report.music_beats_per_second - 1) < 0.1


def test_ground_truth_is_at_chance_against_other_songs(report: BeatReport) -> None:
    assert abs(report.null - report.chance) <= 0.05


def test_the_same_dance_has_the_same_bytes() -> None:
    assert sample_dance(5).pose.tobytes() == sample_dance(5).pose.tobytes()
    assert sample_dance(5).pose.tobytes() != sample_dance(6).pose.tobytes()


def test_speed_vanishes_on_the_beats_only() -> None:
    phase = np.linspace(0, 4, 401)
    speed = np.gradient(warp(phase, 1.0), phase)
    assert warp(np.arange(5.0), 0.9) == pytest.approx(np.arange(5.0))
    assert speed[100] == pytest.approx(0, abs=0.01)
    assert speed[150] == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("style", STYLES)
def test_fingers_articulate_in_every_style(style: str) -> None:
    identity = make_identity(identity_name("val", 1))
    dance = make_dance(style, phrase_names(style, "val", seed=0, count=3), BeatGrid(110.0, 2.5), frames=240, identity=identity)
    for hand, wrist in ((LEFT_HAND, LEFT_WRIST), (RIGHT_HAND, RIGHT_WRIST)):
        points = dance.body.points[:, hand]
        assert points[:, 0] == pytest.approx(dance.body.points[:, wrist])
        tips = points[:, [0, 4, 8, 12, 16, 20]]
        distances = np.linalg.norm(tips[:, :, None] - tips[:, None], axis=-1) + np.eye(6)
        assert (distances.max(0) / distances.min(0)).max() > 1.4  # fingers bend or spread by that much


def test_a_phrase_of_another_style_is_refused() -> None:
    with pytest.raises(ValueError, match="test-latin-000"):
        make_dance("disco", ["test-latin-000"], BeatGrid(100.0, 0.0), frames=10, identity=make_identity("x"))


def test_only_phrases_that_are_danced_are_named() -> None:
    assert phrases_danced(["a", "b", "c"], BeatGrid(120.0, 0.0), 90) == ["a"]  # 6 beats
    assert phrases_danced(["a", "b", "c"], BeatGrid(120.0, 0.0), 120) == ["a", "b"]  # the eighth beat leads into the next
    assert phrases_danced(["a", "b", "c"], BeatGrid(120.0, 20.0), 240) == ["c", "a", "b"]  # 16 beats, up to the middle of b


def test_poses_stay_finite_and_mostly_in_the_picture() -> None:
    for seed in range(6):
        pose = sample_dance(seed, split="test").pose
        assert np.isfinite(pose).all()
        assert (np.abs(pose[:, :18, :2]).max(-1) < 1).mean() > 0.95
        assert (pose[:, :18, 2] >= 0.3).mean() > 0.9
