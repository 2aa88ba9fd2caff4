"""The named styles that song and dance share: what each does with arms, hands, steps, hips and head, and at which tempos it is danced."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DanceStyle:
    """The dancing half of a style; the sounding half is in `xdancer.embedded.song`."""

    tempo: tuple[int, int]
    """BPM from which songs of the style are drawn, evenly; together the styles cover 90–140."""
    arms: tuple[str, ...]
    hands: tuple[str, ...]
    steps: tuple[str, ...]
    symmetry: tuple[float, float, float]
    """Chances that the arms do the same, take turns, or go separate ways."""
    bounce: float
    """Depth of the knee bend on the beat, leg lengths."""
    crouch: float
    sway: float
    """Sideways travel of the hips, leg lengths."""
    roll: float
    """Tilt of the hips, radians."""
    twist: float
    lean: float
    nod: float
    tilt: float
    """Of the head to the side, radians."""
    sharpness: float
    """0 = flowing, 1 = the pose is hit early and held."""
    mocap: float
    """Chance that legs and torso of a phrase follow a real loop."""
    turn: float
    """How far phrases face away from the camera, radians."""


DANCE_STYLES: dict[str, DanceStyle] = {
    "disco": DanceStyle(
        tempo=(108, 132), arms=("point_up", "point_down", "across", "hip", "roll", "out"), hands=("point", "point", "flat", "fist"),
        steps=("step_touch", "cross", "rock"), symmetry=(0.1, 0.6, 0.3), bounce=0.05, crouch=0.03, sway=0.16, roll=0.22, twist=0.3,
        lean=0.05, nod=0.08, tilt=0.15, sharpness=0.35, mocap=0.25, turn=0.35,
    ),
    "hiphop": DanceStyle(
        tempo=(90, 110), arms=("chest", "scarecrow", "front", "low", "cross_low", "bent", "face"), hands=("fist", "fist", "relaxed", "point"),
        steps=("rock", "step_touch", "mambo", "jack"), symmetry=(0.25, 0.35, 0.4), bounce=0.13, crouch=0.12, sway=0.12, roll=0.08,
        twist=0.35, lean=0.22, nod=0.3, tilt=0.1, sharpness=0.5, mocap=0.35, turn=0.5,
    ),
    "house": DanceStyle(
        tempo=(116, 134), arms=("bent", "low", "chest", "scarecrow", "out"), hands=("relaxed", "fist", "flat"),
        steps=("march", "jack", "cross", "step_touch"), symmetry=(0.1, 0.75, 0.15), bounce=0.09, crouch=0.06, sway=0.1, roll=0.1,
        twist=0.3, lean=0.14, nod=0.14, tilt=0.08, sharpness=0.15, mocap=0.5, turn=0.4,
    ),
    "latin": DanceStyle(
        tempo=(92, 124), arms=("bent", "hip", "chest", "face", "wide_low", "head"), hands=("relaxed", "spread", "flat"),
        steps=("mambo", "cross", "rock"), symmetry=(0.15, 0.55, 0.3), bounce=0.03, crouch=0.04, sway=0.2, roll=0.3, twist=0.25, lean=0.04,
        nod=0.05, tilt=0.2, sharpness=0.1, mocap=0.3, turn=0.5,
    ),
    "wave": DanceStyle(
        tempo=(98, 128), arms=("up", "high_v", "out", "wide_low", "goal", "low"), hands=("spread", "spread", "flat", "relaxed"),
        steps=("rock", "planted", "step_touch"), symmetry=(0.45, 0.3, 0.25), bounce=0.07, crouch=0.04, sway=0.24, roll=0.14, twist=0.15,
        lean=0.08, nod=0.1, tilt=0.3, sharpness=0.0, mocap=0.15, turn=0.3,
    ),
    "robot": DanceStyle(
        tempo=(94, 122), arms=("goal", "scarecrow", "bent", "out", "front", "low"), hands=("flat", "flat", "fist"),
        steps=("planted", "march", "step_touch"), symmetry=(0.2, 0.45, 0.35), bounce=0.03, crouch=0.03, sway=0.08, roll=0.06, twist=0.5,
        lean=0.12, nod=0.16, tilt=0.22, sharpness=0.9, mocap=0.0, turn=0.3,
    ),
    "rock": DanceStyle(
        tempo=(118, 140), arms=("up", "punch_up", "bent", "front", "goal"), hands=("fist", "horns", "fist", "spread"),
        steps=("planted", "jack", "rock"), symmetry=(0.4, 0.4, 0.2), bounce=0.12, crouch=0.1, sway=0.08, roll=0.06, twist=0.15, lean=0.25,
        nod=0.45, tilt=0.1, sharpness=0.25, mocap=0.2, turn=0.25,
    ),
    "swing": DanceStyle(
        tempo=(112, 140), arms=("out", "wide_low", "low", "across", "goal", "bent"), hands=("spread", "flat", "spread"),
        steps=("kick", "kick", "march", "mambo"), symmetry=(0.25, 0.6, 0.15), bounce=0.08, crouch=0.06, sway=0.1, roll=0.1, twist=0.3,
        lean=0.16, nod=0.1, tilt=0.12, sharpness=0.15, mocap=0.3, turn=0.35,
    ),
}  # fmt: skip
STYLES: tuple[str, ...] = tuple(DANCE_STYLES)

Direction = tuple[int | float, int | float, int | float]
Arm = tuple[Direction, Direction, Direction]
ARMS: dict[str, Arm] = {  # upper arm, forearm, palm: x outwards, y up, z to the camera
    "low": ((0.3, -1, 0.05), (0.2, -1, 0.3), (-0.6, 0.1, 0.6)),
    "wide_low": ((0.8, -0.65, 0.1), (0.95, -0.35, 0.2), (-0.1, -0.6, 0.8)),
    "hip": ((0.75, -0.7, -0.2), (-0.75, -0.6, 0.3), (-0.3, 0.5, -0.8)),
    "out": ((1, 0.02, 0.1), (1, 0.08, 0.2), (0, -0.4, 0.9)),
    "up": ((0.4, 1, 0.05), (0.12, 1, 0.1), (-0.2, 0, 1)),
    "punch_up": ((0.65, 0.6, 0.25), (0.0, 1, 0.15), (-0.3, 0, 1)),
    "high_v": ((0.75, 0.75, 0.1), (0.6, 0.9, 0.1), (-0.1, 0, 1)),
    "goal": ((1, 0.05, 0.1), (0.15, 1, 0.15), (0, 0, 1)),
    "scarecrow": ((1, 0.05, 0), (0.1, -1, 0.25), (0, 0.2, -1)),
    "front": ((0.5, -0.15, 0.9), (0.35, 0.35, 0.85), (-0.1, 0.9, 0.5)),
    "chest": ((0.65, -0.55, 0.4), (-0.9, 0.2, 0.45), (0.2, -0.2, -1)),
    "face": ((0.7, -0.2, 0.5), (-0.35, 0.95, 0.25), (-0.3, 0, 0.9)),
    "head": ((0.85, 0.65, -0.05), (-0.75, 0.65, -0.1), (-0.3, -0.3, 0.9)),
    "bent": ((0.35, -0.9, -0.15), (0.35, 0.45, 0.8), (-0.7, 0.2, 0.4)),
    "cross_low": ((-0.05, -0.85, 0.5), (-0.6, -0.6, 0.5), (0.3, -0.2, -0.9)),
    "point_up": ((0.75, 0.65, 0.2), (0.75, 0.75, 0.2), (0, -0.5, 0.8)),
    "point_down": ((0.75, -0.65, 0.2), (0.8, -0.6, 0.25), (0, 0.3, -0.9)),
    "across": ((-0.15, -0.1, 0.95), (-0.85, 0.35, 0.45), (0.3, -0.5, -0.8)),
    "roll": ((0.5, -0.75, 0.4), (-0.5, 0.35, 0.75), (-0.3, -0.8, -0.4)),
}  # fmt: skip
HANDS: dict[str, tuple[float, float, float, float, float, float]] = {  # bend of thumb … little finger, spread
    "flat": (0.1, 0.02, 0.02, 0.02, 0.05, 0.1),
    "spread": (0.0, 0.0, 0.0, 0.02, 0.0, 1.0),
    "relaxed": (0.35, 0.3, 0.38, 0.42, 0.45, 0.3),
    "fist": (0.9, 0.95, 1.0, 1.0, 0.97, 0.0),
    "point": (0.75, 0.0, 0.95, 0.98, 0.95, 0.0),
    "horns": (0.7, 0.0, 0.95, 0.95, 0.0, 0.5),
}
STEPS = ("step_touch", "cross", "rock", "mambo", "march", "jack", "kick", "planted")
