"""Which measure sees that a dance belongs to its music? Candidates against the lag null and against other songs.

    python -m xdancer.reproduce.sync data/test data/val dance_1.mp4 dance_2.mp4 --mocap salsa.npz --out sync.json

Every folder is a split of shards with the `librosa` feature, every file a video with sound (its pose is detected, and kept in `--cache`). All
motion is cut into windows. Sets: all splits (`shards`), all videos (`videos`), motion made on the songs of the first split, locked to their
beats in three ways, each clean and hard, and motion free of any music (smooth noise, trembling; with `--mocap` real motion recorded without
these songs). Each candidate (`sync_candidates`) gets on each set

- the lag null (`xdancer.metrics.lag_null`): mean and median of the windows' percentiles, the share above .9, medians of z and lag, and the
  probability of so uneven percentiles without music (Kolmogorov–Smirnov against uniform; windows taken as independent);
- own song against other songs: the share of other songs that score lower (area under the curve, .5 at chance), with a bootstrap interval.

Candidates without phase have the second alone. The JSON keeps every window. A Markdown table is printed.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import kstest

from xdancer.errors import XDancerError
from xdancer.metrics.beat_alignment import bootstrap_interval
from xdancer.metrics.lag_null import WITHIN, SyncScore, lag_null, rhythm
from xdancer.reproduce.sync_candidates import CANDIDATES, SPECTRAL, EnvelopeOf, beat_powers, spectra
from xdancer.reproduce.sync_sets import Window, at_rate, made_sets, mocap_set, read_clip, read_split

MOST_SONGS = 200
"""Other songs that a window is compared with, at most."""
Rhythms = Float[NDArray, "song inner"]


@dataclass(frozen=True)
class Judged:
    """One window by one candidate."""

    clip: str
    auc: float
    """Share of other songs that score lower."""
    null: SyncScore | None = None
    """None for candidates without phase."""


def share_below(own: float, others: Float[NDArray, " song"]) -> float:
    """Share of the others that are lower; ties count half."""
    return float((others < own).mean() + (others == own).mean() / 2)


def best_scores(motion: Float[NDArray, " inner"], songs: Rhythms, fps: float) -> Float[NDArray, " song"]:
    """Score of `lag_null` with each song."""
    reach = max(1, round(WITHIN * fps))
    return np.max([songs @ np.roll(motion, -lag) for lag in range(-reach, reach + 1)], axis=0) / len(motion)


class OtherSongs:
    """All songs of a study as rhythms, at the frame rates and lengths of the windows that ask."""

    def __init__(self, windows: Sequence[Window], *, seed: int) -> None:
        unique = {window.song: window for window in windows}
        if len(unique) < 2:
            raise XDancerError(f"The study has {len(unique)} song, and needs others to compare with. Give clips with at least two songs.")
        self.names = np.array(list(unique))
        self.music = np.stack([window.music for window in unique.values()])
        self.rng = np.random.default_rng(seed)
        self._made: dict[tuple[float, int], tuple[Rhythms, Float[NDArray, "song frequency"]]] = {}

    def of(self, window: Window) -> tuple[Rhythms, Float[NDArray, "song frequency"]]:
        """Rhythms and spectra of other songs for this window, at most `MOST_SONGS`, drawn anew for every window."""
        key = (window.fps, len(window.pose))
        if key not in self._made:
            sound = rhythm(at_rate(self.music, *key), window.fps)
            if sound is None:
                raise XDancerError("A song of the study is silent or constant. Leave its clip out.")
            self._made[key] = sound, spectra(sound, window.fps)
        others = self.rng.permutation(np.flatnonzero(self.names != window.song))[:MOST_SONGS]
        return self._made[key][0][others], self._made[key][1][others]


def judge(window: Window, envelope: EnvelopeOf, songs: OtherSongs) -> Judged | None:
    """Lag null and other songs; None for a window that cannot be judged."""
    motion, music = envelope(window.pose, window.fps), at_rate(window.music, window.fps, len(window.pose))
    null = lag_null(motion, music, window.fps)
    moved = rhythm(motion, window.fps)
    if null.reason or moved is None:
        return None
    return Judged(window.clip, share_below(null.score, best_scores(moved, songs.of(window)[0], window.fps)), null)


def judge_spectra(window: Window, envelope: EnvelopeOf, songs: OtherSongs) -> dict[str, Judged]:
    """By the cosine of the spectra, and by the motion's power at the song's beat; empty for a window that cannot be judged."""
    moved = rhythm(envelope(window.pose, window.fps), window.fps)
    sound = rhythm(at_rate(window.music, window.fps, len(window.pose)), window.fps)
    if moved is None or sound is None:
        return {}
    motion, own, others = spectra(moved, window.fps), spectra(sound, window.fps)[None], songs.of(window)[1]
    return {
        "spectrum": Judged(window.clip, share_below(float((own @ motion)[0]), others @ motion)),
        "power at the beat": Judged(window.clip, share_below(float(beat_powers(motion, own)[0]), beat_powers(motion, others))),
    }


def summary(judged: Sequence[Judged]) -> dict[str, Any]:
    """Figures of one candidate on one set; `windows` 0 and nothing else where no window could be judged."""
    if not judged:
        return {"windows": 0}
    aucs = np.array([one.auc for one in judged])
    low, high = bootstrap_interval(aucs)
    row: dict[str, Any] = {"windows": len(judged), "auc": float(aucs.mean()), "auc_low": low, "auc_high": high}
    nulls = [one.null for one in judged if one.null is not None]
    if nulls:
        percentiles = np.array([null.percentile for null in nulls])
        row |= {
            "percentile": float(percentiles.mean()), "percentile_median": float(np.median(percentiles)),
            "above_90": float((percentiles > 0.9).mean()), "z_median": float(np.median([null.z for null in nulls])),
            "lag_median": float(np.median([null.best_lag_seconds for null in nulls])),
            "uniform_p": float(kstest(percentiles, "uniform").pvalue),
        }  # fmt: skip
    row["each"] = [{"clip": one.clip, "auc": one.auc, **({} if one.null is None else asdict(one.null))} for one in judged]
    return row


def study(sets: Mapping[str, Sequence[Window]], songs: Sequence[Window], *, seed: int) -> dict[str, dict[str, Any]]:
    """`summary` of every set and candidate."""
    pool = OtherSongs(songs, seed=seed)
    results: dict[str, dict[str, Any]] = {}
    for name, windows in sets.items():
        judged: dict[str, list[Judged]] = {}
        for window in windows:
            for candidate, envelope in CANDIDATES.items():
                judged.setdefault(candidate, []).extend(filter(None, [judge(window, envelope, pool)]))
            for base, envelope in SPECTRAL.items():
                for kind, one in judge_spectra(window, envelope, pool).items():
                    judged.setdefault(f"{kind}, {base}", []).append(one)
        results[name] = {candidate: summary(rows) for candidate, rows in judged.items()}
        print(f"{name}: {len(windows)} windows", file=sys.stderr, flush=True)
    return results


def table(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Markdown: mean percentile of the lag null / area under the curve against other songs."""
    names = list(results)
    lines = ["| candidate | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]

    def cell(row: Mapping[str, Any]) -> str:
        return " / ".join(f"{row[key]:.2f}" if key in row else "–" for key in ("percentile", "auc"))

    lines += [
        f"| {candidate} | " + " | ".join(cell(results[name].get(candidate, {})) for name in names) + " |" for candidate in results[names[0]]
    ]
    return "\n".join(lines)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m xdancer.reproduce.sync", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", nargs="+", type=Path, help="folders of shards, and videos with sound")
    parser.add_argument("--mocap", type=Path, help="npz of takes (frame, 18, 3) at 30 fps, danced to none of the songs")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a window")
    parser.add_argument("--clips", type=int, help="clips of each split, at most")
    parser.add_argument("--made", type=int, default=28, help="windows of each made set")
    parser.add_argument("--cache", type=Path, help="folder for detected poses")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    return parser.parse_args()


def main() -> None:
    """Read, judge, write, print."""
    chosen = options()
    splits = [read_split(path, chosen.seconds, chosen.clips) for path in chosen.data if path.is_dir()]
    videos = [window for path in chosen.data if not path.is_dir() for window in read_clip(path, chosen.seconds, chosen.cache)]
    if not splits:
        raise XDancerError("Give at least one folder of shards: made motion needs songs with known beats.")
    shards = [window for windows, _ in splits for window in windows]
    sets: dict[str, list[Window]] = {"shards": shards} | ({"videos": videos} if videos else {})
    sets |= made_sets(*splits[0], count=chosen.made, seed=chosen.seed)
    if chosen.mocap is not None:
        sets["free: motion capture"] = mocap_set(chosen.mocap, splits[0][0], seed=chosen.seed)
    results = study(sets, [*shards, *videos], seed=chosen.seed)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(chosen).items() if name != "data"}
    report = {"data": [str(path) for path in chosen.data], "settings": settings, "results": results}
    chosen.out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    try:
        main()
    except XDancerError as error:
        print(f"xdancer.reproduce.sync: {error}", file=sys.stderr)
        sys.exit(2)
