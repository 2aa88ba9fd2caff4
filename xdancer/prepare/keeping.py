"""How well one clip keeps the beat, with a null of its own: a figure to choose data by."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.metrics.beat_scores import pair_values
from xdancer.metrics.motion_beats import motion_beats
from xdancer.types import FPS

LAGS = 64
"""Shifts of the music in the null."""
NEAR = 0.1
"""Seconds: music shifted by less is as good as its own."""


def beat_keeping(pose: Float[np.ndarray, "frame 60 3"], music: Float[NDArray, " beat"]) -> dict[str, float]:
    """Beat F1 (protocol `seconds`), its null and z; empty without motion beats or music beats.

    Null: the same motion against the clip's own beats, moved around in a circle by `LAGS` evenly spread lags, those near 0 left out. It needs
    no other clip, so that a clip's figures do not depend on what else lies in the folder. Even music is the same one beat later: some of the
    lags score as well as lag 0, which keeps z small (a perfect dance to even beats reaches about 2). z is in standard deviations over the lags.
    """
    seconds = len(pose) / FPS
    motion = motion_beats(pose[..., :2], pose[..., 2], FPS)
    lags = np.arange(LAGS) * seconds / LAGS
    lags = lags[np.minimum(lags, seconds - lags) >= NEAR]
    songs = [music, *(np.sort((music + lag) % seconds) for lag in lags)]
    values = pair_values([motion] * len(songs), songs, np.full(len(songs), seconds))
    own, null = float(values[0]), values[1:]
    if np.isnan(own) or not len(null):
        return {}
    spread = float(null.std())
    figures = {"f1": own, "null": float(null.mean()), **({"z": (own - float(null.mean())) / spread} if spread > 1e-9 else {})}
    return {name: round(value, 4) for name, value in figures.items()}
