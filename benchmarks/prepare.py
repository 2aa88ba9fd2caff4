"""Speed of `xdancer prepare` against the bare detector loop on the same videos: frames a second, and where the rest of the time goes.

    python benchmarks/prepare.py VIDEO… [--runs 3] [--clock cpu] [--features librosa,musicnn] [-W 512 -H 896] [--profile]

Bare: decode every picture once and run the detector's `track` on it, which is what any preparation must do at least. Ours: everything from the
file to the finished clip as it goes to disk (shots, cutting, people, filters, sound, beats, features, crop, encoding of pictures, mask and
sound). Both in this process on one thread, in turn, medians of the runs after one that does not count. One JSON line per video and one for
all; `ratio` is bare / ours (1: nothing on top), the target 1 / 1.15. `--profile` prints the seconds of each step.
"""

import argparse
import cProfile
import pstats
import time
from pathlib import Path

from _measure import CLOCKS, interleaved, print_row

from xdancer import media
from xdancer.pose.detector import PoseDetector
from xdancer.prepare import PrepareSettings, clip
from xdancer.prepare.settings import file_digest
from xdancer.prepare.sources import Source
from xdancer.prepare.work import make_clip, plan_video, process_detector
from xdancer.workers import one_thread

TARGET = 1 / 1.15
STEPS = (
    "ours", "everyone", "shot_starts", "add", "stream_video", "frame_times", "probe", "oddities", "read_audio", "track_beats", "encode_music",
    "encode_video", "encode_audio", "picture", "_cropped_masks", "pack_mask", "sharpness", "camera_motion", "beat_keeping", "encode_sample",
    "pack_clip",
)  # fmt: skip
"""Functions whose seconds `--profile` prints; some lie in each other."""


def bare(path: Path, detector: PoseDetector) -> None:
    """Decode and detect, nothing else."""
    with one_thread():
        for _ in detector.track(picture for _, picture in media.stream_video(path)):
            pass


def ours(path: Path, settings: PrepareSettings) -> None:
    """What a worker does for one video."""
    clip._sound.cache_clear()  # another video's sound is read and tracked anew
    source = Source(path, path.name, path.stem, file_digest(path))
    plan = plan_video(source, settings)
    for cut in plan.cuts:
        made = make_clip(cut, settings)
        assert isinstance(made, bytes), made
    assert plan.cuts, plan.reasons


def profile(path: Path, settings: PrepareSettings) -> None:
    """Seconds of CPU of the steps, with everything that they call."""
    ours(path, settings)  # librosa compiles itself at its first call
    recorder = cProfile.Profile(time.process_time)
    recorder.runcall(ours, path, settings)
    rows = pstats.Stats(recorder).stats  # type: ignore[attr-defined]  # undocumented, and the only way to the numbers
    for (file, _, name), (_, calls, _, seconds, _) in sorted(rows.items(), key=lambda row: -row[1][3]):
        if name in STEPS and "xdancer" in file:
            print(f"{seconds:8.2f} s {calls:6d} × {Path(file).name}:{name}")


def main() -> None:
    """All rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: on a busy machine")
    parser.add_argument("--features", default="librosa,musicnn")
    parser.add_argument("-W", "--width", type=int, default=512)
    parser.add_argument("-H", "--height", type=int, default=896)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    settings = PrepareSettings(width=arguments.width, height=arguments.height, features=tuple(arguments.features.split(",")))
    detector = process_detector(settings)
    if arguments.profile:
        for path in arguments.videos:
            profile(path, settings)
        return
    total = {"bare": 0.0, "ours": 0.0}
    frames = 0
    for path in arguments.videos:
        sides = {"bare": lambda path=path: bare(path, detector), "ours": lambda path=path: ours(path, settings)}
        seconds = interleaved(sides, runs=arguments.runs, clock=arguments.clock)
        count = len(media.frame_times(path))
        frames += count
        total = {name: total[name] + seconds[name] for name in total}
        _row(path.name, count, seconds, arguments)
    if len(arguments.videos) > 1:
        _row("all", frames, total, arguments)


def _row(name: str, frames: int, seconds: dict[str, float], arguments: argparse.Namespace) -> None:
    what = f"prepare {name}, {arguments.width}×{arguments.height}, {arguments.features}, {arguments.clock} clock: frames a second"
    print_row(
        what, ours=frames / seconds["ours"], reference=frames / seconds["bare"], ratio=seconds["bare"] / seconds["ours"], target=TARGET,
        overhead=seconds["ours"] / seconds["bare"] - 1, frames=frames, runs=arguments.runs,
    )  # fmt: skip


if __name__ == "__main__":
    main()
