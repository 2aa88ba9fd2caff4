"""Motion with music for `xdancer.reproduce.sync`: shards, videos, and motion made with and without music in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from xdancer.data.reader import ShardReader
from xdancer.errors import XDancerError
from xdancer.media.reading import probe, read_audio, stream_video
from xdancer.metrics.lag_null import Music, Pose, envelope_of_features, onset_envelope
from xdancer.pose.coordinates import to_normalised
from xdancer.pose.detector import make_detector
from xdancer.skeleton import BODY_COUNT, KEYPOINT_COUNT
from xdancer.types import FPS

FINE = 240
"""Moments a second at which motion is made."""
REST = 0.02
"""Width σ of the Gaussian that gives the joints some mass, seconds."""
JITTER, SHARE = 0.04, 0.5
"""Hard motion is off the beat by this σ (seconds), and a joint takes part in this share of the beats."""
TREMBLE = 0.002
"""A detector's trembling: .1 % of the picture's height."""
SOUND_RATE = 44100


@dataclass(frozen=True)
class Window:
    """Some seconds of motion with their music."""

    clip: str
    song: str
    fps: float
    pose: Pose
    music: Float[NDArray, " song_frame"]
    """Onset envelope at 30 fps from the window's first frame, as long as the window."""


def at_rate(music: Float[NDArray, "*set song_frame"], fps: float, frames: int) -> Float[NDArray, "*set frame"]:
    """Envelopes at 30 fps read at other moments; every song of a comparison goes through here, so that none is smoother than another."""
    moments = np.arange(frames) / fps * FPS
    left = np.minimum((moments + 1e-9).astype(int), music.shape[-1] - 1)
    share = np.clip(moments - left, 0.0, 1.0)
    return music[..., left] * (1 - share) + music[..., np.minimum(left + 1, music.shape[-1] - 1)] * share


def windows_of(clip: str, song: str, pose: Pose, fps: float, music: Music, seconds: float) -> list[Window]:
    """Consecutive windows; a shorter rest is dropped."""
    size, song_size = round(seconds * fps), round(seconds * FPS)
    count = min(len(pose) // size, len(music) // song_size)
    return [
        Window(f"{clip}:{i}", song, fps, pose[i * size : (i + 1) * size], music[i * song_size : (i + 1) * song_size].astype(np.float64))
        for i in range(count)
    ]


def read_split(folder: Path, seconds: float, limit: int | None = None) -> tuple[list[Window], list[NDArray[np.float64]]]:
    """Windows of a split of shards, and the beats of each from its first frame.

    Raises:
        XDancerError: no music feature `librosa`, or no clip as long as a window.
    """
    reader = ShardReader(folder)
    found: list[Window] = []
    beats: list[NDArray[np.float64]] = []
    for number, key in enumerate(reader.keys[:limit]):
        meta = reader.meta(number)
        cut = windows_of(
            key, str(meta["song"]), reader.pose(number), float(FPS), envelope_of_features(reader.feature(number, "librosa")), seconds
        )
        found += cut
        beats += [np.asarray(meta["beats"], dtype=np.float64) - i * seconds for i in range(len(cut))]
    if not found:
        raise XDancerError(f"{folder}: no clip of {seconds:g} s or more. Give a smaller --seconds.")
    return found, beats


def read_clip(path: Path, seconds: float, cache: Path | None = None) -> list[Window]:
    """Windows of a video with sound at its own frame rate; pose and envelope are kept in `cache`."""
    kept = None if cache is None else cache / f"{path.stem}.npz"
    info = probe(path)
    if kept is not None and kept.is_file():
        with np.load(kept) as data:
            return windows_of(path.stem, path.stem, data["pose"], info.fps, data["music"], seconds)
    found = make_detector("mediapipe").detect(np.stack([picture for _, picture in stream_video(path)]))
    pose = to_normalised(found.pixels, width=info.width, height=info.height)
    music = onset_envelope(read_audio(path, sample_rate=SOUND_RATE), SOUND_RATE, int(len(pose) / info.fps * FPS) + 1)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, pose=pose, music=music)
    return windows_of(path.stem, path.stem, pose, info.fps, music, seconds)


def as_pose(body: Float[NDArray, "frame 18 2"]) -> Pose:
    """Body joints, all visible, hands not seen."""
    pose = np.zeros((len(body), KEYPOINT_COUNT, 3), dtype=np.float32)
    pose[:, :BODY_COUNT, :2], pose[:, :BODY_COUNT, 2] = body, 1.0
    return pose


EASES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "stop": lambda u: u**2,
    "slow": lambda u: u - np.sin(2 * np.pi * u) / (2 * np.pi),
    "turn": lambda u: u,
}
"""Way from one beat to the next: braking hard on the beat; slowest on the beat, braking a quarter before; straight on, turning on the beat."""


def free_body(seconds: float, rng: np.random.Generator, width: float = 0.2) -> Float[NDArray, "moment 18 2"]:
    """Smooth noise without music in it, standard deviation .1."""
    body = gaussian_filter1d(rng.standard_normal((round(seconds * FINE), BODY_COUNT, 2)), width * FINE, axis=0, mode="wrap")
    return 0.1 * body / body.std()


def locked_body(
    beats: NDArray[np.float64], seconds: float, rng: np.random.Generator, *, ease: str, hard: bool
) -> Float[NDArray, "moment 18 2"]:
    """Each joint goes to a new place on every beat; hard: on half of the beats, off by σ = 40 ms, with as much free motion on top."""
    time = np.arange(round(seconds * FINE)) / FINE
    body = np.empty((len(time), BODY_COUNT, 2))
    for joint in range(BODY_COUNT):
        hits = beats
        if hard:
            hits = np.sort((beats + JITTER * rng.standard_normal(len(beats)))[rng.random(len(beats)) < SHARE])
        hits = np.r_[-0.5, hits[(hits > -0.4) & (hits < seconds + 0.4)], seconds + 0.5]
        places = 0.1 * rng.standard_normal((len(hits), 2))
        last = np.searchsorted(hits, time, side="right") - 1
        done = EASES[ease]((time - hits[last]) / (hits[last + 1] - hits[last]))[:, None]
        body[:, joint] = places[last] + done * (places[last + 1] - places[last])
    body = gaussian_filter1d(body, REST * FINE, axis=0, mode="nearest")
    if hard:
        extra = free_body(seconds, rng)
        body = body + extra * np.diff(body, axis=0).std() / np.diff(extra, axis=0).std()
    return body


def made_sets(songs: Sequence[Window], beats: Sequence[NDArray[np.float64]], *, count: int, seed: int) -> dict[str, list[Window]]:
    """Motion locked to the beats of these songs, and motion without music under them, all with a detector's trembling."""
    rng = np.random.default_rng(seed)
    seconds = len(songs[0].music) / FPS

    def window(number: int, body: NDArray[np.float64]) -> Window:
        song, frames = songs[number % len(songs)], body[:: FINE // FPS]
        return Window(f"made-{number}", song.song, float(FPS), as_pose(frames + TREMBLE * rng.standard_normal(frames.shape)), song.music)

    sets = {
        f"locked: {ease}, {'hard' if hard else 'clean'}": [
            window(i, locked_body(beats[i % len(songs)], seconds, rng, ease=ease, hard=hard)) for i in range(count)
        ]
        for ease in EASES
        for hard in (False, True)
    }
    sets["free: smooth noise"] = [window(i, free_body(seconds, rng, width=(0.1, 0.2, 0.3)[i % 3])) for i in range(4 * count)]
    sets["free: trembling"] = [window(i, np.zeros((round(seconds * FINE), BODY_COUNT, 2))) for i in range(count)]
    return sets


def mocap_set(path: Path, songs: Sequence[Window], *, seed: int) -> list[Window]:
    """Takes (frame, 18, 3) at 30 fps of an npz, seen from the front, under songs that they were not danced to."""
    rng = np.random.default_rng(seed)
    size = len(songs[0].music)
    found: list[Window] = []
    with np.load(path) as takes:
        for name in takes:
            pose = as_pose(takes[name][..., :2].astype(np.float64))
            for start in range(0, len(pose) - size + 1, size):
                song = songs[int(rng.integers(len(songs)))]
                found.append(Window(f"{name}:{start}", song.song, float(FPS), pose[start : start + size], song.music))
    return found
