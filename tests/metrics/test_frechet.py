"""Distances between sets against closed forms."""

import numpy as np
import pytest
import torch

from xdancer.metrics import frechet as fr


def test_frechet_of_a_set_with_itself_is_zero_and_of_a_shift_its_square() -> None:
    features = np.random.default_rng(0).normal(size=(500, 8))
    assert fr.frechet_distance(features, features) == pytest.approx(0, abs=1e-8)
    assert fr.frechet_distance(features + 0.5, features) == pytest.approx(8 * 0.25)
    assert fr.frechet_distance(2 * features, features) == pytest.approx(
        np.trace(np.cov(features, rowvar=False)) + 3 * (features.mean(axis=0) ** 2).sum() - 2 * (features.mean(axis=0) ** 2).sum()
    )


def test_kernel_distance_is_unbiased_with_an_interval() -> None:
    rng = np.random.default_rng(0)
    values = [fr.kernel_distance(rng.normal(size=(60, 8)), rng.normal(size=(60, 8)), draws=2)[0] for _ in range(100)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 10
    value, low, high = fr.kernel_distance(rng.normal(size=(200, 8)) + 1, rng.normal(size=(200, 8)))
    assert 0 < low < value < high
    value, low, high = fr.kernel_distance(rng.normal(size=(200, 8)), rng.normal(size=(200, 8)))
    assert low < 0 < high


def test_windows_of_one_clip_are_not_independent() -> None:
    rng = np.random.default_rng(0)
    clips = np.repeat(np.arange(10), 20)
    generated, real = (rng.normal(size=(10, 4))[clips] + 0.1 * rng.normal(size=(200, 4)) for _ in range(2))
    assert fr.kernel_distance(real, real, clips=(clips, clips)) == pytest.approx((0, 0, 0), abs=1e-9)
    _, low, high = fr.kernel_distance(generated, real)
    _, low_clips, high_clips = fr.kernel_distance(generated, real, clips=(clips, clips))
    assert high_clips - low_clips > 1.5 * (high - low)
    values = []
    for _ in range(100):
        sets = [rng.normal(size=(20, 4))[np.repeat(np.arange(20), 3)] + 0.1 * rng.normal(size=(60, 4)) for _ in range(2)]
        labels = np.repeat(np.arange(20), 3)
        values.append(fr.kernel_distance(sets[0], sets[1], clips=(labels, labels), draws=2)[0])
    assert abs(np.mean(values)) < 3 * np.std(values) / 10


def test_too_few_samples_are_refused() -> None:
    few = np.zeros((639, 64))
    assert not fr.enough_for_frechet(few, few)
    assert fr.enough_for_frechet(np.zeros((640, 64)), np.zeros((640, 64)))
    with pytest.raises(ValueError, match=r"at least 2 samples \(of different clips\) in each set, got 1 and 2"):
        fr.kernel_distance(few[:1], few[:2])


def test_alex16_sees_motion_as_well_as_appearance() -> None:
    features = fr.AlexWindowFeatures()
    picture = torch.rand(3, 40, 32) * 2 - 1
    still = picture.expand(16, 3, 40, 32)
    moving = torch.stack([picture.roll(2 * shift, dims=-1) for shift in range(16)])
    out = features(torch.stack([still, still, moving]))
    assert out.shape == (3, 64)
    assert torch.allclose(out[0], out[1], atol=1e-5)
    assert (out[0] - out[2]).norm() > 0.05
    assert torch.allclose(out, fr.AlexWindowFeatures()(torch.stack([still, still, moving])), atol=1e-6)
    with pytest.raises(ValueError, match="windows of 16 frames, got 8"):
        features(torch.zeros(1, 8, 3, 32, 32))


def test_metric_equals_the_functions() -> None:
    rng = np.random.default_rng(0)
    generated, real = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    metric = fr.FeatureDistances(4)
    for clip in range(6):
        part = slice(10 * clip, 10 * clip + 10)
        metric.update(torch.from_numpy(generated[part]), torch.from_numpy(real[part]), clip=clip)
    result = metric.compute()
    clips = np.repeat(np.arange(6), 10)
    assert result["kernel"] == pytest.approx(fr.kernel_distance(generated, real, clips=(clips, clips))[0])
    assert result["frechet"] == pytest.approx(fr.frechet_distance(generated, real))
    assert result["samples"] == 60
