"""Checking shards: checksums, index against tars, accepted members only, and every array, video and sound of every clip."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xdancer.data.derived import read_derived
from xdancer.data.manifest import DERIVED, splits_in
from xdancer.data.members import AUDIO, KEY_PATTERN, MASK, MEMBER_PATTERN, META, POSE, TOKENS, VIDEO
from xdancer.data.reader import ShardReader
from xdancer.data.tar_output import sha256_of
from xdancer.data.tar_scan import tar_members
from xdancer.errors import MediaError, ShardError
from xdancer.media import probe, read_audio
from xdancer.types import FPS

SOUND_RATE = 16000
SOUND_TOLERANCE = 0.1
"""Seconds by which a clip's sound may be shorter than its pictures (AAC pads to whole packets, so it is usually longer)."""


@dataclass
class SplitReport:
    """What was found in one split."""

    folder: Path
    split: str
    clips: int
    frames: int
    with_video: int
    features: list[str]
    songs: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    by_frames: bool = False
    """Made by `prepare --split frames`: the splits hold the same clips, `frame_range` holds out a share of each."""
    problems: list[str] = field(default_factory=list)
    """One line each, naming the clip or file."""

    def __str__(self) -> str:
        state = f"{len(self.problems)} problems" if self.problems else "ok"
        return (
            f"{self.folder}: {self.clips} clips, {self.frames / FPS / 60:.1f} minutes, {len(self.songs)} songs, "
            f"features {', '.join(self.features) or 'none'}, {self.with_video} with video: {state}"
        )


@dataclass
class VerifyReport:
    """What was found in a split folder or a folder of splits."""

    splits: list[SplitReport]
    warnings: list[str] = field(default_factory=list)
    """What is allowed but spoils held-out figures: songs, or with a split by frames clips, that several splits share."""

    @property
    def problems(self) -> list[str]:
        return [problem for split in self.splits for problem in split.problems]


def verify(folder: Path) -> VerifyReport:
    """Check one split or every split of a folder.

    Raises:
        ShardError: no shards there, or of another schema. Damage does not raise; it is listed in the report.
    """
    report = VerifyReport([verify_split(path) for path in splits_in(folder)])
    for number, first in enumerate(report.splits):
        for second in report.splits[number + 1 :]:
            if first.by_frames and second.by_frames:
                report.warnings.append(f"{first.folder.name} and {second.folder.name} hold the same clips, held apart by frame_range alone")
                continue
            for key in sorted(first.keys & second.keys)[:10]:
                second.problems.append(f"{second.folder}: clip {key!r} is in {first.folder.name} as well")
            if shared := sorted(first.songs & second.songs):
                report.warnings.append(f"{first.folder.name} and {second.folder.name} share {len(shared)} songs, such as {shared[0]!r}")
    return report


def verify_split(folder: Path) -> SplitReport:
    """Check one split."""
    reader = ShardReader(folder)
    frames = int(reader.frames.sum())
    videos = sum(reader.has(clip, VIDEO) for clip in range(len(reader)))
    report = SplitReport(folder, reader.manifest.split, len(reader), frames, videos, reader.features, keys=set(reader.keys))
    report.by_frames = reader.manifest.notes.get("split_by") == "frames"
    for name, count in {"clips": len(reader), "frames": frames, "video": videos}.items():
        if reader.manifest.counts.get(name) != count:
            report.problems.append(f"{folder}: manifest.json counts {reader.manifest.counts.get(name)} {name}, the index has {count}")
    if len(report.keys) != len(reader):
        report.problems.append(f"{folder}: keys are not unique")
    report.problems += _tar_problems(reader)
    for path in sorted(found for place in (DERIVED, f"*/{DERIVED}") for found in folder.parent.glob(f"{folder.name}.*/{place}")):
        report.problems += _problems_beside(folder, path.parent)
    for clip in range(len(reader)):
        report.problems += [f"{folder}: {problem}" for problem in _clip_problems(reader, clip)]
        try:
            report.songs.add(reader.meta(clip)["song"])
        except ShardError:
            continue  # reported above
    return report


def _tar_problems(reader: ShardReader) -> Iterator[str]:
    """Checksums and indices of the split's tars and of those added to it."""
    yield from tar_problems(reader.tars, reader.manifest.sha256, reader.places(), checksums="manifest.json", index="index.json")
    for member in reader.derived:
        yield from _derived_problems(reader, member)


def _derived_problems(reader: ShardReader, member: str) -> Iterator[str]:
    """The same of the tars that hold an added member."""
    derived = reader.derived[member]
    keys = zip(reader.keys, reader.shard_of.tolist(), derived.manifest.places, strict=True)
    places = {(derived.tars.paths[shard].name, key, member): (place[0], place[1]) for key, shard, place in keys}
    yield from tar_problems(derived.tars.paths, derived.tars.sha256, places, checksums=DERIVED, index=DERIVED)


def tar_problems(
    paths: Sequence[Path], sha256: Mapping[str, str], indexed: dict[tuple[str, str, str], tuple[int, int]], *, checksums: str, index: str
) -> Iterator[str]:
    """Tars against the checksums and the (tar, key, member) → (offset, size) that files of those names give."""
    for path in paths:
        digest = sha256_of(path)
        if digest != sha256.get(path.name):
            yield f"{path}: sha256 is {digest[:12]}…, {checksums} has {str(sha256.get(path.name))[:12]}…"
        try:
            for entry in tar_members(path):
                key, _, member = entry.name.partition(".")
                if not KEY_PATTERN.fullmatch(key) or not MEMBER_PATTERN.fullmatch(member):
                    yield f"{path}: member {entry.name[:80]!a} is not accepted (only npy, json, mp4, m4a and jpg files of a clip)"
                elif indexed.pop((path.name, key, member), None) != (entry.offset, entry.size):
                    yield f"{path}: member {entry.name!r} lies elsewhere than {index} says, or twice in the tar"
        except (ShardError, OSError) as error:
            yield str(error) if isinstance(error, ShardError) else f"{path}: not a readable tar ({error})"
    for name, key, member in indexed:
        yield f"{paths[0].with_name(name)}: {key}.{member} of {index} is not there"


def _problems_beside(split: Path, folder: Path) -> Iterator[str]:
    """What is wrong with motion tokens, or with what frozen networks made of the pictures, beside the split."""
    try:
        member = read_derived(folder).member
        reader = ShardReader(split, tokens=folder) if member == TOKENS else ShardReader(split, latents=folder.parent)
    except ShardError as error:
        yield str(error)
        return
    yield from _derived_problems(reader, member)
    for clip in range(len(reader)):
        try:
            if member == TOKENS:
                reader.tokens(clip)
            elif reader.has(clip, VIDEO):
                reader.picture_rows(clip, member)
        except ShardError as error:
            yield f"{folder}: {error}"


def _clip_problems(reader: ShardReader, clip: int) -> Iterator[str]:
    key = reader.keys[clip]
    if int(reader.frames[clip]) < 1:
        yield f"clip {key!r} has no frames"
        return
    described = True
    for member in (POSE, META, *(f"{name}.npy" for name in reader.features)):
        try:
            if member == META:
                reader.meta(clip)
            elif member == POSE:
                confidence = reader.pose(clip)[..., 2]
                if np.min(confidence) < 0 or np.max(confidence) > 1:
                    yield f"Clip {key!r}: confidence spans [{np.min(confidence):.3g}, {np.max(confidence):.3g}], needed is [0, 1]."
            else:
                reader.feature(clip, member.removesuffix(".npy"))
        except ShardError as error:
            described = described and member != META
            yield re.sub(r"^Clip", "clip", str(error))
    for member in (VIDEO, MASK, AUDIO) if described else ():
        if reader.has(clip, member):
            try:
                yield from _media_problems(reader, clip, member)
            except (ShardError, MediaError) as error:
                yield f"clip {key!r}, {member}: {error}"


def _media_problems(reader: ShardReader, clip: int, member: str) -> Iterator[str]:
    """Length, rate and size of a video or sound against the clip's."""
    key, frames, data = reader.keys[clip], int(reader.frames[clip]), reader.member(clip, member)
    if member == AUDIO:
        seconds = len(read_audio(data, sample_rate=SOUND_RATE)) / SOUND_RATE
        if seconds < frames / FPS - SOUND_TOLERANCE:
            yield f"clip {key!r}, {member}: {seconds:.2f} s of sound for {frames / FPS:.2f} s of pictures"
        return
    info, meta = probe(data), reader.meta(clip)
    if info.frames != frames or abs(info.fps - FPS) > 0.1:
        yield f"clip {key!r}, {member}: {info.frames} pictures at {info.fps:.2f} per second, needed are {frames} at {FPS}"
    if (info.width, info.height) != (meta["width"], meta["height"]):
        yield f"clip {key!r}, {member}: pictures of {info.width}×{info.height}, metadata says {meta['width']}×{meta['height']}"
