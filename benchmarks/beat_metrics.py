"""Beat metrics of a set of clips against the literal loop over clips, shuffles and beats.

    python benchmarks/beat_metrics.py [--clips 1000] [--shuffles 200] [--draws 1000] [--runs 1] [--clock wall]

Clips of 10 s at 30 fps, smooth random motion of 60 keypoints, songs of 90 to 140 BPM; protocol `seconds`. The literal loop is the shape of the
public evaluation scripts: numpy inside one clip (speed, Gaussian, argrelextrema), then one nearest-beat distance per beat in Python, per
clip and per shuffle. Three rows:

- the whole report with shuffles and bootstrap; ours gives the exact null over all other songs and the chance of every clip, too;
- motion beats and values alone;
- the report without shuffles and interval, chance included on our side alone.

Both sides must agree: values to 1e-9, the null's mean within its own spread. One JSON line per row; seconds.
"""

import argparse
import os
import statistics
from collections.abc import Callable, Mapping

import numpy as np
from _measure import CLOCKS, interleaved, print_row
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import argrelextrema

from xdancer.metrics.beat_alignment import KERNEL, TEMPO_GAP, BeatClip, BeatReport, beat_report
from xdancer.metrics.beat_scores import score_pairs
from xdancer.metrics.motion_beats import SMOOTHING, motion_beats_of_clips
from xdancer.skeleton import BODY, VISIBLE

FPS, SECONDS, FRAMES = 30.0, 10.0, 300
Array = NDArray[np.float64]
Pose = tuple[NDArray[np.float32], NDArray[np.float32]]
Song = tuple[Array, float]


def make_set(clips: int) -> tuple[list[Pose], list[Song]]:
    """Random walks, smoothed so that they have about two motion beats a second, and a song for each."""
    rng = np.random.default_rng(0)
    poses, songs = [], []
    for tempo in rng.uniform(90, 140, size=clips):
        walk = gaussian_filter1d(rng.normal(size=(FRAMES, 60, 2)).astype(np.float32), 4.0, axis=0).cumsum(axis=0)
        poses.append((walk, np.ones((FRAMES, 60), np.float32)))
        songs.append((np.arange(rng.uniform(0, 0.5), SECONDS, 60 / tempo), float(tempo)))
    return poses, songs


def literal_beats(keypoints: NDArray[np.float32], confidence: NDArray[np.float32]) -> Array:
    """Motion beats of one clip."""
    steps = np.linalg.norm(np.diff(keypoints[:, BODY].astype(np.float64), axis=0), axis=-1)
    both = (confidence[1:, BODY] >= VISIBLE) & (confidence[:-1, BODY] >= VISIBLE)
    speed = gaussian_filter1d(np.where(both, steps, 0.0).sum(axis=1) / both.sum(axis=1), SMOOTHING * FPS)
    return np.asarray((argrelextrema(speed, np.less)[0] + 0.5) / FPS, dtype=np.float64)


def literal_direction(times: Array, others: Array) -> float:
    """Mean over the times of the kernel on the distance to the nearest of the others."""
    total = 0.0
    for time in times:
        total += np.exp(-np.min((others - time) ** 2) / 2 / KERNEL**2)
    return total / len(times)


def literal_f1(motion: Array, music: Array) -> float:
    """F1 of one clip and one song."""
    recall, precision = literal_direction(music, motion), literal_direction(motion, music)
    return 2 * recall * precision / (recall + precision)


def literal_values(poses: list[Pose], songs: list[Song]) -> tuple[list[Array], list[float]]:
    """Motion beats and F1 of every clip."""
    motion = [literal_beats(*pose) for pose in poses]
    return motion, [literal_f1(beats, music) for beats, (music, _) in zip(motion, songs, strict=True)]


def literal_report(poses: list[Pose], songs: list[Song], *, shuffles: int, draws: int) -> tuple[float, float, float]:
    """Mean F1, mean and spread of the set's mean over random assignments of other songs; the interval is computed and dropped."""
    rng = np.random.default_rng(0)
    motion, values = literal_values(poses, songs)
    means = []
    for _ in range(shuffles):
        shuffled = []
        for beats, (_, own) in zip(motion, songs, strict=True):
            while abs((song := songs[rng.integers(len(songs))])[1] / own - 1) < TEMPO_GAP:
                pass
            shuffled.append(literal_f1(beats, song[0]))
        means.append(np.mean(shuffled))
    np.quantile([np.mean(rng.choice(values, size=len(values))) for _ in range(draws)], [0.025, 0.975])
    return float(np.mean(values)), float(np.mean(means)), float(np.std(means))


def our_report(poses: list[Pose], songs: list[Song], *, shuffles: int, draws: int) -> BeatReport:
    """The whole report from poses."""
    motion = motion_beats_of_clips(poses, FPS)
    clips = [BeatClip(beats, music, tempo, SECONDS) for beats, (music, tempo) in zip(motion, songs, strict=True)]
    return beat_report(clips, shuffles=shuffles, draws=draws)


def our_values(poses: list[Pose], songs: list[Song]) -> list[float]:
    """F1 of every clip."""
    scores = score_pairs(motion_beats_of_clips(poses, FPS), [music for music, _ in songs], np.full(len(poses), SECONDS))
    return [score.f1 for score in scores]


def in_turn(sides: Mapping[str, Callable[[], object]], *, runs: int, clock: str) -> dict[str, float]:
    """`interleaved` without the turn that does not count: the literal loop takes a minute, and the rows before have warmed it."""
    now = CLOCKS[clock]
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, work in sides.items():
            begin = now()
            work()
            seconds[name].append(now() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """All rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--shuffles", type=int, default=200)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: on a busy machine, with one thread (OMP_NUM_THREADS=1)")
    arguments = parser.parse_args()
    poses, songs = make_set(arguments.clips)
    asked = {"shuffles": arguments.shuffles, "draws": arguments.draws}
    found: dict[str, object] = {}

    def keep(name: str, work: Callable[[], object]) -> Callable[[], None]:
        return lambda: found.__setitem__(name, work())

    quick = interleaved(
        {
            "ours": keep("our values", lambda: our_values(poses, songs)),
            "literal": lambda: literal_values(poses, songs),
            "report": lambda: our_report(poses, songs, shuffles=0, draws=0),
        },
        runs=max(3, arguments.runs), clock=arguments.clock,
    )  # fmt: skip
    sides = {
        "ours": keep("ours", lambda: our_report(poses, songs, **asked)),
        "literal": keep("literal", lambda: literal_report(poses, songs, **asked)),
    }
    whole = in_turn(sides, runs=arguments.runs, clock=arguments.clock)
    ours, theirs = found["ours"], found["literal"]
    assert isinstance(ours, BeatReport)
    assert isinstance(theirs, tuple)
    np.testing.assert_allclose(ours.value, theirs[0], rtol=1e-9)
    np.testing.assert_allclose(ours.null, theirs[1], atol=5 * theirs[2])
    what = f"{arguments.clips} clips of 10 s"
    rows = (
        (f"{what}, {arguments.shuffles} shuffles, {arguments.draws} bootstrap draws", whole["ours"], whole["literal"], 20.0),
        (f"{what}, motion beats and values alone", quick["ours"], quick["literal"], 2.0),
        (f"{what}, report without shuffles and interval, ours with chance", quick["report"], quick["literal"], 2.0),
    )
    for name, own, reference, target in rows:
        print_row(name, ours=own, reference=reference, ratio=reference / own, target=target, clock=arguments.clock, cores=os.cpu_count())


if __name__ == "__main__":
    main()
