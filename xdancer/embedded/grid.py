"""The beat grid that a song and its dance share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BeatGrid:
    """Steady beats. Beat number n (a downbeat where n is a multiple of 4) falls at (n − start_phase) · 60 / tempo seconds."""

    tempo: int | float
    """Beats per minute."""
    start_phase: int | float
    """Beats that have passed at time 0; not negative, anything between two beats."""

    def phase(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Beats passed at those times (s)."""
        return self.start_phase + times * (self.tempo / 60)

    def beats(self, seconds: int | float) -> NDArray[np.float64]:
        """Times (s) of all beats in [0, seconds)."""
        numbers = np.arange(np.ceil(self.start_phase), np.ceil(self.start_phase + seconds * self.tempo / 60))
        return (numbers - self.start_phase) * (60 / self.tempo)

    def numbers(self, seconds: int | float) -> NDArray[np.int64]:
        """Numbers of those beats."""
        return np.arange(np.ceil(self.start_phase), np.ceil(self.start_phase + seconds * self.tempo / 60)).astype(np.int64)
