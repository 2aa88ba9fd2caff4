"""Does every figure see known damage? Real videos, blurred, noisy, out of order and too fast, each at rising strength.

    python -m xdancer.reproduce.degradation VIDEO_DIR --out degradation.json --cache cache

Each damaged set is measured against the untouched one by the functions of `xdancer evaluate`. For every kind of damage it is said beforehand
which figures it must move, and where to (`EXPECTED`); the table says of each whether it moves so with every step of strength (`monotone`),
from the weakest to the strongest alone (`direction`), or not (`no`). The JSON keeps all values. A Markdown table is printed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from xdancer.errors import XDancerError
from xdancer.evaluation.comparison import Comparison
from xdancer.evaluation.items import Item, digest, find_items
from xdancer.evaluation.recording import Instruments, Opened
from xdancer.files import write_text
from xdancer.metrics.face_net import make_face_net
from xdancer.metrics.video_networks import make_features
from xdancer.metrics.video_protocols import protocol_named
from xdancer.pose.detector import detector_if_installed

Pictures = UInt8[NDArray, "frame height width 3"]
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "blur": (0.002, 0.005, 0.01, 0.02), "noise": (0.05, 0.1, 0.2, 0.4), "shuffle": (2.0, 4.0, 16.0, 64.0), "speed": (1.1, 1.25, 1.5, 2.0),
}  # fmt: skip
"""Blur: σ of a Gaussian in heights of the picture. Noise: σ in the range of a value. Shuffle: frames of the blocks within which they change
places. Speed: times faster, to the same music; the videos are cut to the length that the fastest one has."""
_VIDEO, _MOTION = "kernel_alex16@xdancer16", "motion_kernel_alex16@xdancer16"
_PICTURES = {"ssim": -1, "lpips": 1, _VIDEO: 1, "pck": -1, "pose_error_full": 1, "id_sim": -1, "hand_score": -1}
EXPECTED: Mapping[str, Mapping[str, int]] = {
    "blur": _PICTURES | {"psnr": -1},
    "noise": _PICTURES | {"psnr": -1},
    "shuffle": {
        "psnr": -1, "lpips": 1, _VIDEO: 1, _MOTION: 1, "pck": -1, "pose_error_full": 1, "jerk": 1, "foot_sliding": 1,
        "kernel_kinetic32": 1, "brake_sync": -1, "brake_sync_percentile": -1,
    },
    "speed": {
        "psnr": -1, "lpips": 1, _VIDEO: 1, "pck": -1, "pose_error_full": 1, "speed": 1, "kernel_kinetic32": 1, "brake_sync": -1,
        "brake_sync_percentile": -1,
    },
}  # fmt: skip
"""Kind → figure → +1 where damage must raise it, −1 where it must lower it."""


def blurred(pictures: Pictures, strength: float, _rng: np.random.Generator) -> Pictures:
    """By a Gaussian."""
    sigma = strength * pictures.shape[1]
    return np.stack([gaussian_filter(picture, (sigma, sigma, 0)) for picture in pictures])


def noisy(pictures: Pictures, strength: float, rng: np.random.Generator) -> Pictures:
    """With white noise, another in every frame."""
    made = [picture + rng.normal(0, 255 * strength, picture.shape).astype(np.float32) for picture in pictures]
    return np.stack([picture.round().clip(0, 255).astype(np.uint8) for picture in made])


def shuffled(pictures: Pictures, strength: float, rng: np.random.Generator) -> Pictures:
    """Frames in random order within consecutive blocks, never in their own."""
    size, order = int(strength), np.arange(len(pictures))
    for first in range(0, len(order), size):
        block = order[first : first + size].copy()
        while len(block) > 1 and np.array_equal(order[first : first + size], block):
            rng.shuffle(block)
        order[first : first + size] = block
    return pictures[order]


def hurried(pictures: Pictures, strength: float, _rng: np.random.Generator) -> UInt8[NDArray, "fewer height width 3"]:
    """Faster; as many frames as are left."""
    return pictures[(np.arange(int(len(pictures) / strength)) * strength).astype(np.int64)]


_DAMAGE: Mapping[str, Callable[[Pictures, float, np.random.Generator], Pictures]] = {
    "blur": blurred, "noise": noisy, "shuffle": shuffled, "speed": hurried,
}  # fmt: skip


def damaged(item: Item, kind: str, strength: float, *, frames: int, seed: int) -> Item:
    """A video with damage of a kind, its first `frames` at 30 fps, to the same music. Strength 0: none."""
    pictures = Opened(item).pictures
    rng = np.random.default_rng([seed, int(item.digest[:8], 16)])
    made = _DAMAGE[kind](pictures, strength, rng) if strength else pictures
    own = digest(item.digest.encode(), json.dumps([kind if strength else "", strength, frames, seed]).encode())
    return replace(item, digest=own, video=None, frames=np.ascontiguousarray(made[:frames]))


def moved(values: Sequence[float | None], sign: int) -> str:
    """`monotone`, `direction`, `no`, or `unknown` where a value is; the first is of the untouched set, where it has one."""
    found = [value for value in values[1:] if value is not None]
    if len(found) < len(values) - 1:
        return "unknown"
    known = found if values[0] is None else [values[0], *found]
    steps = sign * np.diff(known)
    if sign * (known[-1] - known[0]) <= 0:
        return "no"
    return "monotone" if (steps >= 0).all() else "direction"


def study(items: Sequence[Item], tools: Instruments, *, cache: Path | None, seed: int) -> dict[str, dict[str, list[float | None]]]:
    """Figures by kind of damage: one value for each strength, the first for none."""
    frames = min(len(Opened(item).moments) for item in items)
    cuts = {"speed": int(frames / max(STRENGTHS["speed"]))}
    results: dict[str, dict[str, list[float | None]]] = {}
    for kind, strengths in STRENGTHS.items():
        count = cuts.get(kind, frames)
        results[kind] = {name: [] for name in EXPECTED[kind]}
        true = [damaged(item, kind, 0.0, frames=count, seed=seed) for item in items]
        for strength in (0.0, *strengths):
            made = [damaged(item, kind, strength, frames=count, seed=seed) for item in items]
            rows = {row.name: row for row in Comparison(tools, cache=cache).rows(made, true, ())}
            if left := rows["generated"].excluded:
                raise XDancerError(f"{left[0].key}: {left[0].reason}")
            for name, values in results[kind].items():
                value = rows["generated"].figures.get(name)
                values.append(None if value is None else float(value))
            print(f"{kind} {strength:g}", file=sys.stderr, flush=True)
    return results


def table(results: Mapping[str, Mapping[str, Sequence[float | None]]]) -> str:
    """Markdown: one line for each kind and figure, values by strength, and what was seen."""
    lines = ["| damage | figure | should | without | at the four strengths | seen |", "|---|---|---|---|---|---|"]
    for kind, figures in results.items():
        for name, values in figures.items():
            sign = EXPECTED[kind][name]
            shown = ["–" if value is None else f"{value:.3g}" for value in values]
            way = "rise" if sign > 0 else "fall"
            lines.append(f"| {kind} | `{name}` | {way} | {shown[0]} | {', '.join(shown[1:])} | {moved(values, sign)} |")
    return "\n".join(lines)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m xdancer.reproduce.degradation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("videos", type=Path, help="folder of real videos, at least two, with sound")
    parser.add_argument("--cache", type=Path, help="folder of what was measured; a second run continues")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    return parser.parse_args()


def main() -> None:
    """Read, damage, measure, write, print."""
    chosen = options()
    items, _ = find_items(chosen.videos)
    if len(items) < 2:
        raise XDancerError(f"{chosen.videos}: {len(items)} video; distances between sets need at least 2.")
    protocol = protocol_named("xdancer16")
    tools = Instruments(protocol, make_features(protocol.network), detector_if_installed(), make_face_net(), seed=chosen.seed)
    results = study(items, tools, cache=chosen.cache, seed=chosen.seed)
    report = {
        "videos": [item.key for item in items], "seed": chosen.seed, "strengths": {name: list(of) for name, of in STRENGTHS.items()},
        "instruments": tools.settings, "values": results,
        "seen": {kind: {name: moved(of, EXPECTED[kind][name]) for name, of in figures.items()} for kind, figures in results.items()},
    }  # fmt: skip
    write_text(chosen.out, json.dumps(report, indent=1, allow_nan=False) + "\n")
    print(table(results))


if __name__ == "__main__":
    try:
        main()
    except XDancerError as error:
        print(f"xdancer.reproduce.degradation: {error}", file=sys.stderr)
        sys.exit(2)
