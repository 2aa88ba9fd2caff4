"""Dances on the beat: postures as a function of the warped beat phase, seen by a camera.

Every term of the motion depends on time only through w(φ) = φ − a · sin(2πφ) / 2π with φ the beats passed and a ∈ [.8, 1]: all speeds are
scaled by 1 − a · cos 2πφ, so the whole body slows down on the beats and nowhere else by rule.

    grid = BeatGrid(tempo=112.0, start_phase=3.4)
    identity = make_identity(identity_name("train", 7))
    dance = make_dance("disco", phrase_names("disco", "train", seed=1, count=3), grid, frames=240, identity=identity)
    dance.pose                                                        # (240, 60, 3)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdancer.embedded import body as layout
from xdancer.embedded.body import Array, Body, assemble
from xdancer.embedded.camera import observe
from xdancer.embedded.grid import BeatGrid
from xdancer.embedded.identity import Identity, identity_name, make_identity
from xdancer.embedded.mocap import SAMPLES_PER_BEAT
from xdancer.embedded.phrases import PHRASE_BEATS, PHRASE_COUNTS, Phrase, make_phrase, phrase_name
from xdancer.embedded.seeds import stream
from xdancer.embedded.styles import DANCE_STYLES, STYLES
from xdancer.types import FPS

__all__ = [
    "STYLES",
    "BeatGrid",
    "Dance",
    "dance_postures",
    "make_dance",
    "neutral_posture",
    "phrase_names",
    "phrases_danced",
    "sample_dance",
    "warp",
]


@dataclass(frozen=True)
class Dance:
    """A dance as the pose detector, and as the puppet's renderer sees it."""

    pose: NDArray[np.float32]
    """(frame, 60, 3): x, y in pose coordinates, confidence."""
    body: Body
    """The same in space."""


def warp(phase: Array, accent: int | float) -> Array:
    """w(φ): runs as fast as φ on average, with speed 1 − accent on the beats."""
    return phase - accent * np.sin(2 * np.pi * phase) / (2 * np.pi)


def phrase_names(style: str, split: str, *, seed: int, count: int) -> list[str]:
    """`count` phrases of the style out of the split's library, distinct as long as there are enough."""
    order = stream("phrases", split, style, seed).permutation(PHRASE_COUNTS[split])
    return [phrase_name(split, style, int(order[index % len(order)])) for index in range(count)]


def make_dance(
    style: str,
    phrases: Sequence[str],
    grid: BeatGrid,
    *,
    frames: int,
    identity: Identity,
    energy: int | float = 1.0,
    accent: int | float = 0.92,
) -> Dance:
    """The dance of `frames` frames (30 per second) in which the phrases follow each other, eight beats each, from phrase 0 on.

    Args:
        style: one of `STYLES`, and the style of every phrase.
        phrases: names from `phrase_names`.
        grid: the beats.
        frames: length, 30 a second.
        identity: who dances, and the camera.
        energy: size of the movements, .7 … 1.1.
        accent: how sharply the dance stops on the beats (`a` above).

    Raises:
        ValueError: a phrase of another style.
    """
    wrong = [name for name in phrases if make_phrase(name).style != style]
    if wrong or not phrases:
        raise ValueError(f"Phrases {wrong or list(phrases)} for a dance in style {style!r}: at least one, all of the style's own.")
    posture = dance_postures(phrases, grid, frames=frames, energy=energy, accent=accent)
    body = assemble(posture, identity.body)
    return Dance(observe(body, posture, identity), body)


def dance_postures(phrases: Sequence[str], grid: BeatGrid, *, frames: int, energy: int | float = 1.0, accent: int | float = 0.92) -> Array:
    """Postures (frame, 51) of `make_dance`, whoever dances."""
    posture = _follow([make_phrase(name) for name in phrases], warp(grid.phase(np.arange(frames) / FPS), accent))
    rest = neutral_posture()
    return rest + energy * (posture - rest)


def phrases_danced(phrases: Sequence[str], grid: BeatGrid, frames: int) -> list[str]:
    """Which of the phrases a clip of so many frames shows, in the order of their first appearance; a led-into next one counts."""
    first, last = grid.phase(np.array([0.0, (frames - 1) / FPS])) / PHRASE_BEATS
    last = np.floor(last) + (last % 1 > 1 - 1 / PHRASE_BEATS)
    return list(dict.fromkeys(phrases[number % len(phrases)] for number in range(int(first), int(last) + 1)))


def sample_dance(seed: int, *, split: str = "train", frames: int = 240) -> Dance:
    """A random dance of the split: style, phrases, tempo, dancer and all, from the seed."""
    rng = stream("sample dance", split, seed)
    style = STYLES[rng.integers(len(STYLES))]
    grid = BeatGrid(tempo=float(rng.uniform(*DANCE_STYLES[style].tempo)), start_phase=float(rng.uniform(0, 2 * PHRASE_BEATS)))
    identity = make_identity(identity_name(split, int(rng.integers(1 << 16))))
    names = phrase_names(style, split, seed=int(rng.integers(1 << 30)), count=3)
    return make_dance(
        style, names, grid, frames=frames, identity=identity, energy=float(rng.uniform(0.85, 1.1)), accent=float(rng.uniform(0.85, 1.0))
    )


def neutral_posture() -> Array:
    """Standing at ease, (51,)."""
    posture = np.zeros(layout.WIDTH)
    posture[2] = 0.97
    for side in (layout.LEFT, layout.RIGHT):
        block = posture[side]
        block[layout.UPPER_ARM], block[layout.FOREARM], block[layout.PALM] = (0.3, -0.95, 0.0), (0.2, -0.95, 0.25), (-0.7, 0.1, 0.5)
        block[layout.FOOT], block[layout.KNEE] = (0.14, 0.0, 0.0), 0.25
        block[layout.CURL], block[layout.SPREAD] = (0.3, 0.25, 0.3, 0.35, 0.4), 0.25
    return posture


def _follow(library: list[Phrase], w: Array) -> Array:
    """Postures (frame, 51): phrase number ⌊w / 8⌋ in turn, the last beat of each leading into the next."""
    number = np.floor(w / PHRASE_BEATS).astype(np.int64)
    beat = w - number * PHRASE_BEATS
    into_next = np.clip(beat - (PHRASE_BEATS - 1), 0, 1)
    posture = np.zeros((len(w), layout.WIDTH))
    for index, phrase in enumerate(library):
        weight = (number % len(library) == index) * (1 - into_next) + ((number + 1) % len(library) == index) * into_next
        rows = np.flatnonzero(weight > 0)
        if len(rows):
            posture[rows] += weight[rows, None] * _phrase_postures(phrase, beat[rows])
    return posture


def _phrase_postures(phrase: Phrase, beat: Array) -> Array:
    """Postures (frame, 51) of one phrase at warped beats in [0, 8)."""
    number = np.floor(beat).astype(np.int64) % PHRASE_BEATS
    share = beat - np.floor(beat)
    smooth = share * share * (3 - 2 * share)
    smooth = (1 - phrase.sharpness) * share + phrase.sharpness * smooth * smooth * (3 - 2 * smooth)
    here, there = phrase.keys[number], phrase.keys[(number + 1) % PHRASE_BEATS]
    posture = here + smooth[:, None] * (there - here)
    for side in (layout.LEFT, layout.RIGHT):
        moved = np.linalg.norm((there - here)[:, side][:, layout.FOOT], axis=-1)
        posture[:, side][:, layout.FOOT.start + 1] += phrase.lift * np.minimum(moved / 0.3, 1) * np.sin(np.pi * smooth)
    if phrase.track is not None:
        posture = _blend_track(phrase, beat, posture)
    return posture


def _blend_track(phrase: Phrase, beat: Array, posture: Array) -> Array:
    """Legs and torso of the recorded motion, its arms mixed with the key postures', hands of the key postures."""
    track = phrase.track
    assert track is not None
    at = beat * SAMPLES_PER_BEAT
    row = np.floor(at).astype(np.int64)
    share = (at - row)[:, None]
    recorded = (1 - share) * track[row % len(track)] + share * track[(row + 1) % len(track)]
    recorded[:, layout.HEADING] = posture[:, layout.HEADING]
    for side in (layout.LEFT, layout.RIGHT):
        own, real = posture[:, side], recorded[:, side]
        for part in (layout.UPPER_ARM, layout.FOREARM):
            real[:, part] = phrase.arm_share * layout.unit(own[:, part]) + (1 - phrase.arm_share) * real[:, part]
        real[:, layout.PALM.start : layout.PALM.stop] = own[:, layout.PALM]
        real[:, layout.CURL], real[:, layout.SPREAD] = own[:, layout.CURL], own[:, layout.SPREAD]
    return recorded
