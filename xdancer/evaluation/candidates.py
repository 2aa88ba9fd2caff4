"""Which of several dances to one song to take. Reported figures never choose: they are of single dances."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.metrics.beat_alignment import score_beats
from xdancer.metrics.motion_table import beat_clip
from xdancer.skeleton import BODY
from xdancer.types import FPS


def dance_score(pose: Float[NDArray, "frame 60 3"], beats: Float[NDArray, " _"]) -> float:
    """Beat F1 (protocol `seconds`) × mean confidence of the body's keypoints.

    The first says how well the dance keeps the beats (s), the second how sure the model is that it shows a body. Without beats in the music or
    in the motion, the confidence × 0.
    """
    motion = beat_clip(pose, beats, 0.0, "seconds").motion
    f1 = score_beats(motion, beats.astype(np.float64), duration=len(pose) / FPS).f1
    return float(np.nan_to_num(f1) * pose[:, BODY, 2].mean())


def best_by_beat(beats: Float[NDArray, " _"]) -> Callable[[list[Float[NDArray, "_ 60 3"]]], int]:
    """A choice for `MotionPipeline.dance`: the dance of the highest score against these beats, the first of equals."""
    return lambda poses: int(np.argmax([dance_score(pose, beats) for pose in poses]))
