"""Finding recordings of the same music: hashes and verification against the correlation of every pair at every lag by FFT (numpy).

    python benchmarks/same_music.py [--songs 100] [--recordings FOLDER]

Two pieces of 10 s of each of so many generated songs, the second softly in noise 30 dB below; these songs are hard to tell apart, as nine
styles at free tempi have few harmonies. Rows: seconds of both ways to the same decision, the all-lags way with the same threshold; pairs found
of those that are the same, pairs found that are not. With `--recordings`, eight pieces of 8 s of each sound file or video there (plain, soft,
in noise 20 dB below, through AAC): joined pairs that share 5 s, and the greatest similarity of different music.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
from _measure import print_row

from xdancer import media
from xdancer.audio.fingerprint import SAME, Fingerprint, Groups, best_lag, find_same_music, fingerprint, onsets
from xdancer.embedded.plan import EmbeddedConfig, plan_clips
from xdancer.embedded.song import make_song


def generated(songs: int, random: np.random.Generator) -> dict[str, Fingerprint]:
    """Two pieces of each song, named SONG-PIECE."""
    found = {}
    for number, plan in enumerate(plan_clips(EmbeddedConfig(train_clips=songs, seconds=12.0), "train")):
        song = make_song(plan.song_style, plan.song, plan.grid, seconds=16.0, energy=plan.energy)
        for piece in range(2):
            start = round(random.uniform(0, 6) * song.sample_rate)
            sound = song.waveform[start : start + 10 * song.sample_rate]
            if piece:
                sound = 0.3 * (sound + random.normal(size=len(sound)) * sound.std() * 0.03)
            found[f"{number:05d}-{piece}"] = fingerprint(sound.astype(np.float32), song.sample_rate)
    return found


def every_pair(prints: dict[str, Fingerprint]) -> set[tuple[str, str]]:
    """Pairs whose correlation over the whole pieces reaches the threshold at some lag."""
    names = sorted(prints)
    length = 2 * max(map(len, prints.values()))
    rows = np.stack([np.pad(onsets(prints[name]), ((0, length - len(prints[name])), (0, 0))) for name in names])
    spectra, energy = np.fft.rfft(rows, axis=1), np.cumsum((rows**2).sum(2), axis=1)
    found = set()
    for first in range(len(names) - 1):
        products = np.fft.irfft((spectra[first].conj() * spectra[first + 1 :]).sum(2), length, axis=1)
        best = products.max(axis=1) / np.sqrt(energy[first, -1] * energy[first + 1 :, -1])  # at most the cosine over what they share
        for other in np.flatnonzero(best >= SAME / 2.5) + first + 1:
            if best_lag(prints[names[first]], prints[names[other]])[0] >= SAME:
                found.add((names[first], names[other]))
    return found


def pieces(folder: Path, random: np.random.Generator) -> tuple[dict[str, Fingerprint], dict[str, tuple[str, float]]]:
    """Eight pieces of each recording, and of each the recording and where it begins."""
    rate, found, origin = 44100, {}, {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".ogg", ".mp3", ".wav", ".flac", ".mp4")):
        sound = media.read_audio(path, sample_rate=rate)
        for number in range(8):
            start = random.uniform(0, max(len(sound) / rate - 8, 0.0))
            piece = sound[round(start * rate) : round((start + 8) * rate)]
            if number % 4 == 1:
                piece = 0.1 * piece
            if number % 4 == 2:
                piece = piece + random.normal(size=len(piece)) * piece.std() * 0.1
            if number % 4 == 3:
                piece = media.read_audio(media.encode_audio(piece, rate), sample_rate=rate)
            found[f"{path.name}-{number}"] = fingerprint(piece.astype(np.float32), rate)
            origin[f"{path.name}-{number}"] = path.name, start
    return found, origin


def show_recordings(folder: Path, random: np.random.Generator) -> None:
    prints, origin = pieces(folder, random)
    names, groups = sorted(prints), Groups(len(prints))
    for match in find_same_music(prints):
        groups.join(names.index(match.first), names.index(match.second))
    same, joined, wrong, highest = 0, 0, 0, 0.0
    for one, other in itertools.combinations(range(len(names)), 2):
        (song, start), (their_song, their_start) = origin[names[one]], origin[names[other]]
        if song != their_song:
            wrong += groups.together(one, other)
            highest = max(highest, best_lag(prints[names[one]], prints[names[other]])[0])
        elif abs(start - their_start) <= 3:
            same, joined = same + 1, joined + groups.together(one, other)
    print_row(
        "recordings: pairs of the same music joined, of those that share 5 s", ours=joined, reference=same, ratio=joined / same, target=0.95,
        different_joined=wrong, highest_of_different=round(highest, 3),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=100)
    parser.add_argument("--recordings", type=Path)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    if arguments.recordings is not None:
        show_recordings(arguments.recordings, random)
    prints = generated(arguments.songs, random)
    begin = time.perf_counter()
    found = find_same_music(prints)
    ours = time.perf_counter() - begin
    right = sum(match.first[:5] == match.second[:5] for match in found)
    begin = time.perf_counter()
    theirs = every_pair(prints)
    reference = time.perf_counter() - begin
    what = f"{len(prints)} recordings of {arguments.songs} generated songs"
    print_row(f"{what}: seconds, hashes and verification; every pair", ours=ours, reference=reference, ratio=reference / ours, target=10)
    print_row(f"{what}: pairs of one song found, of those by every pair", ours=right, reference=sum(a[:5] == b[:5] for a, b in theirs),
              ratio=right / arguments.songs, target=0.9, different_linked=len(found) - right,
              different_by_every_pair=sum(a[:5] != b[:5] for a, b in theirs))  # fmt: skip


if __name__ == "__main__":
    main()
