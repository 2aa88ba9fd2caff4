"""The metric gives what the pure functions give, in one process and in two."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed

from xdancer.metrics.beat_alignment import BeatClip, beat_report
from xdancer.metrics.beat_metric import BeatAlignment
from xdancer.metrics.frechet import FeatureDistances
from xdancer.metrics.means import Means


def clips() -> list[BeatClip]:
    rng = np.random.default_rng(0)
    made = []
    for tempo in np.linspace(90, 140, 9):
        music = np.arange(0.3, 8, 60 / tempo)
        made.append(BeatClip(np.sort(music + rng.normal(scale=0.05, size=len(music))), music, float(tempo), 8.0))
    return [*made, BeatClip(np.zeros(0), made[0].music, 90.0, 8.0)]


def filled(part: slice) -> tuple[BeatAlignment, Means, FeatureDistances]:
    everything = clips()
    beats = BeatAlignment(songs=[(clip.music, clip.tempo) for clip in everything])
    means, distances = Means(["a", "b"]), FeatureDistances(3)
    for number, clip in list(enumerate(everything))[part]:
        beats.update(clip)
        means.update({"a": float(number), "b": float("nan")})
        features = torch.from_numpy(np.random.default_rng(number).normal(size=(5, 3)))
        distances.update(features, features + 0.1 * number, clip=number)
    return beats, means, distances


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
    _, means, _ = filled(slice(None))
    assert means.compute() == {"a": 4.5, "b": pytest.approx(float("nan"), nan_ok=True)}


def _worker(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    beats, means, distances = filled(slice(rank, None, 2))
    torch.save([beats.compute(), means.compute()["a"], distances.compute()], Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    mp.spawn(_worker, args=(str(tmp_path),), nprocs=2)
    beats, means, distances = (metric.compute() for metric in filled(slice(None)))
    for rank in range(2):
        theirs = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert theirs[0] == pytest.approx(beats, nan_ok=True)
        assert theirs[1] == means["a"]
        assert theirs[2]["kernel"] == pytest.approx(distances["kernel"])
        assert theirs[2]["samples"] == 50
