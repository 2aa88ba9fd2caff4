"""Skeleton pictures against DWPose's own drawing code run with OpenCV."""

import math

import numpy as np
import pytest

from xdancer.pose.coordinates import to_pixels
from xdancer.pose.render import COLOURS, HAND_COLOURS, draw_skeleton
from xdancer.skeleton import BODY_LIMBS, HAND_LIMBS, LEFT_HAND, NECK, RIGHT_ANKLE, RIGHT_HAND, RIGHT_SHOULDER


def random_pose(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    pose = np.concatenate([random.uniform([-0.6, -1.05], [0.6, 1.05], (60, 2)), random.uniform(0.2, 1, (60, 1))], axis=1).astype(np.float32)
    for hand in (LEFT_HAND, RIGHT_HAND):
        pose[hand, :2] = pose[hand, :2][:1] + random.normal(0, 0.06, (21, 2))
    return pose


def drawn_by_opencv(pose: np.ndarray, height: int, width: int) -> np.ndarray:
    """draw_bodypose and draw_handpose of IDEA-Research/DWPose (Apache-2.0), for one person."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV comes with the extra `pose`")
    canvas = np.zeros((height, width, 3), np.uint8)
    points = to_pixels(pose, width=width, height=height).astype(float)[:, :2]
    seen = pose[:, 2] >= 0.3
    for index, (start, end) in enumerate(BODY_LIMBS):
        if seen[start] and seen[end]:
            (x0, y0), (x1, y1) = points[start], points[end]
            length, angle = math.hypot(x0 - x1, y0 - y1), math.degrees(math.atan2(y0 - y1, x0 - x1))
            polygon = cv2.ellipse2Poly((int((x0 + x1) / 2), int((y0 + y1) / 2)), (int(length / 2), 4), int(angle), 0, 360, 1)
            cv2.fillConvexPoly(canvas, polygon, COLOURS[index])
    canvas = (canvas * 0.6).astype(np.uint8)
    for index in np.flatnonzero(seen[:18]):
        cv2.circle(canvas, (int(points[index, 0]), int(points[index, 1])), 4, COLOURS[index], thickness=-1)
    for hand in (LEFT_HAND, RIGHT_HAND):
        whole = points[hand].astype(int)
        shown = seen[hand] & (whole > 0).all(axis=1)
        for edge, (start, end) in enumerate(HAND_LIMBS):
            if shown[start] and shown[end]:
                cv2.line(canvas, whole[start].tolist(), whole[end].tolist(), HAND_COLOURS[edge], thickness=2)
        for x, y in whole[shown].tolist():
            cv2.circle(canvas, (x, y), 4, (0, 0, 255), thickness=-1)
    return canvas


def test_as_dwpose_draws_with_opencv() -> None:
    different = drawn = 0
    for seed in range(8):
        pose = random_pose(seed)
        expected = drawn_by_opencv(pose, 896, 512)
        different += (draw_skeleton(pose, 896, 512) != expected).any(axis=-1).sum()
        drawn += expected.any(axis=-1).sum()
    assert drawn > 100_000
    assert different / drawn < 0.005  # ties at outlines


def test_colours_and_places() -> None:
    pose = np.zeros((60, 3), np.float32)
    pose[NECK], pose[RIGHT_SHOULDER] = (0, 0, 1), (0.5, 0, 1)
    pose[RIGHT_ANKLE] = (-0.5, 0.5, 0.2)  # hardly seen: not drawn
    picture = draw_skeleton(pose, 512, 512)
    assert picture[256, 256].tolist() == [255, 85, 0]
    assert picture[256, 384].tolist() == [255, 170, 0]
    assert picture[256, 320].tolist() == [153, 0, 0]
    assert not picture[384, 128].any()
    assert picture.any(axis=-1).sum() < 2000
    assert HAND_COLOURS[0] == (255, 0, 0)
    assert HAND_COLOURS[10] == (0, 255, 255)


def test_sizes_scale_and_backgrounds_stay() -> None:
    pose = random_pose(1)
    background = np.full((96, 64, 3), 77, np.uint8)
    picture = draw_skeleton(pose, 96, 64, background=background)
    assert (picture == 77).all(axis=-1).mean() > 0.5
    assert draw_skeleton(pose, 32, 32).shape == (32, 32, 3)
    thin, thick = (draw_skeleton(pose, 512, 512, stick=stick).any(axis=-1).sum() for stick in (1, 8))
    assert thick > 3 * thin
    far = pose + np.array([5, 5, 0], np.float32)
    assert not draw_skeleton(far, 64, 64).any()
