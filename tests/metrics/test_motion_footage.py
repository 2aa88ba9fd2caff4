"""Poses drawn as videos in one style."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from xdancer.metrics.distance_report import compare
from xdancer.metrics.feature_sets import collect
from xdancer.metrics.motion_footage import SIDE, draw_motion, motion_footage
from xdancer.metrics.video_protocols import PROTOCOLS
from xdancer.pose.render import draw_skeleton


def dance(frames: int, *, speed: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pose = np.concatenate([rng.uniform(-0.5, 0.5, (60, 2)), np.ones((60, 1))], axis=1)
    out = np.repeat(pose[None], frames, axis=0).astype(np.float32)
    out[..., 0] += speed * np.arange(frames)[:, None] / 30
    return out


def test_the_style_is_fixed() -> None:
    pose = dance(2, speed=1.0)
    pose[:, 4, 2] = 0.2
    drawn = draw_motion(pose)
    assert drawn.shape == (2, 256, 256, 3)
    assert np.array_equal(drawn[1], draw_skeleton(pose[1], SIDE, SIDE, stick=2))
    assert (drawn[0, 0, 0] == 0).all()
    assert drawn.any()
    assert draw_motion(pose[:0]).shape == (0, 256, 256, 3)


def test_content_tells_poses_and_rates_apart() -> None:
    pose = dance(4, speed=1.0)
    known = motion_footage("a", pose, fps=30.0).content
    assert motion_footage("b", pose.copy(), fps=30.0).content == known
    assert len({known, motion_footage("a", pose, fps=25.0).content, motion_footage("a", pose + 0.001, fps=30.0).content}) == 3


class Flicker:
    """How much each frame differs from the one before."""

    name, window, width, size, value_range, digest = "flicker", 16, 15, 32, (-1.0, 1.0), "0"

    def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]:
        return windows.diff(dim=1).abs().mean(dim=(2, 3, 4))


def test_motion_has_its_own_distance() -> None:
    protocol = PROTOCOLS["xdancer16"].with_network(Flicker())
    sets = []
    for speed in (0.0, 0.5):
        dances = [motion_footage(f"{speed} {seed}", dance(32, speed=speed, seed=seed), fps=30.0) for seed in range(2)]
        sets.append(collect(dances, Flicker(), protocol, subject="motion"))
    report = compare(*sets)
    assert report.name == "motion_frechet_flicker@xdancer16"
    assert report.frechet_reason == "4 windows in the smaller set, xdancer16 asks for 640 at 15 dimensions"
    assert report.kernel is not None
    assert report.kernel > 0
    assert (sets[0].features == 0).all()
    assert (sets[1].features > 0).all()
