"""Null rows: sets made from the real one that a good figure must tell from a dance (or from a video of one).

| name | what it is |
|---|---|
| `white` | every keypoint at its mean place, plus noise of its own spread, anew in every frame |
| `smooth` | the same noise, smoothed over time to the real dance's mean speed |
| `frozen` | the first pose throughout |
| `shuffled` | the real dance with the music of another one, of another tempo where there is one |
| `locked` | an oracle that swings between two of the dance's own poses and rests on every beat of its music |
| `copy` | the portrait, or the first frame, as a still |
| `mean` | the mean frame of the set as a still |
| `grey` | the true video with a grey person, its mask grown by 2 pixels; needs masks |
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from xdancer.errors import MediaError, XDancerError
from xdancer.evaluation.items import Item, Pose, digest
from xdancer.evaluation.recording import Opened, Recording
from xdancer.media import frame_times, read_image, read_video
from xdancer.metrics.beat_alignment import TEMPO_GAP
from xdancer.metrics.pose import mean_speed
from xdancer.metrics.reconstruction import person_region
from xdancer.types import FPS

Null = Literal["white", "smooth", "frozen", "shuffled", "locked", "copy", "mean", "grey"]
NULLS: tuple[Null, ...] = get_args(Null)
OF_POSES: tuple[Null, ...] = ("white", "smooth", "frozen", "shuffled", "locked")
NEEDS: dict[Null, str] = {
    "white": "poses", "smooth": "poses", "frozen": "poses", "shuffled": "poses while another has music", "locked": "poses and two music beats",
    "copy": "pictures", "mean": "pictures", "grey": "pictures and the person's mask",
}  # fmt: skip
"""Without which a dance has no version in a row."""
WIDTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
"""Smoothing widths (frames) of which `smooth` takes the one that comes nearest to the real speed."""
GREY = 128


def posed_null(name: Null, real: tuple[Item, Recording], others: Sequence[Recording], *, seed: int) -> Item | None:
    """A null row's version of a real dance as poses with music; None where it lacks what the row needs (poses, beats, other songs).

    Args:
        name: one of `OF_POSES`.
        real: the dance.
        others: all real dances, for `shuffled`.
        seed: of the noise.
    """
    item, found = real
    rng = np.random.default_rng([seed, int(item.digest[:8], 16)])
    made = None if found.pose is None else _POSES[name](found, others, rng)
    if made is None:
        return None
    pose, heard = made
    beats = heard.arrays.get("beats", np.zeros(0))
    own = digest(item.digest.encode(), name.encode(), pose.tobytes(), beats.tobytes())
    return Item(found.key, own, pose=pose, music=(beats, heard.arrays.get("envelope"), heard.tempo), beats_from=heard.beats_from)


def pictured_null(name: Null, real: Opened, mean: NDArray[np.uint8] | None) -> Item | None:
    """A null row's version of a real video; None where it lacks what the row needs (pictures, a mask, the set's mean frame)."""
    frames = _pictures(name, real, mean) if real.has_pictures else None
    if frames is None:
        return None
    extra = mean.tobytes() if name == "mean" and mean is not None else b""
    own = digest(real.item.digest.encode(), name.encode(), extra)
    return replace(real.item, digest=own, video=None, pose=None, notes=(), frames=frames, still=name in ("copy", "mean"))


Made = tuple[Pose, Recording] | None
"""Poses, and the dance whose music is heard with them."""


def _noise(found: Recording, rng: np.random.Generator, width: float) -> Pose:
    """Noise around the mean place with the real spread of every keypoint; smoothed, its spread is kept."""
    assert found.pose is not None
    places = found.pose[..., :2].astype(np.float64)
    noise = rng.standard_normal(places.shape)
    if width:
        noise = gaussian_filter1d(noise, width, axis=0, mode="wrap")
        noise /= noise.std(axis=0).clip(min=1e-12)
    moved = places.mean(axis=0) + noise * places.std(axis=0)
    return np.concatenate([moved, found.pose[..., 2:]], axis=-1).astype(np.float32)


def _white(found: Recording, _others: Sequence[Recording], rng: np.random.Generator) -> Made:
    return _noise(found, rng, 0.0), found


def _smooth(found: Recording, _others: Sequence[Recording], rng: np.random.Generator) -> Made:
    assert found.pose is not None
    wanted, seed = mean_speed(found.pose), int(rng.integers(2**31))
    tries = [_noise(found, np.random.default_rng(seed), width) for width in WIDTHS]
    return min(tries, key=lambda pose: abs(mean_speed(pose) - wanted)), found


def _frozen(found: Recording, _others: Sequence[Recording], _rng: np.random.Generator) -> Made:
    assert found.pose is not None
    return np.repeat(found.pose[:1], len(found.pose), axis=0), found


def _shuffled(found: Recording, others: Sequence[Recording], rng: np.random.Generator) -> Made:
    assert found.pose is not None
    musical = [one for one in others if one.key != found.key and ("beats" in one.arrays or "envelope" in one.arrays)]
    apart = [one for one in musical if found.tempo and one.tempo and abs(one.tempo / found.tempo - 1) >= TEMPO_GAP]
    if not musical:
        return None
    chosen = apart or musical
    return found.pose, chosen[int(rng.integers(len(chosen)))]


def _locked(found: Recording, _others: Sequence[Recording], _rng: np.random.Generator) -> Made:
    assert found.pose is not None
    beats = found.arrays.get("beats", np.zeros(0))
    if len(beats) < 2:
        return None
    places = found.pose[..., :2].astype(np.float64)
    first = places[0]
    second = places[np.linalg.norm(places - first, axis=-1).mean(axis=-1).argmax()]
    time = np.arange(len(places)) / FPS
    phase = np.interp(time, beats, np.arange(len(beats)), left=np.nan, right=np.nan)
    before, after = beats[0] - time, time - beats[-1]
    phase = np.where(time < beats[0], -before / (beats[1] - beats[0]), phase)
    phase = np.where(time > beats[-1], len(beats) - 1 + after / (beats[-1] - beats[-2]), phase)
    share = (0.5 - 0.5 * np.cos(np.pi * phase))[:, None, None]
    return np.concatenate([first + share * (second - first), found.pose[..., 2:]], axis=-1).astype(np.float32), found


_POSES: dict[str, Callable[[Recording, Sequence[Recording], np.random.Generator], Made]] = {
    "white": _white, "smooth": _smooth, "frozen": _frozen, "shuffled": _shuffled, "locked": _locked,
}  # fmt: skip


def _pictures(name: Null, opened: Opened, mean: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    pictures = opened.pictures
    height, width = pictures.shape[1:3]
    if name == "copy":
        portrait = pictures[0] if opened.item.portrait is None else _fitted(read_image(opened.item.portrait), width, height)
        return np.repeat(portrait[None], len(pictures), axis=0)
    if name == "mean":
        return None if mean is None else np.repeat(_fitted(mean, width, height)[None], len(pictures), axis=0)
    mask = opened.person
    if mask is None:
        return None
    count = min(len(mask), len(pictures))
    person = person_region(torch.from_numpy(mask[:count])).numpy()
    return np.where(person[..., None], np.uint8(GREY), pictures[:count])


def _fitted(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def mean_frame(items: Sequence[Item]) -> NDArray[np.uint8] | None:
    """The mean over dances of their middle frames, at the size of the first; None where none can be read."""
    total: NDArray[np.float64] | None = None
    count = 0
    for item in items:
        if item.video is None:
            continue
        try:
            picture = read_video(item.video, start=len(frame_times(item.video)) // 2, count=1).frames[0]
        except MediaError:
            continue
        total = np.zeros(picture.shape) if total is None else total
        total += _fitted(picture, total.shape[1], total.shape[0])
        count += 1
    return None if total is None else (total / count).round().astype(np.uint8)


def check_nulls(names: Sequence[str]) -> list[Null]:
    """The rows of these names; `all` stands for all of them.

    Raises:
        XDancerError: an unknown name.
    """

    def chosen() -> Iterator[Null]:
        for name in names:
            if name == "all":
                yield from NULLS
            elif name in NULLS:
                yield name
            else:
                raise XDancerError(f"--null {name!r}: no such null row. Choose among {', '.join(NULLS)}, or all.")

    return list(dict.fromkeys(chosen()))
