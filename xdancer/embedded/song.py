"""Songs whose beats are known exactly: drums, bass and chords from a small numpy synthesiser.

A kick with a click falls on every beat and everything else stays well below it: with loud hats or missing kicks, beat trackers lock to the
off-beats, and the song would teach other beats than the dance follows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdancer.embedded import instruments
from xdancer.embedded.grid import BeatGrid
from xdancer.embedded.instruments import SAMPLE_RATE, Wave
from xdancer.embedded.seeds import stream

STEPS = 16
"""Sixteenth notes in a bar of four beats."""


@dataclass(frozen=True)
class SongStyle:
    """The sounding half of a style. Patterns are sixteenths of a bar: `x` loud, `o` soft, `.` silent."""

    kick: tuple[int | float, int | float]
    """Pitch Hz, decay s."""
    extra_kick: str
    snare: str
    """`snare`, `clap`, `rim`."""
    snare_steps: str
    hat_steps: str
    hat_decay: float
    block_steps: str
    block_pitch: int | float
    bass: str
    bass_steps: str
    bass_octaves: bool
    chord: str
    chord_steps: str
    chord_length: int | float
    """In beats."""
    minor: float
    """Chance of a minor key."""
    swing: float = 0.0
    """How late every second sixteenth pair comes, in beats."""


SONG_STYLES: dict[str, SongStyle] = {
    "disco": SongStyle(
        (58, 0.12), "................", "clap", "....x.......x...", "..x...x...x...x.", 0.06, "................", 800,
        "saw", "x.o.x.o.x.o.x.o.", True, "organ", "..x...x...x...x.", 0.3, 0.5,
    ),
    "hiphop": SongStyle(
        (48, 0.22), "...o......o.....", "snare", "....x.......x...", "x.x.x.x.x.x.x.xo", 0.025, "................", 500,
        "sine", "x.....o...x..o..", False, "piano", "x.......o.......", 1.6, 0.85,
    ),
    "house": SongStyle(
        (54, 0.16), "................", "clap", "....x.......x...", "..x...x...x...x.", 0.09, "...o..o...o..o..", 620,
        "square", "..x...x...x..x..", False, "saw", "...x..x....x..x.", 0.35, 0.8,
    ),
    "latin": SongStyle(
        (62, 0.09), "......o.......o.", "rim", "...x..x...x.x...", "x.o.x.o.x.o.x.o.", 0.03, "x.xx.x.xx.x.x.xx", 410,
        "sine", "x..o..x.x..o..x.", False, "brass", "x..x..x...x.x...", 0.3, 0.6,
    ),
    "wave": SongStyle(
        (50, 0.18), "................", "clap", "............x...", "..o...o...o...o.", 0.12, "................", 900,
        "saw", "xooxooxooxooxoox", False, "pad", "x...............", 3.9, 0.75,
    ),
    "robot": SongStyle(
        (52, 0.1), "..........o.....", "snare", "....x.......x...", "xoxoxoxoxoxoxoxo", 0.015, "..x..x....x..x..", 1250,
        "square", "x.xx..x.x.xx..x.", True, "square", "x..x............", 0.2, 0.7,
    ),
    "rock": SongStyle(
        (66, 0.1), "......o...o.....", "snare", "....x.......x...", "x.x.x.x.x.x.x.x.", 0.05, "................", 700,
        "saw", "x.x.x.x.x.x.x.x.", False, "guitar", "x.x.x.x.x.x.x.x.", 0.45, 0.4,
    ),
    "swing": SongStyle(
        (60, 0.08), "................", "rim", "....x.......x...", "x...x.o.x...x.o.", 0.11, "................", 1500,
        "sine", "x...x...x...x...", False, "brass", "......x.......x.", 0.4, 0.25, swing=0.16,
    ),
}  # fmt: skip
_PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 4), (0, 4, 5, 3), (0, 0, 3, 4), (5, 3, 0, 4), (0, 6, 5, 4), (0, 2, 3, 4))
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_LEVEL = {"x": 1.0, "o": 0.5}


@dataclass(frozen=True)
class Song:
    """A piece of a song."""

    waveform: NDArray[np.float32]
    """(samples,) mono, full scale ±1."""
    sample_rate: int
    beats: NDArray[np.float64]
    """Times in s of the beats inside the piece."""


def make_song(style: str, name: str, grid: BeatGrid, *, seconds: int | float, energy: int | float = 1.0) -> Song:
    """`seconds` of the song called `name`, from time 0 of the grid.

    Key, chords, sounds and fills follow from the name, rhythm and instruments from the style; `energy` (.7 … 1.1) sets how busy and how
    bright it is.
    """
    rng = stream("song", style, name)
    player = _Player(grid, seconds, SONG_STYLES[style].swing)
    _play_drums(player, SONG_STYLES[style], energy, rng)
    _play_harmony(player, SONG_STYLES[style], energy, rng)
    waveform = np.tanh(player.sound * 0.9)
    waveform *= 0.85 / max(float(np.abs(waveform).max()), 1e-6)
    return Song(waveform, SAMPLE_RATE, grid.beats(seconds))


class _Player:
    """Places strokes and notes on the grid."""

    def __init__(self, grid: BeatGrid, seconds: int | float, swing: int | float) -> None:
        self.grid, self.swing = grid, swing
        self.sound: Wave = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
        self.first_bar = int(grid.start_phase // 4) - 1  # tails of the bar before reach into the piece
        self.last_bar = int((grid.start_phase + seconds * grid.tempo / 60) // 4)

    def seconds(self, beats: int | float) -> float:
        return beats * 60 / self.grid.tempo

    def put(self, wave: Wave, beat: int | float, level: int | float) -> None:
        """Add a sound that starts on that beat."""
        start = round(self.seconds(beat - self.grid.start_phase) * SAMPLE_RATE)
        first, last = max(0, -start), min(len(wave), len(self.sound) - start)
        if first < last:
            self.sound[start + first : start + last] += np.float32(level) * wave[first:last]

    def steps(self, pattern: str, bar: int) -> list[tuple[int | float, float]]:
        """(beat, level) of the strokes of a pattern in that bar."""
        return [
            (4 * bar + index / 4 + (self.swing if index % 4 == 2 else 0.0), _LEVEL[mark]) for index, mark in enumerate(pattern) if mark != "."
        ]


def _play_drums(player: _Player, style: SongStyle, energy: int | float, rng: np.random.Generator) -> None:
    pitch, decay = style.kick[0] * rng.uniform(0.92, 1.08), style.kick[1] * rng.uniform(0.85, 1.15)
    kick = instruments.kick(pitch, decay)
    tone = rng.uniform(170, 230)
    snares = {"snare": instruments.snare(tone, 0.09), "clap": instruments.clap(0.06), "rim": instruments.block(tone * 4.2, 0.02)}
    snare, hat = snares[style.snare], instruments.hat(style.hat_decay * rng.uniform(0.8, 1.2))
    block = instruments.block(style.block_pitch * rng.uniform(0.85, 1.15), 0.05)
    busy = 0.35 + 0.65 * np.clip((energy - 0.7) / 0.4, 0, 1)
    for bar in range(player.first_bar, player.last_bar + 1):
        for beat in range(4):
            player.put(kick, 4 * bar + beat, 1.0 if beat else 1.05)
        for pattern, wave, level in (
            (style.extra_kick, kick, 0.16), (style.snare_steps, snare, 0.3), (style.hat_steps, hat, 0.06 * busy),
            (style.block_steps, block, 0.05 * busy),
        ):  # fmt: skip
            for beat, stroke in player.steps(pattern, bar):
                player.put(wave, beat, level * stroke * (1.0 if float(beat).is_integer() else 0.8))


def _play_harmony(player: _Player, style: SongStyle, energy: int | float, rng: np.random.Generator) -> None:
    scale = _MINOR if rng.uniform() < style.minor else _MAJOR
    root = 40 + int(rng.integers(12))  # MIDI number of the bass's key note
    progression = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    detune = float(rng.uniform(0.002, 0.006))
    inversion, loud = int(rng.integers(3)), float(rng.uniform(0.8, 1.2)) * (0.7 + 0.4 * energy)
    beat_seconds = player.seconds(1)
    for bar in range(player.first_bar, player.last_bar + 1):
        degree = progression[bar % 4]
        for index, (beat, stroke) in enumerate(player.steps(style.bass_steps, bar)):
            up = 12 if style.bass_octaves and index % 2 else 0
            wave = instruments.note(style.bass, _pitch(root - 12 + up, scale, degree), 0.42 * beat_seconds, attack=0.006, decay=0.25)
            player.put(wave, beat, 0.16 * stroke * loud)
        if not any(mark != "." for mark in style.chord_steps):
            continue
        length = style.chord_length * beat_seconds
        voices = [degree, degree + 2, degree + 4]
        voices = [voice + (7 if place < inversion else 0) for place, voice in enumerate(voices)]
        sustained = length > 1.5
        chord = sum(
            instruments.note(
                style.chord, _pitch(root + 12, scale, voice), length, attack=0.12 if sustained else 0.012, decay=4.0 if sustained else 0.35,
                detune=detune,
            )
            for voice in voices
        )  # fmt: skip
        for beat, stroke in player.steps(style.chord_steps, bar):
            player.put(np.asarray(chord, np.float32), beat, 0.055 * stroke * loud)


def _pitch(root: int, scale: tuple[int, ...], degree: int) -> float:
    """Hz of a scale degree above the key note."""
    return 440.0 * 2 ** ((root + scale[degree % 7] + 12 * (degree // 7) - 69) / 12)
