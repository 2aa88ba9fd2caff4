"""What the puppet is made of: capsules between points of the body, each with two radii and a colour; hands as bundles of thin ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdancer.embedded.body import EXTRA, POINT_COUNT, Array, Body
from xdancer.embedded.identity import Colour, Identity, Look

HAND_BONES = ((0, 5), (0, 9), (0, 17), *((4 * f + j, 4 * f + k) for f in range(5) for j, k in ((1, 2), (2, 3), (3, 4))))
"""Palm (three capsules), then the bones of thumb … little finger, as pairs of a hand's keypoints."""
_PALM_RADIUS, _FINGER_RADIUS = 0.017, 0.0085
"""Metres per metre of body height; fingers a little thick, so that they show at 128 pixels."""


@dataclass(frozen=True)
class Capsule:
    """A stroke from point `start` to point `end`."""

    start: int
    end: int
    radius_start: float
    """Metres."""
    radius_end: float
    colour: Colour
    nearer: float = 0.0
    """Drawn as if this many metres nearer, so that cloth covers skin."""
    relief: float = 1.0
    """How strongly the light models it."""


@dataclass(frozen=True)
class Figure:
    """All capsules of a dancer but the hands', and how to find the extra points they use."""

    capsules: tuple[Capsule, ...]
    between: tuple[tuple[int, int, float], ...]
    """Extra points number 69, 70, …: (from, to, share of the way)."""
    skin: Colour
    palm_radius: float
    finger_radius: float


def _darker(colour: Colour, factor: float) -> Colour:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


class _Maker:
    def __init__(self, identity: Identity) -> None:
        self.scale = identity.body.height * identity.body.girth
        self.capsules: list[Capsule] = []
        self.between: list[tuple[int, int, float]] = []

    def point(self, start: int, end: int, share: float) -> int:
        """Number of the point a share of the way from one to another."""
        self.between.append((start, end, share))
        return POINT_COUNT + len(self.between) - 1

    def add(
        self, start: int, end: int, radius_start: float, radius_end: float, colour: Colour, nearer: float = 0.0, *, relief: float = 1.0
    ) -> None:
        """A capsule; radii in body heights (scaled by the girth)."""
        self.capsules.append(Capsule(start, end, radius_start * self.scale, radius_end * self.scale, colour, nearer, relief))


def make_figure(identity: Identity) -> Figure:
    """The capsules of a dancer."""
    maker, look = _Maker(identity), identity.look
    for hip, knee, ankle, side in ((11, 12, 13, "left"), (8, 9, 10, "right")):
        _add_leg(maker, look, hip, knee, ankle, side)
    for shoulder, elbow, wrist in ((5, 6, 7), (2, 3, 4)):
        _add_arm(maker, look, shoulder, elbow, wrist)
    _add_torso(maker, look)
    _add_head(maker, look, identity.body.head / maker.scale)
    height = identity.body.height
    return Figure(tuple(maker.capsules), tuple(maker.between), look.skin, _PALM_RADIUS * height, _FINGER_RADIUS * height)


def _add_leg(maker: _Maker, look: Look, hip: int, knee: int, ankle: int, side: str) -> None:
    maker.add(EXTRA[f"{side}_heel"], EXTRA[f"{side}_toe"], 0.019, 0.016, look.shoes, 0.02)
    maker.add(ankle, EXTRA[f"{side}_heel"], 0.018, 0.018, look.shoes, 0.01)
    covered = look.trouser_length
    if covered < 1:
        maker.add(knee, ankle, 0.029, 0.018, look.skin)
    if covered < 0.5:
        maker.add(hip, knee, 0.045, 0.03, look.skin)
    if not look.skirt:
        end = maker.point(hip, knee, min(covered * 2, 1.0)) if covered < 0.5 else knee
        maker.add(hip, end, 0.05, 0.036, look.trousers, 0.012)
        if covered > 0.5:
            end = ankle if covered >= 1 else maker.point(knee, ankle, covered * 2 - 1)
            maker.add(knee, end, 0.036, 0.026, look.trousers, 0.012)


def _add_arm(maker: _Maker, look: Look, shoulder: int, elbow: int, wrist: int) -> None:
    if look.sleeve < 1:
        maker.add(elbow, wrist, 0.02, 0.0145, look.skin)
    if look.sleeve < 0.5:
        maker.add(shoulder, elbow, 0.026, 0.021, look.skin)
    end = maker.point(shoulder, elbow, min(look.sleeve * 2, 1.0)) if look.sleeve < 0.5 else elbow
    maker.add(shoulder, end, 0.032, 0.027, look.top, 0.012)
    if look.sleeve > 0.5:
        end = wrist if look.sleeve >= 1 else maker.point(elbow, wrist, look.sleeve * 2 - 1)
        maker.add(elbow, end, 0.026, 0.02, look.top, 0.012)


def _add_torso(maker: _Maker, look: Look) -> None:
    pelvis = EXTRA["pelvis"]
    waist = maker.point(1, pelvis, 0.72)
    maker.add(11, 8, 0.05, 0.05, look.trousers, relief=0.5)
    maker.add(pelvis, waist, 0.058, 0.055, look.trousers)
    if look.skirt:
        knees = maker.point(12, 9, 0.5)
        maker.add(pelvis, maker.point(pelvis, knees, 0.72), 0.06, 0.075, look.trousers, 0.02, relief=0.4)
        for hip, knee in ((11, 12), (8, 9)):
            maker.add(hip, maker.point(hip, knee, 0.75), 0.05, 0.068, look.trousers, 0.03, relief=0.4)
    for shoulder, hip in ((5, 11), (2, 8)):
        maker.add(maker.point(shoulder, 1, 0.16), maker.point(shoulder, hip, 0.72), 0.042, 0.042, look.top, relief=0.35)
    maker.add(maker.point(1, pelvis, 0.12), waist, 0.066, 0.056, look.top, relief=0.35)
    maker.add(maker.point(5, 1, 0.25), maker.point(2, 1, 0.25), 0.036, 0.036, look.top, relief=0.35)
    if look.stripe is not None:
        chest = maker.point(1, pelvis, 0.42)
        left, right = maker.point(5, 11, 0.42), maker.point(2, 8, 0.42)
        maker.add(maker.point(left, chest, 0.02), maker.point(right, chest, 0.02), 0.02, 0.02, look.stripe, 0.06)
    maker.add(1, EXTRA["chin"], 0.026, 0.022, look.skin, -0.01)


def _add_head(maker: _Maker, look: Look, head: float) -> None:
    centre, top, chin, face = (EXTRA[name] for name in ("head", "head_top", "chin", "face"))
    front = maker.point(centre, face, 0.25)
    back = maker.point(centre, face, -0.22)
    crown = maker.point(maker.point(centre, top, 0.28), face, -0.2)
    maker.add(maker.point(front, top, 0.1), maker.point(front, chin, 0.45), 0.7 * head, 0.6 * head, look.skin)
    maker.add(crown, back, 0.84 * head, 0.74 * head, look.hair)
    if look.hair_length > 0.2:
        maker.add(back, maker.point(back, 1, 0.35 + 0.5 * look.hair_length), 0.76 * head, 0.6 * head, look.hair, -0.12)
    maker.add(maker.point(top, face, 0.25), maker.point(top, face, 0.4), 0.42 * head, 0.36 * head, look.hair, 0.02)
    dark, lip = (0.08, 0.06, 0.06), (0.62, 0.2, 0.2)
    for eye in (14, 15):
        maker.add(eye, eye, 0.13 * head, 0.13 * head, dark, 0.0)
    mouth = maker.point(face, chin, 0.55)
    maker.add(maker.point(mouth, 14, 0.22), maker.point(mouth, 15, 0.22), 0.075 * head, 0.075 * head, lip, 0.0)
    maker.add(0, 0, 0.1 * head, 0.1 * head, _darker(look.skin, 0.82), 0.0)


def all_points(body: Body, figure: Figure) -> Array:
    """(frame, 69 + extra, 3): the body's points, then the figure's own."""
    points: NDArray[np.float64] = np.empty((len(body.points), POINT_COUNT + len(figure.between), 3))
    points[:, :POINT_COUNT] = body.points
    for index, (start, end, share) in enumerate(figure.between):
        points[:, POINT_COUNT + index] = points[:, start] * (1 - share) + points[:, end] * share
    return points
