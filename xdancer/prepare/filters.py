"""Which stretch of a cut shows a person, and how good its poses are."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.skeleton import BODY, BODY_COUNT, LEFT_HAND, RIGHT_HAND, VISIBLE

LONGEST_GAP = 0.5
"""Seconds without a person that a clip may contain; keypoints are held meanwhile, with confidence 0."""


def longest_presence(pixels: Float[np.ndarray, "frame 60 3"], times: NDArray[np.float64]) -> slice:
    """The longest run of frames with a person (half of the body keypoints visible), short gaps bridged; may be empty."""
    present = np.flatnonzero((pixels[:, BODY, 2] >= VISIBLE).sum(axis=1) >= BODY_COUNT // 2)
    if not len(present):
        return slice(0, 0)
    breaks = np.flatnonzero(np.diff(times[present]) > LONGEST_GAP + np.median(np.diff(times)))
    starts = present[np.append(0, breaks + 1)]
    ends = present[np.append(breaks, len(present) - 1)]
    best = int(np.argmax(times[ends] - times[starts]))
    return slice(int(starts[best]), int(ends[best]) + 1)


def measure_quality(pixels: Float[np.ndarray, "frame 60 3"]) -> dict[str, Any]:
    """Shares of keypoints seen in a clip, for later filtering."""
    visible = pixels[..., 2] >= VISIBLE

    def share(part: slice) -> float:
        return round(float(visible[:, part].mean()), 4)

    return {
        "body_seen": share(BODY),
        "left_hand_seen": share(LEFT_HAND),
        "right_hand_seen": share(RIGHT_HAND),
        "person_seen": round(float((visible[:, BODY].sum(axis=1) >= BODY_COUNT // 2).mean()), 4),
    }
