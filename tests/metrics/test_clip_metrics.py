"""Figures of clips as torchmetrics classes: the mean of their functions, and what cannot be known is counted apart."""

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from xdancer.metrics import clip_metrics as cm
from xdancer.metrics.diversity import diversity, kinetic_features
from xdancer.metrics.motion_quality import border_gap, foot_sliding, hand_score, jerk_ratio, pose_changes
from xdancer.metrics.perceptual import lpips
from xdancer.metrics.pose import body_height, keypoint_errors, pck
from xdancer.metrics.reconstruction import psnr, ssim
from xdancer.pipelines.standing import standing_pose


def dance(seed: int, frames: int = 40) -> np.ndarray:
    """A standing person whose arms wander."""
    rng = np.random.default_rng(seed)
    pose = np.repeat(standing_pose()[None], frames, axis=0).astype(np.float32)
    pose[:, [3, 4, 6, 7], :2] += 0.02 * rng.normal(size=(frames, 4, 2)).cumsum(axis=0).astype(np.float32)
    return pose


def test_pictures() -> None:
    clips = [torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in range(3)]
    region = torch.zeros(4, 32, 32, dtype=torch.bool)
    region[:, 8:24, 8:24] = True
    together = MetricCollection({"psnr": cm.PSNR(), "ssim": cm.SSIM(), "lpips": cm.LPIPS()})
    inside = cm.PSNR()
    for one, other in clips:
        together.update(one, other)
        inside.update(one, other, region)
    found = together.compute()
    for name, function in (("psnr", psnr), ("ssim", ssim), ("lpips", lambda one, other: float(lpips(one, other).mean()))):
        assert found[name].dtype == torch.float64
        assert float(found[name]) == pytest.approx(np.mean([function(one, other) for one, other in clips]), rel=1e-6)
    assert float(inside.compute()) == pytest.approx(np.mean([psnr(one, other, region) for one, other in clips]))
    assert (inside.higher_is_better, cm.LPIPS.higher_is_better) == (True, False)


def test_another_network_is_injected() -> None:
    metric = cm.LPIPS(lambda one, other: (one - other).abs().mean(dim=(1, 2, 3)))
    metric.update(torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8))
    assert float(metric.compute()) == 1


def test_poses_of_two() -> None:
    pairs = [(dance(seed), dance(seed + 10)) for seed in range(3)]
    expected = {
        cm.PCK(): [pck(*pair) for pair in pairs],
        cm.PCK(0.01): [pck(*pair, 0.01) for pair in pairs],
        cm.PoseError(): [100 * keypoint_errors(*pair)["full"] / body_height(pair[1]) for pair in pairs],
        cm.PoseError("hands"): [100 * keypoint_errors(*pair)["hands"] / body_height(pair[1]) for pair in pairs],
        cm.Jitter(): [jerk_ratio(*pair) for pair in pairs],
    }
    for metric, values in expected.items():
        for pair in pairs:
            metric.update(*pair)
        assert float(metric.compute()) == pytest.approx(np.mean(values)), metric


def test_poses_of_one() -> None:
    poses = [dance(seed) for seed in range(3)]
    hands, feet, gap = cm.HandScore(), cm.FootSliding(), cm.BorderGap()
    for pose in poses:
        hands.update(pose)
        feet.update(pose, 24.0)
        gap.update(pose, [20])
    assert float(hands.compute()) == pytest.approx(np.mean([hand_score(pose).score for pose in poses]))
    assert float(feet.compute()) == pytest.approx(np.mean([foot_sliding(pose, fps=24.0).speed for pose in poses]))
    assert float(gap.compute()) == pytest.approx(np.mean([border_gap(pose_changes(pose), [20]) for pose in poses]))


def test_what_cannot_be_known_is_in_no_mean() -> None:
    pose = dance(0)
    hidden = pose.copy()
    hidden[..., 2] = 0
    feet, equal = cm.FootSliding(), cm.PSNR()
    feet.update(pose)
    feet.update(hidden)
    assert float(feet.compute()) == pytest.approx(foot_sliding(pose).speed)
    assert (float(feet.seen), float(feet.unknown)) == (1, 1)
    equal.update(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    assert np.isnan(float(equal.compute()))
    assert float(equal.unknown) == 1


def test_diversity_by_the_pool_s_scale() -> None:
    poses = [dance(seed) for seed in range(5)]
    pool = np.stack([kinetic_features(dance(seed)) for seed in range(20, 30)])
    metric = cm.KineticDiversity(pool)
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert np.isnan(float(metric.compute()))
    metric.reset()
    hidden = dance(9)
    hidden[..., 2] = 0
    for pose in (*poses, hidden):
        metric.update(pose)
    assert float(metric.compute()) == pytest.approx(diversity(np.stack([kinetic_features(pose) for pose in poses]), pool))
