"""The library of dance phrases: eight beats of key postures each, drawn from the phrase's name alone, every phrase owned by one split."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from xdancer.embedded import body as layout
from xdancer.embedded.body import Array, mirrored
from xdancer.embedded.mocap import LOOP_BEATS, SAMPLES_PER_BEAT, load_loop
from xdancer.embedded.seeds import stream
from xdancer.embedded.styles import ARMS, DANCE_STYLES, HANDS, Arm, DanceStyle

PHRASE_BEATS = 8
PHRASE_COUNTS = {"train": 64, "val": 16, "test": 24}
"""Phrases per style that each split owns."""
MOCAP_BEATS = {"train": (("a", 0, 4), ("b", 0, 2)), "val": (("b", 2, 3),), "test": (("b", 3, 4),)}
"""Loop, first beat, end: the recorded beats that a split's phrases may use; no recorded frame serves two splits."""


@dataclass(frozen=True)
class Phrase:
    """Eight beats of dance."""

    name: str
    style: str
    keys: Array
    """(8, 51): the posture on every beat."""
    track: Array | None
    """(256, 51) recorded motion, 32 rows per beat; it replaces the keys where `layout` says legs and torso, arms by `arm_share`."""
    arm_share: float
    """Weight of the key postures' arms over the recorded ones."""
    sharpness: float
    lift: float
    """How high a moving foot is lifted, leg lengths."""


def phrase_name(split: str, style: str, index: int) -> str:
    return f"{split}-{style}-{index:03d}"


@cache
def make_phrase(name: str) -> Phrase:
    """The phrase called `split-style-number`."""
    split, style_name, _ = name.split("-")
    style = DANCE_STYLES[style_name]
    rng = stream("phrase", name)
    keys = np.zeros((PHRASE_BEATS, layout.WIDTH))
    _set_steps(keys, style, rng)
    _set_torso(keys, style, rng)
    _set_arms(keys, style, rng)
    track = _track(split, rng) if rng.uniform() < style.mocap else None
    if rng.uniform() < 0.5:
        keys = mirrored(keys)
    return Phrase(
        name, style_name, keys, track, arm_share=float(rng.choice([0.25, 0.7, 1.0])),
        sharpness=float(np.clip(style.sharpness + rng.uniform(-0.1, 0.1), 0, 1)), lift=float(rng.uniform(0.04, 0.1)),
    )  # fmt: skip


def _track(split: str, rng: np.random.Generator) -> Array:
    """Eight beats of recorded motion, 32 rows a beat: the split's own beats, to and fro where they are no closed loop."""
    choices = MOCAP_BEATS[split]
    name, first, end = choices[rng.integers(len(choices))]
    loop = load_loop(name)
    if end - first == LOOP_BEATS:
        track = np.concatenate([loop, loop])
        track = np.roll(track, -SAMPLES_PER_BEAT * int(rng.integers(LOOP_BEATS)), axis=0)
    else:
        rows = (np.arange(first * SAMPLES_PER_BEAT, end * SAMPLES_PER_BEAT + 1)) % len(loop)
        there = loop[rows]
        track = np.concatenate([there[:-1], there[:0:-1]])
        track = np.concatenate([track] * (PHRASE_BEATS // (2 * (end - first))))
    return mirrored(track) if rng.uniform() < 0.5 else track


def _set_arms(keys: Array, style: DanceStyle, rng: np.random.Generator) -> None:
    """A motif of 2 or 4 beats, then the same with the sides exchanged, and so on."""
    motif = int(rng.choice([2, 4]))
    same, turns, _ = style.symmetry
    draw = rng.uniform()
    left = _motif(style, motif, rng)
    if draw < same:
        right = [value.copy() for value in left]
    elif draw < same + turns:
        right = left[motif // 2 :] + left[: motif // 2]
    else:
        right = _motif(style, motif, rng)
    swap = rng.uniform() < 0.7
    for beat in range(PHRASE_BEATS):
        exchanged = swap and (beat // motif) % 2 == 1
        sides = (layout.RIGHT, layout.LEFT) if exchanged else (layout.LEFT, layout.RIGHT)
        for side, values in zip(sides, (left, right), strict=True):
            block = keys[beat, side]
            for part in (layout.UPPER_ARM, layout.FOREARM, layout.PALM, layout.CURL):
                block[part] = values[beat % motif][part]
            block[layout.SPREAD] = values[beat % motif][layout.SPREAD]


def _motif(style: DanceStyle, beats: int, rng: np.random.Generator) -> list[Array]:
    """One side's arm on so many beats, never twice the same in a row."""
    order = rng.permutation(len(style.arms))
    return [_arm(ARMS[style.arms[order[beat % len(order)]]], style, rng) for beat in range(beats)]


def _arm(arm: Arm, style: DanceStyle, rng: np.random.Generator) -> Array:
    """One side's 19 numbers with only arm and hand filled in."""
    values = np.zeros(19)
    upper, fore, palm = arm
    for part, direction in ((layout.UPPER_ARM, upper), (layout.FOREARM, fore), (layout.PALM, palm)):
        values[part] = layout.unit(np.array(direction, dtype=np.float64)) + rng.normal(0, 0.13, 3)
    hand = np.array(HANDS[style.hands[rng.integers(len(style.hands))]])
    hand[:5] = np.clip(hand[:5] + rng.normal(0, 0.08, 5), 0, 1)
    values[layout.CURL], values[layout.SPREAD] = hand[:5], np.clip(hand[5] + rng.normal(0, 0.08), 0, 1)
    return values


def _set_torso(keys: Array, style: DanceStyle, rng: np.random.Generator) -> None:
    """Hips, chest and head: swings of two beats, varied by beat; the turn on the floor holds for half a phrase."""
    beat = np.arange(PHRASE_BEATS)
    swing = np.where(beat % 2 == 0, 1.0, -1.0)
    slow = np.where(beat // 2 % 2 == 0, 1.0, -1.0)
    vary = lambda spread: rng.normal(1, spread, PHRASE_BEATS)  # noqa: E731
    sway = swing if rng.uniform() < 0.7 else slow
    side = rng.choice([-1.0, 1.0])
    keys[:, 1] += style.sway * sway * vary(0.15) * side
    keys[:, 2] += 0.985 - style.crouch - style.bounce * (0.5 + 0.5 * swing * rng.choice([-1.0, 1.0])) * vary(0.15)
    keys[:, 3] += rng.normal(0, 0.03, PHRASE_BEATS)
    keys[:, 4] = 0.4 * style.twist * swing * vary(0.3) * rng.choice([-1.0, 1.0])
    keys[:, 5] = style.lean * rng.uniform(0.2, 0.9)
    keys[:, 6] = style.roll * sway * side * vary(0.2)
    keys[:, 7] = style.twist * (swing if rng.uniform() < 0.6 else slow) * vary(0.3) * rng.choice([-1.0, 1.0])
    keys[:, 8] = style.lean * rng.uniform(-0.4, 0.8) + 0.5 * style.lean * swing * vary(0.3)
    keys[:, 9] = -0.8 * keys[:, 6] + 0.08 * slow * vary(0.5)
    keys[:, 10] = rng.normal(0, 0.2, PHRASE_BEATS) - 0.5 * keys[:, 7]
    keys[:, 11] = style.nod * swing * vary(0.2) - 0.4 * (keys[:, 5] + keys[:, 8])
    keys[:, 12] = style.tilt * (sway if rng.uniform() < 0.6 else slow) * rng.choice([-1.0, 1.0]) * vary(0.3)
    keys[:, 0] = np.repeat(rng.normal(0, style.turn, 2).clip(-0.9, 0.9), PHRASE_BEATS // 2)


def _set_steps(keys: Array, style: DanceStyle, rng: np.random.Generator) -> None:
    """Ankles (x outwards, y up, z forward, leg lengths) and the weight that follows them."""
    step = style.steps[rng.integers(len(style.steps))]
    width, size = rng.uniform(0.16, 0.3), rng.uniform(0.7, 1.2)
    left, right, shift = np.zeros((PHRASE_BEATS, 3)), np.zeros((PHRASE_BEATS, 3)), np.zeros(PHRASE_BEATS)
    left[:, 0] = right[:, 0] = width
    for beat in range(PHRASE_BEATS):
        _STEP_RULES[step](left, right, shift, beat, size)
    keys[:, 1] = shift
    for side, foot, other in ((layout.LEFT, left, right), (layout.RIGHT, right, left)):
        keys[:, side][:, layout.FOOT] = foot
        keys[:, side][:, layout.KNEE] = 0.25 + rng.normal(0, 0.08) + 0.4 * (other[:, 1] > 0.05) * rng.uniform(0, 0.3)


def _free_foot(left: Array, right: Array, beat: int) -> tuple[Array, float]:
    return (left[beat], 1.0) if beat % 2 == 0 else (right[beat], -1.0)


def _step_touch(left: Array, right: Array, shift: Array, beat: int, size: float) -> None:
    wide, direction = 0.3 * size, 1.0 if beat % 4 < 2 else -1.0
    shift[beat] = direction * 0.14 * size
    lead, follow = (left, right) if direction > 0 else (right, left)
    lead[beat, 0] = 0.12 + wide
    follow[beat, 0] = 0.12 if beat % 2 == 0 else 0.1 - 0.8 * wide


def _cross(left: Array, right: Array, shift: Array, beat: int, size: float) -> None:
    foot, side = _free_foot(left, right, beat // 2)
    if beat % 2 == 0:
        foot[0], foot[2] = -0.12 * size, 0.22 * size
    shift[beat] = -0.06 * side


def _mambo(left: Array, right: Array, shift: Array, beat: int, size: float) -> None:
    if beat % 4 == 0:
        left[beat, 2] = 0.38 * size
    if beat % 4 == 2:
        right[beat, 2] = -0.32 * size
    left[beat, 0] = right[beat, 0] = 0.13


def _march(left: Array, right: Array, shift: Array, beat: int, size: float) -> None:
    foot, side = _free_foot(left, right, beat)
    foot[1], foot[2] = 0.3 * size, 0.15
    shift[beat] = -0.1 * side


def _jack(left: Array, right: Array, shift: Array, beat: int, size: float) -> None:
    left[beat, 0] = right[beat, 0] = 0.36 * size if beat % 2 == 0 else 0.1


def _kick(left: Array, right: Array, shift: Array, beat: int, size: float) -> None:
    foot, side = _free_foot(left, right, beat // 2)
    if beat % 2 == 0:
        foot[:] = (0.35 * size, 0.28 * size, 0.4)
        shift[beat] = -0.12 * side


def _rock(left: Array, right: Array, shift: Array, beat: int, size: float) -> None:
    left[beat, 0] = right[beat, 0] = 0.27 * size


def _planted(left: Array, right: Array, shift: Array, beat: int, size: float) -> None:
    left[beat, 0] = right[beat, 0] = 0.22 * size


_STEP_RULES = {
    "step_touch": _step_touch, "cross": _cross, "mambo": _mambo, "march": _march, "jack": _jack, "kick": _kick, "rock": _rock,
    "planted": _planted,
}  # fmt: skip
