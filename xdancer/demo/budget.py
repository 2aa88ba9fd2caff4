"""How much of everything a demo of so many minutes does: the one place with its numbers.

All counts are functions of `--minutes` alone, never of the machine's speed, so that the same seed and minutes give the same result everywhere.
The default of 15 minutes is measured on two cores of about 65 GFLOP/s (fp32, one thread).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from xdancer.errors import XDancerError

DEFAULT_MINUTES = 15
LEAST_MINUTES = 1
STEPS = {"vqvae": 1500, "gpt": 3400, "video_image": 260, "video_temporal": 40}
"""Optimiser steps of the training phases at the default minutes."""
SECONDS = {
    "data": 150.0, "vqvae": 62.0, "gpt": 430.0, "video_image": 190.0, "video_temporal": 70.0, "unseen": 4.0, "motion_evaluation": 47.0,
    "export": 8.0, "generate": 25.0, "video_evaluation": 60.0,
}  # fmt: skip
"""What every phase takes at the default minutes on the measured machine; only for the estimate of the time left."""


@dataclass(frozen=True)
class Budget:
    """Counts of one demo."""

    minutes: float
    train_clips: int
    val_clips: int
    test_clips: int
    """Each with its own song; the held-out clips of the motion figures."""
    train_videos: int
    """How many of the training clips carry a video."""
    test_videos: int
    """Likewise of the held-out ones: the clips of the video figures."""
    steps: Mapping[str, int]
    """Optimiser steps by training phase."""
    video_frames: int
    """Frames per clip of the video evaluation."""
    dance_seconds: float
    """Length of the dance of the unseen portrait to the unseen song."""

    def seconds(self, phase: str) -> float:
        """What a phase takes on the measured machine."""
        return SECONDS[phase] * (self.minutes / DEFAULT_MINUTES if phase in STEPS else 1.0)

    @staticmethod
    def of(minutes: float) -> "Budget":
        """The budget of a demo of about so many minutes on two cores.

        Raises:
            XDancerError: less than one minute.
        """
        if not minutes >= LEAST_MINUTES:
            raise XDancerError(
                f"--minutes {minutes:g}: at least {LEAST_MINUTES} is needed to take every phase once. Choose 5, 15 (default) or 120."
            )
        scale = minutes / DEFAULT_MINUTES
        data = min(1.0, max(0.1, scale * 1.5))  # from 10 minutes on the data set is whole; below, building it would eat the time
        return Budget(
            minutes=minutes,
            train_clips=max(24, round(480 * data)), val_clips=8, test_clips=max(8, round(40 * data)),
            train_videos=max(12, round(96 * data)), test_videos=max(4, round(16 * data)),
            steps={name: _tens(steps * scale) for name, steps in STEPS.items()},
            video_frames=32, dance_seconds=8.0,
        )  # fmt: skip


def _tens(steps: float) -> int:
    """The nearest multiple of ten, so that checkpoints and validations fall on the last step; at least ten."""
    return max(10, 10 * round(steps / 10))
