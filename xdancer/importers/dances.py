"""Dances whose poses are known already → shards with music and without pictures: no detector runs.

Cut, framed and brought to 30 frames per second as `xdancer prepare` does it, so that both kinds of shards can be trained on together.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer import media
from xdancer.audio.beats import Beats, is_silent, track_beats
from xdancer.audio.encoder import encode_music, feature_table
from xdancer.audio.waveform import fit_length
from xdancer.data.manifest import check_replaceable
from xdancer.data.shards import ShardWriter
from xdancer.errors import MediaError, PoseError, ShardError, XDancerError
from xdancer.files import write_text
from xdancer.pose.coordinates import hold_missing, resample_poses, to_normalised
from xdancer.prepare.crop import choose_crop, union_box
from xdancer.prepare.filters import longest_presence, measure_quality
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.sources import Cut, Source, plan_cuts
from xdancer.prepare.split import SPLITS, split_songs
from xdancer.types import FPS, ClipSample

SAMPLE_RATE = 44100
REPORT = "import.json"


@dataclass(frozen=True)
class Seen:
    """What the files tell of one dance, before it is cut."""

    pixels: Float[NDArray, "frame 60 3"]
    """x, y in pixels of the picture, confidence; confidence 0 where a keypoint is missing."""
    times: Float[NDArray, " frame"]
    """Seconds since the first sample of the sound, ascending."""
    size: tuple[int, int]
    """(height, width) of the picture."""
    measured: bool
    """False where the file carries no confidences: those in `pixels` then say only whether a keypoint is there (1 or 0)."""
    origin: str
    """What found the poses, for the clips' metadata."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dance:
    """One dance of a data set; its files are read when it is its turn."""

    name: str
    """Unique in the data set."""
    song: str
    """Splits never share one."""
    read: Callable[[], Seen]
    """Raises XDancerError where the files cannot be used: the dance is then left out with that reason."""
    sound: Path | None
    """Sound or video file; None where nothing is to be heard."""
    style: str | None = None
    identity: str | None = None


@dataclass(frozen=True)
class ImportPlan:
    """How dances become shards."""

    licence: str
    features: tuple[str, ...] = ("librosa", "musicnn")
    """Music features; none: the sound is not read, and the shards serve stage 1 alone."""
    clips: PrepareSettings = field(default_factory=PrepareSettings)
    """Lengths and framing of the clips."""
    val: float = 0.1
    """Share of the songs for validation."""
    test: float = 0.1
    """Share of the songs for testing."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """Song → split for songs whose split is given; the other songs are divided."""


@dataclass(frozen=True)
class ImportReport:
    """What became of a data set; `OUT/import.json`."""

    layout: str
    accepted: tuple[str, ...]
    """Dances with at least one clip."""
    left_out: dict[str, str]
    """Dance or file → why no clip came of it."""
    notes: dict[str, tuple[str, ...]]
    """Dance → what was guessed, chosen or cut, and stretches left out."""
    clips: dict[str, int]
    """By split."""

    def lines(self, most: int = 20) -> list[str]:
        """For the terminal."""
        lines = [f"{name}: left out: {reason}" for name, reason in list(self.left_out.items())[:most]]
        if len(self.left_out) > most:
            lines.append(f"… and {len(self.left_out) - most} more: {REPORT}")
        counts = ", ".join(f"{split} {count}" for split, count in self.clips.items())
        lines.append(f"{len(self.accepted)} of {len(self.accepted) + len(self.left_out)} dances imported ({self.layout}); clips: {counts}")
        if missing := [split for split in SPLITS if split not in self.clips]:
            lines.append(f"No clips for {' and '.join(missing)}: too few songs to hold out.")
        return lines


def import_dances(
    dances: Sequence[Dance], out: Path, plan: ImportPlan, *, layout: str, left_out: Mapping[str, str] | None = None,
    progress: Callable[[str, int, int, str], None] | None = None,
) -> ImportReport:  # fmt: skip
    """Write `out/train`, `out/val`, `out/test` and `out/import.json`: all of them or nothing.

    Args:
        dances: what the layout holds.
        out: folder of the splits.
        plan: how they become clips.
        layout: name of the layout, for the report.
        left_out: what the layout has left out already, with reasons.
        progress: told after every dance.

    Raises:
        XDancerError: no dance could be used (names the first reasons), or wrong shares of the songs.
        ShardError: splits lie in `out` already, or the disk is full.
    """
    for split in SPLITS:
        check_replaceable(out / split)
        if (out / split).exists() and any((out / split).iterdir()):
            raise ShardError(f"{out / split} already holds shards. Choose another --out.")
    tell = progress or (lambda what, done, total, remark: None)
    refused, usable = dict(left_out or {}), list[Dance]()
    for number, dance in enumerate(dances, start=1):  # before the splits: a song without a usable dance must not take validation's place
        try:
            _planned(dance, plan)
            usable.append(dance)
        except XDancerError as error:
            refused[dance.name] = str(error)
        tell("check", number, len(dances), dance.name)
    free = {dance.song for dance in usable} - set(plan.splits)
    by_song = {**split_songs(free, val=plan.val, test=plan.test), **plan.splits}
    clips, notes = dict[str, int](), dict[str, tuple[str, ...]]()
    try:
        with ExitStack() as stack:
            writers = dict[str, ShardWriter]()
            for number, dance in enumerate(usable, start=1):
                samples, remarks = _clips(dance, plan)
                if samples:
                    split = by_song[dance.song]
                    if split not in writers:
                        writers[split] = stack.enter_context(_writer(out, split, plan, layout))
                    for sample in samples:
                        writers[split].write(sample)
                    clips[split] = clips.get(split, 0) + len(samples)
                    notes[dance.name] = remarks
                else:
                    refused[dance.name] = "; ".join(remarks)
                tell("import", number, len(usable), dance.name)
            if not clips:
                raise _nothing(refused)
    except BaseException:
        for split in clips:  # were empty before; one may stand already when the next fails
            shutil.rmtree(out / split, ignore_errors=True)
        raise
    told = {name: remarks for name, remarks in notes.items() if remarks}
    report = ImportReport(layout, tuple(notes), refused, told, {split: clips[split] for split in SPLITS if split in clips})
    write_text(out / REPORT, json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n")
    return report


def _writer(out: Path, split: str, plan: ImportPlan, layout: str) -> ShardWriter:
    return ShardWriter(out / split, split=split, features=feature_table(plan.features), licence=plan.licence, notes={"importer": layout})


def _nothing(refused: Mapping[str, str]) -> XDancerError:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(refused.items())[:3])
    more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
    return XDancerError(f"none of {len(refused)} dances could be imported ({reasons}{more}).")


def _planned(dance: Dance, plan: ImportPlan) -> tuple[Seen, list[Cut]]:
    """What the files tell, and where it is cut.

    Raises:
        XDancerError: the files cannot be used, or are too short together.
    """
    seen = dance.read()
    seconds = float(seen.times[-1]) + _step(seen.times) if len(seen.times) else 0.0
    if plan.features:
        seconds = min(seconds, len(_sound(_heard(dance))) / SAMPLE_RATE)
    source = Source(dance.sound or Path(dance.name), dance.name, dance.song, hashlib.sha256(dance.name.encode()).hexdigest())
    cuts = plan_cuts(source, seconds, plan.clips)
    if not cuts:
        raise PoseError(f"{seconds:.1f} s of poses with sound, --min-seconds is {plan.clips.min_seconds:g}")
    return seen, cuts


def _clips(dance: Dance, plan: ImportPlan) -> tuple[list[ClipSample], tuple[str, ...]]:
    """The clips of a dance, and remarks: with no clip the reasons."""
    samples, remarks = list[ClipSample](), list[str]()
    seen, cuts = _planned(dance, plan)
    for cut in cuts:
        try:
            samples.append(_clip(dance, seen, cut, plan))
        except XDancerError as error:
            remarks.append(f"{cut.start:.0f}–{cut.stop:.0f} s left out: {error}" if len(cuts) > 1 else str(error))
    return samples, tuple(dict.fromkeys((*remarks, *(seen.notes if samples else ()))))


def _clip(dance: Dance, seen: Seen, cut: Cut, plan: ImportPlan) -> ClipSample:
    inside = (seen.times >= cut.start - 1e-6) & (seen.times < cut.stop - 1e-6)
    pixels, times = seen.pixels[inside], seen.times[inside]
    run = longest_presence(pixels, times) if len(times) > 1 else slice(0, 0)
    if run.stop == 0:
        raise PoseError("nobody is seen")
    seconds = float(times[run.stop - 1] - times[run.start]) + _step(times)
    if seconds < plan.clips.min_seconds - 0.001:
        raise PoseError(f"a person is seen for {seconds:.1f} s at a stretch, --min-seconds is {plan.clips.min_seconds:g}")
    pixels, times = pixels[run], times[run]
    count = int(np.floor((times[-1] - times[0]) * FPS + 1e-3)) + 1
    moments = times[0] + np.arange(count) / FPS
    (height, width), window = seen.size, (plan.clips.width, plan.clips.height)
    box = union_box(pixels, width, height)
    crop = choose_crop(box, width=width, height=height, aspect=window[0] / window[1], margin=plan.clips.margin)
    cropped = resample_poses(crop.pixels(hold_missing(pixels), window), times, moments)
    silence = ({"beats": [], "tempo": 0.0}, {}, None)
    music, features, audio = _music(_heard(dance), round(float(moments[0]), 6), count, plan.features) if plan.features else silence
    meta: dict[str, Any] = {
        "source": f"{dance.name} {moments[0]:.3f}–{moments[0] + count / FPS:.3f} s", "song": dance.song, "identity": dance.identity,
        "span": [round(float(moments[0]), 4), round(float(moments[0]) + count / FPS, 4)], "style": dance.style, "phrase": None,
        "width": window[0], "height": window[1], **music, "detector": seen.origin, "confidence": "measured" if seen.measured else "absent",
        "quality": {**measure_quality(cropped), "native_fps": round(1 / _step(times), 3), "scale": round(window[1] / crop.height, 4)},
    }  # fmt: skip
    return ClipSample(cut.key, to_normalised(cropped, width=window[0], height=window[1]), features, meta, audio=audio)


@lru_cache(maxsize=8)
def _music(path: Path, start: float, frames: int, features: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Beats and tempo, features, and the sound of a stretch; kept for the next camera of the same dance."""
    beats = _beats(path)
    first, length = round(start * SAMPLE_RATE), round(frames / FPS * SAMPLE_RATE)
    sound = fit_length(_sound(path)[first:], length)
    if is_silent(sound):
        raise MediaError("silent: nothing can be heard while the person is seen")
    inside = beats.times[(beats.times >= start) & (beats.times < start + frames / FPS)] - start
    music = {"beats": [round(float(beat), 4) for beat in inside], "tempo": float(beats.tempo)}
    return music, encode_music(sound, SAMPLE_RATE, frames, features), media.encode_audio(sound, SAMPLE_RATE)


def _heard(dance: Dance) -> Path:
    if dance.sound is None:
        raise MediaError("no sound of this name")
    return dance.sound


def _step(times: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 1 / FPS


@lru_cache(maxsize=1)
def _sound(path: Path) -> NDArray[np.float32]:
    return media.read_audio(path, sample_rate=SAMPLE_RATE)


@lru_cache(maxsize=4096)
def _beats(path: Path) -> Beats:
    """Of the whole sound, once: many dances share a song."""
    return track_beats(_sound(path), SAMPLE_RATE)
