"""Does a dance keep the time of its own music? `brake_sync`: where the joints brake, against onsets, by the lag null.

A *motion envelope* says in every frame how much a body does what dancers do on a beat; the *onset envelope* of the music says how much sets in.
Their circular correlation over one clip is a curve over the lag. A dance that follows its music has a peak near lag 0, above what the same two
curves reach at all other lags; that is the **lag null**. It needs no other clip, no beat tracker and no tempo, and the motion's and the music's
own rhythms are the same on both sides of the comparison.

    envelope = onset_envelope(waveform, sample_rate, frames=len(pose), fps=30)
    sync_score(pose, envelope, fps=30)          # SyncScore(score=.24, percentile=.97, z=1.9, best_lag_seconds=.033, reason="")

Definition, with v_j the speed of body joint j, which falls from a maximum at a_i to the next minimum at b_i with its centre of braking at
c_i = Σ t·(−Δv_j) / Σ (−Δv_j) over that fall, and h, o = `rhythm` of the two envelopes:

    E(t) = Σ_j Σ_i [v_j(a_i) − v_j(b_i)] · exp(−(t − (c_i + b_i)/2)² / 2σ²),   σ = 50 ms
    r(ℓ) = mean_t h_E(t + ℓ) · o(t),   score = max_{|ℓ| ≤ 100 ms} r(ℓ),   percentile = share of all windows of lags further away that reach less

Chosen among the candidates of `xdancer.reproduce.sync` on motion made with and without music, the embedded set and what real clips there were;
figures in docs/experiments.md. Where it fails:

- One clip says little: without any music one clip in ten lies above .9. Read the mean over clips with `set_z`.
- A dance that repeats itself exactly to music that repeats itself exactly is as good one beat later: z stays below 2 however good it is, and
  noise decides the percentile. Read beside it the same dance with other songs.
- A dance off the beat on purpose (between the beats), or sound late by more than 100 ms, is a bad one; `best_lag_seconds` at ±100 ms warns.
- Flowing dances that never brake, and bodies of which few joints are seen, have a weak envelope. Camera motion is motion.
- What both sides do at the start of the clip (a song that fades in, a dancer who waits) is taken for synchrony unless it is slow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torchmetrics import Metric

from xdancer import skeleton as sk
from xdancer.audio.librosa_features import SAMPLE_RATE, frame_sound
from xdancer.audio.librosa_loader import load_librosa
from xdancer.audio.waveform import is_silent
from xdancer.errors import XDancerError

SHORTEST = 4.0
"""Seconds; a shorter clip has too few lags that are free of each other."""
WITHIN = 0.1
"""The best lag is looked for within ± this many seconds, around 0 and, for the null, around every other lag."""
SMOOTHING = 1 / 30
"""Width σ of the Gaussian on positions, seconds: detectors tremble."""
BRAKE_WIDTH = 0.05
"""Width σ of one braking in the envelope, seconds."""
DETREND = 0.5
"""Width σ of the Gaussian whose mean is taken off both envelopes, seconds: slow changes of energy are no rhythm."""
EDGES = 0.15
"""Seconds left out at both ends: smoothed motion slows down there, librosa's envelope starts at 0, and the two would agree in any clip."""
LEAST_SEEN = 0.5
"""A joint counts when it is visible in this share of the frames; gaps are interpolated."""
ONSET_DELAY = 1 / 30
"""librosa's envelope peaks 36 ms after a click, its centre of mass 23 ms: it is read one frame of 30 fps ahead."""
_FINE = 4
"""Steps of the fine onset envelope in a thirtieth of a second; the flux is taken over that many, so that every fourth value is the table's."""
_ROUNDING = 1e-9
"""Steps below this share of the largest coordinate, and falls below this share of the largest speed, are rounding."""
BODY_JOINTS = tuple(range(sk.BODY_COUNT))
SHORT, UNSEEN, STILL, SILENT = (
    f"shorter than {SHORTEST:g} s",
    "no body joint seen in half of the frames",
    "no motion",
    "silent or constant music",
)
REASONS = (SHORT, UNSEEN, STILL, SILENT)
"""Why a clip has no score."""

Envelope = Float[NDArray, " frame"]
Music = Float[NDArray, " music_frame"]
Pose = Float[NDArray, "frame 60 3"]


@dataclass(frozen=True)
class SyncScore:
    """One dance against one song. All numbers NaN, and `reason` says why, where there is nothing to compare."""

    score: float
    """Highest circular correlation of the two envelopes within ±100 ms, −1 … 1."""
    percentile: float
    """Share of all lags further away whose own ±100 ms reach less (ties count half): .5 at chance, 1 for a dance on its music."""
    z: float
    """(score − mean) / deviation of the same highest values further away."""
    best_lag_seconds: float
    """Where the score is reached; positive where the dance is later than the music."""
    reason: str = ""
    """One of `REASONS`, or empty."""


def onset_envelope(waveform: Float[NDArray, " sample"], sample_rate: int, frames: int, fps: int | float = 30.0) -> Envelope:
    """Onset strength of the music at t / fps for every frame t of a video: librosa's spectral flux, freed of its delay.

    At 30 fps it is column 0 of the `librosa` features one frame ahead (`envelope_of_features`); other rates read the same curve, computed
    at 120 values a second, in between. Silence gives zeros; where the sound ends before the video it is continued with silence.

    Raises:
        XDancerError: no frames, or no frame rate.
    """
    if not fps > 0 or frames < 1:
        raise XDancerError(f"onset_envelope: {frames} frames at {fps} per second. Both must be above zero.")
    moments = np.arange(frames) / fps + ONSET_DELAY
    sound = frame_sound(waveform, sample_rate, int(np.ceil(moments[-1] * 30)) + 1)
    if is_silent(sound):
        return np.zeros(frames)
    fine = load_librosa().onset.onset_strength(y=sound, sr=SAMPLE_RATE, hop_length=SAMPLE_RATE // (30 * _FINE), lag=_FINE)
    return np.interp(moments, np.arange(len(fine)) / (30 * _FINE), fine.astype(np.float64))


def envelope_of_features(rows: Float[NDArray, "frame 35"]) -> Envelope:
    """The same from the `librosa` features of a clip at 30 fps, without the sound; the last frame repeats."""
    return np.append(rows[1:, 0], rows[-1:, 0]).astype(np.float64)


def joint_velocities(pose: Pose, fps: int | float, joints: Sequence[int] = BODY_JOINTS) -> Float[NDArray, "pair joint 2"]:
    """Velocities of the joints that are seen, units per second, between neighbouring frames: entry t lies at (t + ½) / fps.

    Positions of unseen moments are interpolated between seen ones, then smoothed; a joint seen in less than half of the frames is left out.
    """
    places = pose[:, joints, :2].astype(np.float64)
    seen = (pose[:, joints, 2] >= sk.VISIBLE) & np.isfinite(places).all(axis=-1)
    used = np.flatnonzero(seen.mean(axis=0) >= LEAST_SEEN)
    for number in used[~seen[:, used].all(axis=0)]:
        known = np.flatnonzero(seen[:, number])
        for axis in range(2):
            places[:, number, axis] = np.interp(np.arange(len(pose)), known, places[known, number, axis])
    steps = np.diff(gaussian_filter1d(places[:, used], SMOOTHING * fps, axis=0, mode="nearest"), axis=0)
    rounding = _ROUNDING * np.abs(places[:, used]).max(initial=0.0)
    return np.where(np.abs(steps) > rounding, steps, 0.0) * fps


@dataclass(frozen=True)
class Falls:
    """Every uninterrupted fall of every joint's speed, in frames of the clip."""

    drop: Float[NDArray, " fall"]
    """Speed before minus speed after."""
    centre: Float[NDArray, " fall"]
    """Mean moment of the braking."""
    stop: Float[NDArray, " fall"]
    """Moment of the minimum."""


def speed_falls(speeds: Float[NDArray, "pair joint"]) -> Falls:
    """Falls of speeds between neighbouring frames."""
    steps = np.diff(speeds, axis=0).T
    falling = np.pad(steps < 0, ((0, 0), (1, 1))).astype(np.int8)
    joint, start = np.nonzero(np.diff(falling, axis=1) == 1)
    _, stop = np.nonzero(np.diff(falling, axis=1) == -1)
    braking = np.pad(np.cumsum(np.maximum(0.0, -steps) * (np.arange(steps.shape[1]) + 1.0), axis=1), ((0, 0), (1, 0)))
    drop = speeds[start, joint] - speeds[stop, joint]
    centre = (braking[joint, stop] - braking[joint, start]) / drop
    kept = drop > _ROUNDING * speeds.max(initial=0.0)
    return Falls(drop[kept], np.clip(centre, start + 0.5, stop + 0.5)[kept], stop[kept] + 0.5)


def bumps(moments: Float[NDArray, " fall"], weights: Float[NDArray, " fall"], frames: int, width: float) -> Envelope:
    """Gaussians of these weights at these moments (frames, between two frames in shares), `width` frames wide."""
    left = np.floor(moments).astype(int)
    share = moments - left
    impulses = np.zeros(frames)
    np.add.at(impulses, left, weights * (1 - share))
    np.add.at(impulses, np.minimum(left + 1, frames - 1), weights * share)
    return gaussian_filter1d(impulses, width)


def braking_envelope(pose: Pose, fps: int | float = 30.0, *, joints: Sequence[int] = BODY_JOINTS) -> Envelope:
    """E of the module: each fall of a joint's speed, weighed by how far it fell, midway between the centre of the braking and the stop.

    Zeros for a pose without a visible joint and for fewer than three frames.
    """
    speeds = np.linalg.norm(joint_velocities(pose, fps, joints), axis=-1)
    if len(speeds) < 2 or not speeds.shape[1]:
        return np.zeros(len(pose))
    falls = speed_falls(speeds)
    return bumps((falls.centre + falls.stop) / 2, falls.drop, len(pose), BRAKE_WIDTH * fps)


def rhythm(envelope: Float[NDArray, "*set frame"], fps: int | float) -> Float[NDArray, "*set inner"] | None:
    """The envelope without its ends and its slow changes, mean 0 and deviation 1; None for a constant one."""
    cut = round(EDGES * fps)
    inner = envelope[..., cut : envelope.shape[-1] - cut]
    fast = inner - gaussian_filter1d(inner, DETREND * fps, axis=-1, mode="nearest")
    fast = fast - fast.mean(axis=-1, keepdims=True)
    spread = fast.std(axis=-1, keepdims=True)
    least = 1e-9 * np.abs(inner).max(axis=-1, keepdims=True)
    return fast / spread if (spread > least).all() else None


def lag_curve(motion: Float[NDArray, " inner"], music: Float[NDArray, " inner"]) -> Float[NDArray, " inner"]:
    """Circular correlation r of two rhythms: entry ℓ compares the motion ℓ frames later with the music."""
    return np.fft.irfft(np.fft.rfft(motion) * np.conj(np.fft.rfft(music)), len(motion)) / len(motion)


def lag_null(motion: Envelope, music: Music, fps: int | float) -> SyncScore:
    """Score of any motion envelope with the music's onset envelope against all circular lags of the same pair.

    Raises:
        XDancerError: envelopes of unequal length, or with a value that is not finite.
    """
    if len(motion) != len(music):
        raise XDancerError(f"The motion has {len(motion)} frames, the music's envelope {len(music)}. Compute it for the frames of the motion.")
    if not (np.isfinite(motion).all() and np.isfinite(music).all()):
        raise XDancerError("The envelope of the motion or of the music holds values that are not finite. Repair the pose or the sound first.")
    if len(motion) < SHORTEST * fps:
        return _no_score(SHORT)
    moved, sounded = rhythm(motion, fps), rhythm(music, fps)
    if moved is None or sounded is None:
        return _no_score(STILL if moved is None else SILENT)
    curve, reach = lag_curve(moved, sounded), max(1, round(WITHIN * fps))
    best = np.round(np.max([np.roll(curve, -lag) for lag in range(-reach, reach + 1)], axis=0), 12)  # equal ones are equal
    far = best[2 * reach + 1 : len(best) - 2 * reach]
    own, lag = float(best[0]), int(np.argmax(np.roll(curve, reach)[: 2 * reach + 1])) - reach
    percentile = float((far < own).mean() + (far == own).mean() / 2)
    return SyncScore(own, percentile, (own - float(far.mean())) / max(float(far.std()), 1e-12), lag / fps)


def _no_score(reason: str) -> SyncScore:
    return SyncScore(nan, nan, nan, nan, reason)


def sync_score(pose: Pose, envelope: Music, fps: int | float = 30.0) -> SyncScore:
    """How well a dance keeps the time of its music, by itself (`brake_sync`, see the module).

    Args:
        pose: in any unit; the 18 body joints are read. Not-finite positions count as unseen.
        envelope: of the music, at the same frames (`onset_envelope`, `envelope_of_features`).
        fps: frame rate of both.

    Raises:
        XDancerError: pose and envelope of unequal length, or an envelope that is not finite.
    """
    score = lag_null(braking_envelope(pose, fps), envelope, fps)
    return _no_score(UNSEEN) if score.reason == STILL and not joint_velocities(pose, fps).shape[1] else score


_SUMS = ("score", "percentile", "z", "best_lag_seconds")
_COUNTS = ("clips", "clips_too_short", "clips_without_body", "clips_without_motion", "clips_without_music")


class Synchrony(Metric):
    """`brake_sync` of a set of clips: means of `SyncScore`, and whether the set as a whole is above chance.

    `set_z` = (mean percentile − ½) · √(12 n), standard normal for motion without music (percentiles are uniform then; clips independent).
    States are sums in double, so two processes give what one gives. Clips that cannot be judged enter no mean and are counted by reason. NaN
    without any clip that counts. Poses in any unit, music as the onset envelope at the same frames.
    """

    higher_is_better = True
    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(len(_SUMS), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(_COUNTS), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, pose: Pose, envelope: Music, fps: int | float = 30.0) -> None:
        """Add one clip."""
        score = sync_score(pose, envelope, fps)
        self.counts[0 if not score.reason else 1 + REASONS.index(score.reason)] += 1
        if not score.reason:
            self.sums += torch.tensor([getattr(score, name) for name in _SUMS], dtype=torch.float64, device=self.sums.device)

    def compute(self) -> dict[str, float]:
        """`score`, `percentile`, `z`, `best_lag_seconds` (means), `set_z`, and the counts."""
        counts = dict(zip(_COUNTS, self.counts.tolist(), strict=True))
        clips = counts["clips"]
        means = {name: total / clips if clips else nan for name, total in zip(_SUMS, self.sums.tolist(), strict=True)}
        return means | {"set_z": (means["percentile"] - 0.5) * sqrt(12 * clips) if clips else nan} | counts
