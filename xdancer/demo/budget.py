"""How much of everything a demo of so many minutes does: the one place with its numbers.

The steps are functions of `--minutes` alone, never of the machine's speed, so that the same seed and minutes give the same result everywhere;
data and evaluation are always the same, so that figures of different minutes can be compared. The default of 15 minutes stays below that on two
cores of about 65 GFLOP/s (fp32, one thread); data set and evaluation alone take about five.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdancer.errors import XDancerError

DEFAULT_MINUTES = 15.0
LEAST_MINUTES = 1
STEPS = {"vqvae": 1500, "gpt": 2600, "video_image": 320, "video_temporal": 40}
"""Optimiser steps of the training phases at the default minutes."""
SECONDS = {
    "data": 160.0, "vqvae": 62.0, "gpt": 470.0, "video_image": 300.0, "video_temporal": 70.0, "unseen": 10.0, "motion_evaluation": 60.0,
    "export": 8.0, "generate": 25.0, "video_evaluation": 60.0,
}  # fmt: skip
"""What every phase takes at the default minutes on the measured machine; only for the estimate of the time left."""
SHIPPED_SECONDS = {"unseen": 6.0, "generate": 70.0, "data": 35.0, "motion_evaluation": 30.0, "video_evaluation": 40.0}
"""The same with the model in the package."""


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
    """Held-out clips with a video: some more than are measured, because a portrait in which arms hide the clothes cannot be told by them."""
    measured_videos: int
    """The clips of the video figures."""
    steps: Mapping[str, int]
    """Optimiser steps by training phase."""
    video_frames: int
    """Frames per clip of the video evaluation."""
    dance_seconds: float
    """Length of the dance of the unseen portrait to the unseen song."""
    size: int
    """Width and height of the videos in pixels."""
    features: Sequence[str]
    """Music features of the clips."""

    def seconds(self, phase: str) -> float:
        """What a phase takes on the measured machine."""
        if not self.steps:
            return SHIPPED_SECONDS[phase]
        return SECONDS[phase] * (self.minutes / DEFAULT_MINUTES if phase in STEPS else 1.0)

    @staticmethod
    def shipped() -> "Budget":
        """The budget of a demo of the model in the package: nothing is trained, so it needs held-out clips only (and one of each split)."""
        return Budget(
            minutes=0.0, train_clips=1, val_clips=1, test_clips=6, train_videos=0, test_videos=5, measured_videos=4, steps={},
            video_frames=16, dance_seconds=8.0, size=192, features=("librosa",),
        )  # fmt: skip

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
        return Budget(
            minutes=minutes,
            train_clips=480, val_clips=8, test_clips=40, train_videos=96, test_videos=22, measured_videos=16,
            steps={name: _tens(steps * scale) for name, steps in STEPS.items()},
            video_frames=32, dance_seconds=8.0, size=128, features=("librosa", "musicnn"),
        )  # fmt: skip


def _tens(steps: float) -> int:
    """The nearest multiple of ten, so that checkpoints and validations fall on the last step; at least ten."""
    return max(10, 10 * round(steps / 10))
