"""Beat alignment as a torchmetrics metric: sums over clips and ranks, equal to `beat_report` on all of them."""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from xdancer.metrics.beat_alignment import SHUFFLES, BeatClip, Protocol, Times, null_values, percentile_of, score_beats

_SUMS = ("value", "recall", "precision", "f1", "hard_f1", "clips", "motion_beats", "music_beats", "seconds", "silent", "still")
_NULL_SUMS = ("null", "own", "variance", "clips")
_DRAWS = 1000
"""Of the bootstrap."""


class BeatAlignment(Metric):
    """Value of a protocol (`beat_alignment`) with its shuffled-music null, over any number of clips and ranks.

    Input: motion and music beats in seconds (`BeatClip`), and the songs (beats, tempo) that serve as null, tempo differing by ≥ 5 %. States
    are sums in double, so two processes give what one gives. A clip without motion or music beats enters no mean and is counted.
    The interval is a Poisson bootstrap (each clip counts 0, 1, 2 … times in a draw, by numbers that follow from its beats alone), because
    that is a sum over clips, too: it agrees with the report's within the error of drawing, and so do the shuffles.
    Answers the BAS column of Tab. 1 and 3 (protocols `bailando60`, `aist60`) and F1 (protocol `seconds`).

    Args:
        protocol: of the motion beats given and of `value`.
        songs: beats and tempo of the songs of the null; a clip's own song is left out by its tempo.
    """

    higher_is_better = True
    full_state_update = False
    sums: Tensor
    null_sums: Tensor
    drawn: Tensor
    shuffled: Tensor

    def __init__(self, protocol: Protocol = "seconds", *, songs: Sequence[tuple[Times, int | float]] = ()) -> None:
        super().__init__()
        self.protocol: Protocol = protocol
        self.songs = list(songs)
        self.add_state("sums", torch.zeros(len(_SUMS), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("null_sums", torch.zeros(len(_NULL_SUMS), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("drawn", torch.zeros(2, _DRAWS, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("shuffled", torch.zeros(SHUFFLES, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, clip: BeatClip) -> None:
        """Add one clip."""
        score = score_beats(clip.motion, clip.music, duration=clip.duration)
        counted = bool(score.motion_beats and score.music_beats)
        value = score.value(self.protocol)
        figures = (value, score.recall, score.precision, score.f1, score.hard_f1, 1.0) if counted else (0.0,) * 6
        counts = (score.motion_beats, score.music_beats, clip.duration, not score.music_beats, not score.motion_beats)
        self.sums += torch.tensor([*figures, *map(float, counts)], dtype=torch.float64, device=self.sums.device)
        if not counted:
            return
        rng = np.random.default_rng(zlib.crc32(clip.motion.tobytes() + clip.music.tobytes()))
        times = torch.from_numpy(rng.poisson(1.0, size=_DRAWS)).to(self.drawn)
        self.drawn += torch.stack([times * value, times])
        null = null_values(clip, self.songs, self.protocol)
        if len(null):
            row = [float(null.mean()), value, float(null.var()), 1.0]
            self.null_sums += torch.tensor(row, dtype=torch.float64, device=self.null_sums.device)
            self.shuffled += torch.from_numpy(null[rng.integers(len(null), size=SHUFFLES)]).to(self.shuffled)

    def compute(self) -> dict[str, float]:
        """Means by the names of `BeatReport`; NaN where no clip counts."""
        total = dict(zip(_SUMS, self.sums.tolist(), strict=True))
        null = dict(zip(_NULL_SUMS, self.null_sums.tolist(), strict=True))

        def share(value: float, count: float) -> float:
            return value / count if count else math.nan

        low, high, null_low, null_high, percentile = (math.nan,) * 5
        if total["clips"] > 1:
            low, high = _middle(self.drawn.cpu().numpy())
        if null["clips"]:
            shuffled = self.shuffled.cpu().numpy() / null["clips"]
            null_low, null_high = _middle(np.stack([shuffled, np.ones(SHUFFLES)]))
            percentile = percentile_of(null["own"] / null["clips"], shuffled)
        means = {name: share(total[name], total["clips"]) for name in ("value", "recall", "precision", "f1", "hard_f1")}
        return means | {
            "null": share(null["null"], null["clips"]),
            "z": share(null["own"] - null["null"], math.sqrt(null["variance"])),
            "low": low,
            "high": high,
            "null_low": null_low,
            "null_high": null_high,
            "percentile": percentile,
            "motion_beats_per_second": share(total["motion_beats"], total["seconds"]),
            "music_beats_per_second": share(total["music_beats"], total["seconds"]),
            "clips": total["clips"],
            "clips_without_motion_beats": total["still"],
            "clips_without_music_beats": total["silent"],
            "clips_with_null": null["clips"],
        }


def _middle(drawn: Float[NDArray, "2 draw"]) -> tuple[float, float]:
    """The middle 95 % of sum / count, without draws that count nothing."""
    sums, counts = drawn[:, drawn[1] > 0]
    low, high = np.quantile(sums / counts, [0.025, 0.975]) if len(sums) else (math.nan, math.nan)
    return float(low), float(high)
