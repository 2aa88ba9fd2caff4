"""The recorded loops: closed, on the beat, and no recorded frame in two splits."""

import numpy as np
import pytest

from xdancer.embedded.body import assemble
from xdancer.embedded.identity import make_identity
from xdancer.embedded.mocap import LOOP_BEATS, SAMPLES_PER_BEAT, load_loop
from xdancer.embedded.phrases import MOCAP_BEATS


@pytest.mark.parametrize("name", ["a", "b"])
def test_loops_close_and_stand_on_the_floor(name: str) -> None:
    loop = load_loop(name)
    assert loop.shape == (LOOP_BEATS * SAMPLES_PER_BEAT, 51)
    steps = np.linalg.norm(np.diff(np.concatenate([loop, loop[:1]]), axis=0), axis=-1)
    assert steps[-1] < 3 * np.median(steps) or steps.argmax() != len(steps) - 1
    points = assemble(loop, make_identity("train-dancer-000").body).points
    assert points[:, [10, 13], 1].min() > 0
    assert points[:, 0, 2].mean() > points[:, 1, 2].mean()  # faces the camera


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_loop_is_slowest_on_its_beats(name: str) -> None:
    loop = load_loop(name)
    speed = np.linalg.norm(np.diff(np.concatenate([loop, loop[:1]]), axis=0), axis=-1)
    beat = (np.arange(len(loop)) + 0.5) / SAMPLES_PER_BEAT
    fit = [float((speed * -np.cos(2 * np.pi * (beat - shift))).sum()) for shift in np.arange(SAMPLES_PER_BEAT) / SAMPLES_PER_BEAT]
    assert int(np.argmax(fit)) in (0, 1, SAMPLES_PER_BEAT - 1)


def test_every_recorded_beat_belongs_to_one_split() -> None:
    owned = [(loop, beat) for ranges in MOCAP_BEATS.values() for loop, first, end in ranges for beat in range(first, end)]
    assert len(owned) == len(set(owned)) == 2 * LOOP_BEATS
