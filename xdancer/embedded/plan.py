"""Which clips a data set has: every choice about a clip, drawn from the seed, the split and the clip's number before anything is computed."""

from dataclasses import asdict, dataclass
from typing import Any

from xdancer.audio.encoder import FEATURE_WIDTHS
from xdancer.embedded.choreography import phrase_names
from xdancer.embedded.grid import BeatGrid
from xdancer.embedded.identity import IDENTITY_COUNTS, identity_name
from xdancer.embedded.phrases import PHRASE_BEATS
from xdancer.embedded.seeds import stream
from xdancer.embedded.styles import DANCE_STYLES, STYLES
from xdancer.errors import XDancerError
from xdancer.types import FPS

GENERATOR_VERSION = 1
"""Raised whenever the same config would give other clips."""
SPLITS = ("train", "val", "test")
PHRASES_PER_CLIP = 3


@dataclass(frozen=True)
class EmbeddedConfig:
    """What to generate."""

    train_clips: int = 480
    """Clips to learn from."""
    val_clips: int = 24
    """Clips for validation."""
    test_clips: int = 48
    """Clips for the final figures."""
    seconds: int | float = 8.0
    """Length of every clip."""
    video_clips: int | None = 96
    """How many training clips carry video and mask (the first ones); null = all."""
    evaluation_video_clips: int | None = 24
    """The same for validation and test, each; null = all."""
    size: int = 128
    """Width and height of the video in pixels."""
    features: tuple[str, ...] = ("librosa", "musicnn")
    """Music features of every clip."""
    seed: int = 0
    """Another seed, other clips; dancers and phrases come from fixed libraries."""
    free_dances: int | float = 0.0
    """Share of the clips that are danced in a style of their own, whatever the song's, half of them to every second beat: what a dance is asked
    to be can only be learned where the song does not tell it."""

    def __post_init__(self) -> None:
        for name in ("train_clips", "val_clips", "test_clips"):
            if getattr(self, name) < 1:
                raise XDancerError(f"Embedded data set: {name} is {getattr(self, name)}, each split needs at least one clip.")
        for name in ("video_clips", "evaluation_video_clips"):
            if (getattr(self, name) or 0) < 0:
                raise XDancerError(f"Embedded data set: {name} is {getattr(self, name)}; give 0 for none, null for all.")
        if not 2 <= self.seconds <= 60:
            raise XDancerError(f"Embedded data set: clips of {self.seconds} s; choose 2 to 60 seconds.")
        if self.size % 2 or not 32 <= self.size <= 1024:
            raise XDancerError(f"Embedded data set: pictures of {self.size} pixels; choose an even size from 32 to 1024.")
        if not 0 <= self.free_dances <= 1:
            raise XDancerError(f"Embedded data set: free_dances {self.free_dances} is a share of the clips; choose 0 to 1.")
        unknown = [name for name in self.features if name not in FEATURE_WIDTHS]
        if unknown:
            raise XDancerError(f"Embedded data set: unknown music feature {unknown[0]!r}. Choose among {', '.join(FEATURE_WIDTHS)}.")

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return round(self.seconds * FPS)

    def clips(self, split: str) -> int:
        """Clips of a split."""
        return int(getattr(self, f"{split}_clips"))

    def with_video(self, split: str) -> int:
        """How many clips of a split carry video."""
        wanted = self.video_clips if split == "train" else self.evaluation_video_clips
        return self.clips(split) if wanted is None else min(wanted, self.clips(split))

    def record(self) -> dict[str, Any]:
        """What the manifest keeps, and what must be equal for a finished split to be taken as it is."""
        record = {"generator": "xdancer.embedded", "version": GENERATOR_VERSION, **asdict(self), "features": list(self.features)}
        return record if self.free_dances else {name: value for name, value in record.items() if name != "free_dances"}


@dataclass(frozen=True)
class ClipPlan:
    """One clip before it is computed."""

    key: str
    style: str
    """Of the dance."""
    song_style: str
    song: str
    identity: str
    phrases: tuple[str, ...]
    grid: BeatGrid
    """Of the song."""
    dance_grid: BeatGrid
    """The beats that are danced to: the song's, or every second one."""
    energy: float
    accent: float
    video: bool


def plan_clips(config: EmbeddedConfig, split: str) -> list[ClipPlan]:
    """The clips of a split: styles and dancers in turn (in random order), everything else at random; each clip has a song of its own."""
    order = stream("dancers", split, config.seed).permutation(IDENTITY_COUNTS[split])
    return [_plan_clip(config, split, index, int(order[index % len(order)])) for index in range(config.clips(split))]


def _plan_clip(config: EmbeddedConfig, split: str, index: int, dancer: int) -> ClipPlan:
    rng = stream("clip", split, config.seed, index)
    song_style = STYLES[(index + index // len(STYLES)) % len(STYLES)]
    grid = BeatGrid(float(rng.uniform(*DANCE_STYLES[song_style].tempo)), float(rng.uniform(0, PHRASES_PER_CLIP * PHRASE_BEATS)))
    style, dance_grid = _own_dance(config, split, index, song_style, grid)
    phrases = phrase_names(style, split, seed=int(rng.integers(1 << 31)), count=PHRASES_PER_CLIP)
    return ClipPlan(
        key=f"{split}-{index:05d}", style=style, song_style=song_style, song=f"{split}-song-{config.seed}-{index:05d}",
        identity=identity_name(split, dancer), phrases=tuple(phrases),
        grid=grid, dance_grid=dance_grid, energy=float(rng.uniform(0.8, 1.1)), accent=float(rng.uniform(0.85, 1.0)),
        video=index < config.with_video(split),
    )  # fmt: skip


def _own_dance(config: EmbeddedConfig, split: str, index: int, style: str, grid: BeatGrid) -> tuple[str, BeatGrid]:
    """Style and beats of the dance: the song's, or where the dance is free, its own."""
    rng = stream("free dance", split, config.seed, index)
    if rng.uniform() >= config.free_dances:
        return style, grid
    every_second = bool(rng.uniform() < 0.5)
    return STYLES[int(rng.integers(len(STYLES)))], BeatGrid(grid.tempo / 2, grid.start_phase / 2) if every_second else grid
