"""The plan of a data set: splits share nothing, tempo and phase are continuous, every choice follows from the seed."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from xdancer.embedded.choreography import phrases_danced
from xdancer.embedded.identity import IDENTITY_COUNTS, make_identity
from xdancer.embedded.phrases import make_phrase, phrase_name
from xdancer.embedded.plan import SPLITS, EmbeddedConfig, plan_clips
from xdancer.embedded.styles import STYLES
from xdancer.errors import XDancerError

CONFIG = EmbeddedConfig()


def test_splits_share_no_song_dancer_or_phrase() -> None:
    plans = {split: plan_clips(CONFIG, split) for split in SPLITS}
    for first, second in itertools.combinations(SPLITS, 2):
        for names in (lambda p: {p.song}, lambda p: {p.identity}, lambda p: set(p.phrases)):
            assert not set().union(*map(names, plans[first])) & set().union(*map(names, plans[second]))
    songs = [plan.song for clips in plans.values() for plan in clips]
    assert len(songs) == len(set(songs))


def test_no_two_splits_hold_the_same_phrase_under_another_name() -> None:
    keys = [make_phrase(phrase_name(split, style, index)).keys.tobytes() for split in SPLITS for style in STYLES for index in range(16)]
    assert len(keys) == len(set(keys))


def test_enough_dancers_that_look_different() -> None:
    assert sum(IDENTITY_COUNTS.values()) >= 24
    used = {plan.identity for plan in plan_clips(EmbeddedConfig(test_clips=32), "test")}
    assert len(used) == IDENTITY_COUNTS["test"]
    looks = np.array([[*make_identity(name).look.top, *make_identity(name).look.trousers] for name in sorted(used)])
    distance = np.linalg.norm(looks[:, None] - looks[None], axis=-1) + 9 * np.eye(len(looks))
    assert np.median(distance.min(1)) > 0.15


def test_tempo_and_start_are_continuous() -> None:
    clips = plan_clips(CONFIG, "train")
    tempos, phases = np.sort([c.grid.tempo for c in clips]), np.sort([c.grid.start_phase % 1 for c in clips])
    assert tempos[0] >= 90
    assert tempos[-1] <= 140
    assert tempos[0] < 92
    assert tempos[-1] > 138
    assert np.diff(tempos).max() < 2
    assert len(set(tempos)) == len(clips)
    assert np.diff(phases).max() < 0.03


def test_all_styles_appear_and_video_comes_first() -> None:
    clips = plan_clips(CONFIG, "train")
    assert {clip.style for clip in clips[:8]} == set(STYLES)
    assert [clip.video for clip in clips].count(True) == 96
    assert all(clip.video for clip in clips[:96])


def test_the_seed_decides() -> None:
    assert plan_clips(CONFIG, "val") == plan_clips(CONFIG, "val")
    assert plan_clips(CONFIG, "val") != plan_clips(EmbeddedConfig(seed=1), "val")
    assert plan_clips(EmbeddedConfig(train_clips=5), "train") == plan_clips(EmbeddedConfig(train_clips=9), "train")[:5]


def test_free_dances_follow_the_song_in_tempo_or_half_of_it_and_no_style() -> None:
    followed, free = plan_clips(CONFIG, "train"), plan_clips(replace(CONFIG, free_dances=1.0), "train")
    assert all(plan.style == plan.song_style and plan.dance_grid == plan.grid for plan in followed)
    assert [plan.song_style for plan in free] == [plan.song_style for plan in followed]
    assert [plan.grid for plan in free] == [plan.grid for plan in followed]
    same = sum(plan.style == plan.song_style for plan in free) / len(free)
    assert 0.05 < same < 0.25  # one of eight by chance
    halves = [plan for plan in free if plan.dance_grid != plan.grid]
    assert 0.4 < len(halves) / len(free) < 0.6
    for plan in halves:
        assert set(np.round(plan.dance_grid.beats(8.0), 6)) <= set(np.round(plan.grid.beats(8.0), 6))
    some = plan_clips(replace(CONFIG, free_dances=0.25), "train")
    assert 0.1 < sum(a != b for a, b in zip(some, followed, strict=True)) / len(some) < 0.4


def test_the_record_of_a_plain_set_does_not_name_what_came_later() -> None:
    """Else standing data sets of earlier versions would count as others."""
    assert "free_dances" not in CONFIG.record()
    assert replace(CONFIG, free_dances=0.5).record()["free_dances"] == 0.5


def test_danced_phrases_are_of_the_clip() -> None:
    for plan in plan_clips(CONFIG, "test"):
        assert set(phrases_danced(plan.phrases, plan.grid, 240)) <= set(plan.phrases)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"val_clips": 0}, "val_clips is 0"), ({"seconds": 0.5}, "0.5 s"), ({"size": 33}, "33 pixels"), ({"features": ("mel",)}, "'mel'"),
     ({"video_clips": -1}, "video_clips is -1")],
)  # fmt: skip
def test_impossible_configs_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(XDancerError, match=message):
        EmbeddedConfig(**change)  # type: ignore[arg-type]
