"""Which videos dance to one song: those that a groups file or an equal name puts together, and those in which the same music is heard."""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from xdancer import media
from xdancer.audio.fingerprint import SAMPLE_RATE, Fingerprint, Groups, SameMusic, find_same_music, fingerprint
from xdancer.errors import MediaError
from xdancer.prepare.sources import Source


def hear(path: Path) -> str:
    """The fingerprint of a video's sound as text; empty where it cannot be read (its clips will say why)."""
    try:
        rows = fingerprint(media.read_audio(path, sample_rate=SAMPLE_RATE), SAMPLE_RATE)
    except MediaError:
        return ""
    return base64.b64encode(zlib.compress(rows.tobytes(), 6)).decode("ascii")


def heard(text: str) -> Fingerprint:
    """The inverse.

    Raises:
        ValueError: no such text.
    """
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text)) if text else b"", np.uint8).reshape(-1, 12)
    except zlib.error as error:
        raise ValueError(f"no fingerprint: {error}") from error


def join_songs(sources: Mapping[str, Source], prints: Mapping[str, Fingerprint]) -> tuple[dict[str, Source], dict[str, str]]:
    """The videos, by name, with the songs they share, and what is to be said of some.

    A groups file is obeyed: what it names keeps its song, and where music that it calls by two names is heard to be the same, it is said.
    Everything else takes the song of the first of those that it sounds or is called like, one of the groups file before others.

    Args:
        sources: the videos that have clips.
        prints: fingerprints of their sound.
    """
    names, groups = sorted(sources), Groups(len(sources))
    number = {name: index for index, name in enumerate(names)}
    matches = find_same_music(prints)
    for match in matches:
        groups.join(number[match.first], number[match.second])
    called: dict[tuple[bool, str], int] = {}
    for name in names:
        groups.join(number[name], called.setdefault((sources[name].named, sources[name].song), number[name]))
    songs: dict[int, Source] = {}
    for name in sorted(names, key=lambda name: (not sources[name].named, name)):
        songs.setdefault(groups.root(number[name]), sources[name])
    joined = {name: source if source.named else replace(source, song=songs[groups.root(number[name])].song) for name, source in sources.items()}
    return joined, _notes(joined, matches)


def _notes(sources: Mapping[str, Source], matches: list[SameMusic]) -> dict[str, str]:
    """By video, the first that sounds alike."""
    notes: dict[str, str] = {}
    for match in matches:
        for name, other in ((match.first, match.second), (match.second, match.first)):
            theirs = sources[other].song
            apart = "" if sources[name].song == theirs else f", which the groups file calls {theirs}: is it?"
            notes.setdefault(name, f"same music as {other} ({match.score:.2f}){apart}")
    return notes
