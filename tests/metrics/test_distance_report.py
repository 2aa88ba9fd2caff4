"""Distances between sets against closed forms, and all that is printed beside them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from xdancer.errors import XDancerError
from xdancer.metrics import distance_report as dr
from xdancer.metrics.feature_sets import FeatureSet, Footage, collect
from xdancer.metrics.frechet import frechet_distance
from xdancer.metrics.video_networks import make_features
from xdancer.metrics.video_protocols import PROTOCOLS, VideoProtocol

PROTOCOL = VideoProtocol("tiny", "alex16", 128, hop=16)


def made(features: NDArray[np.float64], *, clips: int = 10, prefix: str = "", protocol: VideoProtocol = PROTOCOL) -> FeatureSet:
    labels = np.arange(len(features)) * clips // len(features)
    keys = tuple(f"{prefix}{index}" for index in range(clips))
    return FeatureSet(protocol, "abc", features, labels.astype(np.int64), keys, "c", fps=(30.0, 30.0))


def normal(rows: int, width: int, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, width)) @ rng.normal(size=(width, width)) + 3


@pytest.mark.parametrize("rows", [12, 40, 200])
def test_a_set_is_at_distance_0_from_itself_and_a_shift_at_its_square(rows: int) -> None:
    features = normal(rows, 32)
    unit = np.trace(np.cov(features, rowvar=False))
    same = dr.compare(made(features), made(features))
    assert same.frechet == pytest.approx(0, abs=1e-6 * unit)
    assert (same.kernel, same.kernel_low, same.kernel_high) == pytest.approx((0, 0, 0), abs=1e-9)
    shifted = dr.compare(made(features + 0.5), made(features)).frechet
    assert shifted == pytest.approx(32 * 0.25, abs=1e-6 * unit)
    assert same.rank_deficient == (rows <= 32)


def test_rank_deficient_sets_go_through_their_windows_to_the_same_value() -> None:
    few, many = normal(20, 24), normal(300, 24, seed=1)
    unit = np.trace(np.cov(many, rowvar=False))
    assert dr._frechet(few, many) == pytest.approx(frechet_distance(few, many), abs=1e-6 * unit)
    line = np.linspace(-1, 1, 5)[:, None] * np.eye(6)[0]
    assert dr._frechet(2 * line, line) == pytest.approx(np.var(line[:, 0], ddof=1))  # (2σ − σ)² along the one axis
    assert dr._frechet(line, line @ np.roll(np.eye(6), 1, axis=1)) == pytest.approx(2 * np.var(line[:, 0], ddof=1))  # at right angles


def test_videos_of_zeros_and_of_ones_are_apart() -> None:
    protocol = PROTOCOLS["xdancer16"]

    def constant(key: str, value: int) -> Footage:
        return Footage(key, f"{key}{value}", lambda: (np.full((16, 16, 16, 3), value, np.uint8), 30.0))

    features = make_features("alex16")
    zeros, ones = (collect([constant("a", value), constant("b", value)], features, replace(protocol, minimum=2)) for value in (0, 1))
    report = dr.compare(zeros, ones)
    assert report.frechet is not None
    assert report.frechet > 0
    assert dr.compare(zeros, zeros).frechet == 0
    whites = collect([constant("a", 255), constant("b", 255)], features, replace(protocol, minimum=2))
    further = dr.compare(zeros, whites).frechet
    assert further is not None
    assert further > 10 * report.frechet
    refused = dr.compare(replace(zeros, protocol=protocol), replace(ones, protocol=protocol))
    assert refused.frechet is None
    assert refused.frechet_reason == "2 windows in the smaller set, xdancer16 asks for 640 at 64 dimensions"


def test_only_i3d_is_called_fvd() -> None:
    assert dr.value_name(PROTOCOLS["styleganv2048"]) == "fvd_i3d@styleganv2048"
    assert dr.value_name(PROTOCOLS["xdancer16"]) == "frechet_alex16@xdancer16"
    assert dr.value_name(PROTOCOLS["cd-fvd"]) == "frechet_videomae@cd-fvd"
    assert dr.value_name(PROTOCOLS["fidvid16"], subject="motion") == "motion_frechet_resnet3d50@fidvid16"


def test_the_report_carries_what_the_value_depends_on() -> None:
    generated, real = made(normal(12, 32), clips=3), replace(made(normal(40, 32, seed=1)), fps=(24.0, 25.0), too_short=("x", "y"))
    report = dr.compare(generated, real)
    row = report.row()
    counts = {"n_generated": 12, "n_real": 40, "clips_generated": 3, "clips_real": 10, "width": 32, "rank_deficient": True}
    assert {name: row[name] for name in counts} == counts
    assert row["name"] == "frechet_alex16@tiny"
    expected = {"protocol": "tiny", "frames": 16, "stride": 1, "hop": 16, "fps": None, "resize": "bilinear", "crop": "none", "size": 128}
    assert {name: row[name] for name in expected} == expected
    assert row["network_digest"] == "abc"
    assert "12 windows for 32 dimensions" in report.notes[0]
    assert report.notes[1:] == (
        "2 real videos left out: shorter than 16 frames",
        "frame rates differ: generated 30, real 24–25 fps, taken as they are",
    )
    said = str(report)
    for words in (
        "frechet_alex16@tiny",
        "(rank-deficient)",
        "n 12 generated of 3 videos, 40 real of 10",
        "network alex16 abc",
        "fps as they are",
    ):
        assert words in said
    short = dr.compare(*(made(normal(12, 8), protocol=replace(PROTOCOL, hop=None, clips_per_video=1, clips=20)) for _ in range(2)))
    sliding = dr.compare(*(made(normal(12, 8), protocol=replace(PROTOCOL, hop=1)) for _ in range(2)))
    assert sliding.notes == ("windows overlap by 15 frames: n counts windows that are no independent samples",)
    assert short.notes == ("12 generated windows where tiny has 20", "12 real windows where tiny has 20")


def test_what_cannot_be_computed_is_said() -> None:
    report = dr.compare(made(normal(1, 8), clips=1), made(normal(40, 8)))
    assert (report.frechet, report.kernel, report.kernel_low) == (None, None, None)
    assert report.frechet_reason == "1 windows in the smaller set, tiny asks for 2 at 8 dimensions"
    assert report.kernel_reason == "a set has one video only, and windows of one video are no independent samples"
    assert "kernel not given (a set has one video only" in str(report)
    empty = FeatureSet(PROTOCOL, "abc", np.zeros((0, 8)), np.zeros(0, np.int64), (), "c", too_short=("a", "b"))
    with pytest.raises(XDancerError, match=r"No generated video gives a window of 16 frames under tiny \(2 videos are shorter\)"):
        dr.compare(empty, made(normal(40, 8)))
    with pytest.raises(XDancerError, match="different protocols"):
        dr.compare(made(normal(40, 8)), made(normal(40, 8), protocol=replace(PROTOCOL, stride=2)))


def test_the_kernel_distance_is_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dr, "KERNEL_WINDOWS", 20)
    features = normal(50, 8)
    report = dr.compare(made(features), made(features + 10, prefix="r"))
    assert report.notes == ("kernel distance on 20 of 50 windows, spread evenly",)
    assert report.kernel is not None
    assert report.kernel > 0
