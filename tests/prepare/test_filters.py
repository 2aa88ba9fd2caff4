"""Stretches with a person."""

import numpy as np

from xdancer.prepare.filters import longest_presence, measure_quality


def poses(*seen: bool) -> np.ndarray:
    result = np.ones((len(seen), 60, 3), np.float32)
    result[..., 2] = np.array(seen, np.float32)[:, None]
    return result


def test_short_gaps_are_bridged_long_ones_divide() -> None:
    times = np.arange(100) / 10
    seen = np.ones(100, bool)
    seen[10:13] = False  # 0.4 s between two sightings
    seen[60:70] = False
    assert longest_presence(poses(*seen), times) == slice(0, 60)
    seen[10:20] = False
    assert longest_presence(poses(*seen), times) == slice(20, 60)
    assert longest_presence(poses(*[False] * 5), times[:5]) == slice(0, 0)
    assert longest_presence(poses(False, True, False), times[:3]) == slice(1, 2)


def test_quality_counts_what_is_seen() -> None:
    pose = poses(True, True, False, True)
    pose[:2, 18:39, 2] = 0
    quality = measure_quality(pose)
    assert quality == {"body_seen": 0.75, "left_hand_seen": 0.25, "right_hand_seen": 0.75, "person_seen": 0.75}
