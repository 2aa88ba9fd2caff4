"""Who dances: body shape, colours, clothes, camera and background of one invented dancer, drawn from the dancer's name alone."""

import colorsys
from dataclasses import dataclass

import numpy as np

from xdancer.embedded.seeds import stream

IDENTITY_COUNTS = {"train": 96, "val": 16, "test": 32}
"""How many dancers each split owns; none dances in two splits."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Proportions:
    """Lengths in metres."""

    height: float
    thigh: float
    shank: float
    ankle: float
    spine: float
    """Hip line to shoulder line."""
    neck: float
    """Shoulder line to the centre of the head."""
    head: float
    """Half the height of the skull."""
    shoulder: float
    """Half the distance of the shoulders."""
    hip: float
    """Half the distance of the hips."""
    upper_arm: float
    forearm: float
    hand: float
    """Wrist to the tip of the middle finger."""
    girth: float
    """Factor on every thickness."""

    @property
    def leg(self) -> float:
        return self.thigh + self.shank


@dataclass(frozen=True)
class Camera:
    """A still camera that looks along -z; pictures are square."""

    distance: float
    """From the lens to the dancer's place, metres."""
    height: float
    """Of the lens above the floor, metres."""
    focal: float
    """In units of half the image height."""
    centre: tuple[float, float]
    """Where the point straight ahead of the lens falls, in pose coordinates."""


@dataclass(frozen=True)
class Look:
    """Colours (RGB in [0, 1]) and clothes."""

    skin: Colour
    hair: Colour
    top: Colour
    trousers: Colour
    shoes: Colour
    sleeve: float
    """Share of the arm that the top covers, 0.15 … 1.0."""
    trouser_length: float
    """Share of the leg that is covered, 0.35 … 1."""
    skirt: bool
    hair_length: float
    """0 = cropped … 1 = to the shoulders."""
    stripe: Colour | None
    """A band across the chest."""


@dataclass(frozen=True)
class Scene:
    """What stands behind the dancer."""

    wall: Colour
    wall_low: Colour
    floor: Colour
    kind: str
    """`plain`, `stripes`, `window`, `blocks` or `glow`."""
    accent: Colour
    seed: int


@dataclass(frozen=True)
class Identity:
    """One dancer."""

    name: str
    body: Proportions
    look: Look
    camera: Camera
    scene: Scene


def identity_name(split: str, index: int) -> str:
    """Name of the dancer number `index` of a split; dancers are reused in turn beyond the split's count."""
    return f"{split}-dancer-{index % IDENTITY_COUNTS[split]:03d}"


def make_identity(name: str) -> Identity:
    """The dancer of that name: a pure function of the name."""
    rng = stream("identity", name)
    body = _proportions(rng)
    return Identity(name=name, body=body, look=_look(rng), camera=_camera(rng, body), scene=_scene(rng))


def _proportions(rng: np.random.Generator) -> Proportions:
    height = rng.uniform(1.5, 1.95)
    leg = height * rng.uniform(0.465, 0.5)
    arm = height * rng.uniform(0.31, 0.34)
    return Proportions(
        height=height, thigh=0.51 * leg, shank=0.49 * leg, ankle=0.045 * height, spine=height * rng.uniform(0.285, 0.305),
        neck=height * rng.uniform(0.115, 0.13), head=height * rng.uniform(0.064, 0.075), shoulder=height * rng.uniform(0.1, 0.125),
        hip=height * rng.uniform(0.05, 0.062), upper_arm=0.53 * arm, forearm=0.47 * arm, hand=height * rng.uniform(0.115, 0.13),
        girth=rng.uniform(0.85, 1.25),
    )  # fmt: skip


def _camera(rng: np.random.Generator, body: Proportions) -> Camera:
    focal = rng.uniform(2.2, 3.2)
    share = rng.uniform(0.62, 0.8)  # of the picture's height that the standing dancer fills
    distance = focal * body.height / (2 * share)
    height = rng.uniform(0.5, 0.75) * body.height
    feet = rng.uniform(0.8, 0.92)  # where the soles fall
    centre_y = feet - focal * height / distance
    return Camera(distance=distance, height=height, focal=focal, centre=(rng.uniform(-0.08, 0.08), centre_y))


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(hue % 1.0, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1)))


def _look(rng: np.random.Generator) -> Look:
    tone = rng.uniform(0, 1)
    skin = tuple(float(v) for v in np.array([0.97, 0.82, 0.7]) * (1 - tone) + np.array([0.4, 0.26, 0.18]) * tone)
    hue = rng.uniform()
    skirt = bool(rng.uniform() < 0.2)
    stripe = _hsv(rng.uniform(), rng.uniform(0.3, 0.9), rng.uniform(0.3, 1.0)) if rng.uniform() < 0.35 else None
    return Look(
        skin=(skin[0], skin[1], skin[2]),
        hair=_hsv(rng.uniform(0.02, 0.12), rng.uniform(0.2, 0.7), rng.uniform(0.08, 0.75)),
        top=_hsv(hue, rng.uniform(0.15, 0.95), rng.uniform(0.3, 1.0)),
        trousers=_hsv(hue + rng.uniform(0.25, 0.75), rng.uniform(0.1, 0.85), rng.uniform(0.15, 0.8)),
        shoes=_hsv(rng.uniform(), rng.uniform(0.0, 0.7), rng.uniform(0.1, 1.0)),
        sleeve=float(rng.choice([0.2, 0.45, 0.7, 1.0])),
        trouser_length=float(rng.choice([0.35, 0.4]) if skirt else rng.choice([0.45, 0.75, 1.0], p=[0.2, 0.2, 0.6])),
        skirt=skirt, hair_length=float(rng.choice([0.0, 0.3, 0.7, 1.0])), stripe=stripe,
    )  # fmt: skip


def _scene(rng: np.random.Generator) -> Scene:
    hue, value = rng.uniform(), rng.uniform(0.25, 0.95)
    wall = _hsv(hue, rng.uniform(0.03, 0.4), value)
    low = _hsv(hue + rng.normal(0, 0.04), rng.uniform(0.05, 0.5), value * rng.uniform(0.7, 1.0))
    floor = _hsv(rng.uniform(), rng.uniform(0.05, 0.4), rng.uniform(0.2, 0.8))
    accent = _hsv(rng.uniform(), rng.uniform(0.2, 0.7), rng.uniform(0.3, 1.0))
    kind = str(rng.choice(["plain", "stripes", "window", "blocks", "glow"]))
    return Scene(wall=wall, wall_low=low, floor=floor, kind=kind, accent=accent, seed=int(rng.integers(2**31)))
