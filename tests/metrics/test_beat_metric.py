"""The metric gives what the pure functions give."""

import numpy as np
import pytest

from xdancer.metrics.beat_alignment import BeatClip, beat_report
from xdancer.metrics.beat_metric import BeatAlignment
from xdancer.metrics.means import Means


def clips() -> list[BeatClip]:
    rng = np.random.default_rng(0)
    made = []
    for tempo in np.linspace(90, 140, 9):
        music = np.arange(0.3, 8, 60 / tempo)
        made.append(BeatClip(np.sort(music + rng.normal(scale=0.05, size=len(music))), music, float(tempo), 8.0))
    return [*made, BeatClip(np.zeros(0), made[0].music, 90.0, 8.0)]


@pytest.mark.parametrize("protocol", ["seconds", "bailando60", "aist60"])
def test_sums_equal_the_report(protocol: str) -> None:
    everything = clips()
    metric = BeatAlignment(protocol, songs=[(clip.music, clip.tempo) for clip in everything])
    for clip in everything:
        metric.update(clip)
    report, result = beat_report(everything, protocol=protocol).as_dict(), metric.compute()
    drawn = {"low": 0.02, "high": 0.02, "null_low": 0.02, "null_high": 0.02, "percentile": 1.0}  # other random numbers
    for name, value in result.items():
        assert value == pytest.approx(report[name], rel=1e-9, abs=drawn.get(name)), name
    assert result["clips_without_motion_beats"] == 1


def test_one_clip_has_no_interval_and_none_has_no_figure() -> None:
    metric = BeatAlignment()
    metric.update(clips()[-1])
    assert np.isnan([metric.compute()[name] for name in ("value", "low", "null", "percentile")]).all()
    metric.update(clips()[0])
    result = metric.compute()
    assert result["clips"] == 1
    assert result["value"] > 0
    assert np.isnan([result[name] for name in ("low", "high", "null", "z")]).all()
    metric.update(clips()[1])
    assert metric.compute()["low"] <= metric.compute()["value"] <= metric.compute()["high"]


def test_means_leave_out_what_is_unknown() -> None:
    means = Means(["a", "b"])
    for number in range(10):
        means.update({"a": float(number), "b": float("nan")})
    assert means.compute() == {"a": 4.5, "b": pytest.approx(float("nan"), nan_ok=True)}
