"""What was tried against the lag null: ways of saying, frame by frame or as a spectrum, that a body does something on the beat.

An envelope takes a pose (frame, 60, 3) and its frame rate. Names and results: `xdancer.reproduce.sync`, docs/experiments.md.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.metrics.lag_null import BODY_JOINTS, BRAKE_WIDTH, Envelope, Pose, braking_envelope, bumps, joint_velocities, speed_falls
from xdancer.metrics.motion_beats import motion_beats
from xdancer.skeleton import LEFT_ANKLE, LEFT_ELBOW, LEFT_KNEE, LEFT_WRIST, PART_KEYPOINTS, RIGHT_ANKLE, RIGHT_ELBOW, RIGHT_KNEE, RIGHT_WRIST
from xdancer.skeleton import BodyPart as Part

GROUPS: dict[str, Sequence[int]] = {
    "upper body": PART_KEYPOINTS[Part.UPPER_BODY],
    "lower body": PART_KEYPOINTS[Part.LOWER_BODY],
    "head": PART_KEYPOINTS[Part.HEAD],
    "arms": (LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST),
    "legs": (LEFT_KNEE, RIGHT_KNEE, LEFT_ANKLE, RIGHT_ANKLE),
}
LEADS = (0.033, 0.067, 0.1)
"""Seconds by which braking may come before the beat."""
SPECTRUM, STEP = (0.5, 5.0), 0.05
"""Hz that the phase-free candidates look at."""
BEAT_RATES = (1.0, 2.5)
"""Hz between which a song's beat is looked for."""

EnvelopeOf = Callable[[Pose, float], Envelope]


def _at_frames(inner: Float[NDArray, " inner"]) -> Envelope:
    """Values at the inner frames 1 … n − 2, the ends repeated."""
    return np.pad(inner, 1, mode="edge")


def _speeds(pose: Pose, fps: float, joints: Sequence[int]) -> Float[NDArray, "pair joint"]:
    return np.linalg.norm(joint_velocities(pose, fps, joints), axis=-1)


def deceleration(pose: Pose, fps: float, *, joints: Sequence[int] = BODY_JOINTS) -> Envelope:
    """Σ_j max(0, −Δ|v_j|): how much the joints brake, each by itself."""
    return _at_frames(np.maximum(0.0, -np.diff(_speeds(pose, fps, joints), axis=0)).sum(axis=1))


def later_deceleration(pose: Pose, fps: float, *, lead: float) -> Envelope:
    """`deceleration`, taken to come `lead` seconds before the beat."""
    envelope = deceleration(pose, fps)
    return np.interp(np.arange(len(envelope)) - lead * fps, np.arange(len(envelope)), envelope)


def acceleration(pose: Pose, fps: float) -> Envelope:
    """Σ_j max(0, Δ|v_j|): how much the joints start."""
    return _at_frames(np.maximum(0.0, np.diff(_speeds(pose, fps, BODY_JOINTS), axis=0)).sum(axis=1))


def slowness(pose: Pose, fps: float) -> Envelope:
    """−Σ_j |v_j|: how still the body is."""
    speed = _speeds(pose, fps, BODY_JOINTS).sum(axis=1)
    return -_at_frames((speed[1:] + speed[:-1]) / 2)


def velocity_change(pose: Pose, fps: float) -> Envelope:
    """Σ_j |Δv_j|: changes of velocity, in direction or size."""
    return _at_frames(np.linalg.norm(np.diff(joint_velocities(pose, fps), axis=0), axis=-1).sum(axis=1))


def direction_change(pose: Pose, fps: float) -> Envelope:
    """Σ_j √(|v||v′|) (1 − cos∠(v, v′)) / 2 of the velocities v, v′ before and after a frame: changes of direction alone, the fast ones more."""
    velocity = joint_velocities(pose, fps)
    before, after = velocity[:-1], velocity[1:]
    size = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    cosine = np.where(size > 0, (before * after).sum(axis=-1) / np.where(size > 0, size, 1.0), 1.0)
    return _at_frames((np.sqrt(size) * (1 - cosine) / 2).sum(axis=1))


def speed_minima(pose: Pose, fps: float, *, joints: Sequence[int] = BODY_JOINTS) -> Envelope:
    """A Gaussian of σ = 50 ms on every motion beat of the protocol `seconds`: the field's definition of keeping the beat as an envelope."""
    kept = np.isin(np.arange(pose.shape[1]), joints)
    beats = motion_beats(pose[..., :2], pose[..., 2] * kept, fps)
    return bumps(beats * fps, np.ones(len(beats)), len(pose), BRAKE_WIDTH * fps)


def stops(pose: Pose, fps: float, *, joints: Sequence[int] = BODY_JOINTS) -> Envelope:
    """Minima of every joint's speed, weighed by how far it fell to them: the velocity minimum after a deceleration."""
    falls = speed_falls(_speeds(pose, fps, joints))
    return bumps(falls.stop, falls.drop, len(pose), BRAKE_WIDTH * fps)


CANDIDATES: dict[str, EnvelopeOf] = {
    "braking": braking_envelope,
    "speed minima": speed_minima,
    "slowness": slowness,
    "deceleration": deceleration,
    **{f"deceleration, {1000 * lead:.0f} ms later": partial(later_deceleration, lead=lead) for lead in LEADS},
    "stops": stops,
    "acceleration": acceleration,
    "change of velocity": velocity_change,
    "change of direction": direction_change,
    **{
        f"{name}, {group}": partial(function, joints=joints)
        for name, function in (("braking", braking_envelope), ("speed minima", speed_minima), ("deceleration", deceleration))
        for group, joints in GROUPS.items()
    },
}
"""The lag null applies."""
SPECTRAL: dict[str, EnvelopeOf] = {"slowness": slowness, "deceleration": deceleration}
"""Envelopes whose spectra are compared: free of phase, so that a circular shift changes nothing and there is no lag null."""


def spectra(rhythms: Float[NDArray, "*set frame"], fps: float) -> Float[NDArray, "*set frequency"]:
    """Amplitudes .5–5 Hz in steps of .05 Hz of rhythms in a Hann window, each of length 1."""
    frames = rhythms.shape[-1]
    turns = np.exp(-2j * np.pi * np.outer(np.arange(frames) / fps, np.arange(SPECTRUM[0], SPECTRUM[1] + STEP / 2, STEP)))
    amplitude = np.abs((rhythms * np.hanning(frames)) @ turns)
    return amplitude / np.linalg.norm(amplitude, axis=-1, keepdims=True)


def beat_powers(motion: Float[NDArray, " frequency"], songs: Float[NDArray, "song frequency"]) -> Float[NDArray, " song"]:
    """Share of the motion's power at each song's beat, half and double: the beat is where 1–2.5 Hz and its double are strongest in the song."""
    frequency = SPECTRUM[0] + STEP * np.arange(motion.size)
    beats = np.flatnonzero((frequency >= BEAT_RATES[0] - 1e-9) & (frequency <= BEAT_RATES[1] + 1e-9))
    double = np.round((2 * frequency[beats] - SPECTRUM[0]) / STEP).astype(int)
    chosen = frequency[beats][(songs[:, beats] + songs[:, double]).argmax(axis=1)]
    near = [np.abs(frequency[None] - factor * chosen[:, None]) <= 2.001 * STEP for factor in (0.5, 1.0, 2.0)]
    return (np.any(near, axis=0) * motion**2).sum(axis=1)
