"""What a run of `prepare` accepted and left out, with reasons: `report.json` and lines for the terminal."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xdancer.errors import XDancerError
from xdancer.files import write_text

REPORT, PAGE = "report.json", "report.html"
LISTED = 200
"""Videos that are printed."""


@dataclass(frozen=True)
class VideoReport:
    """One video: its clips, and a reason for each stretch left out."""

    video: str
    song: str
    clips: tuple[str, ...] = ()
    seconds: float = 0.0
    """Of all its clips."""
    splits: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    quarantined: str = ""
    """Why it was put in quarantine."""

    @property
    def line(self) -> str:
        """One line for the terminal."""
        accepted = f"{len(self.clips)} clip{'s' * (len(self.clips) != 1)}, {self.seconds:.1f} s, song {self.song} → {', '.join(self.splits)}"
        left_out = ["left out: " + "; ".join(self.reasons)] if self.reasons else []
        quarantined = [f"quarantined: {self.quarantined}"] if self.quarantined else []
        parts = ([accepted] if self.clips else []) + left_out + quarantined + list(self.notes)
        return f"{self.video}: {' · '.join(parts)}"


@dataclass(frozen=True)
class PrepareReport:
    """One run."""

    videos: tuple[VideoReport, ...]
    detector: str
    device: str
    precision: str
    settings: dict[str, Any]
    fingerprint: str
    """Of videos, songs, settings and split: an equal run has nothing to do."""
    clips: dict[str, int]
    """By split."""
    seconds_spent: float
    finished_before: bool = False
    """The output was there already."""

    @property
    def accepted(self) -> int:
        """Videos with at least one clip."""
        return sum(bool(video.clips) for video in self.videos)

    @property
    def quarantined(self) -> int:
        """Videos that cost a worker process twice."""
        return sum(bool(video.quarantined) for video in self.videos)

    def lines(self) -> list[str]:
        """For the terminal: one per video (of very many the first), then the totals."""
        totals = ", ".join(f"{split} {count}" for split, count in self.clips.items())
        missing = [split for split in ("train", "val", "test") if split not in self.clips]
        lines = [video.line for video in self.videos[:LISTED]]
        if len(self.videos) > LISTED:
            lines.append(f"… and {len(self.videos) - LISTED} more videos: {REPORT}")
        lines.append(f"{self.accepted} of {len(self.videos)} videos accepted; clips: {totals}")
        if self.quarantined:
            lines.append(f"{self.quarantined} in quarantine, listed in quarantine.json; --retry-quarantined tries them again.")
        if missing:
            lines.append(
                f"No clips for {' and '.join(missing)}: too few songs to hold out. More songs fill them, or --split frames (every clip "
                "everywhere, frames held out by the data modules' frame_range)."
            )
        return lines

    def write(self, folder: Path) -> None:
        """`report.json`, atomically."""
        data = {**asdict(self), "accepted": self.accepted}
        try:
            write_text(folder / REPORT, json.dumps(data, indent=2, default=str) + "\n")
        except OSError as error:
            raise XDancerError(f"{folder / REPORT}: cannot be written ({error.strerror or error}).") from error


def read_report(folder: Path) -> PrepareReport | None:
    """The report of an earlier run, or None where there is none that can be read."""
    try:
        data = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        data.pop("accepted")
        videos = [
            VideoReport(
                row["video"],
                row["song"],
                tuple(row["clips"]),
                row["seconds"],
                tuple(row["splits"]),
                tuple(row["reasons"]),
                tuple(row["notes"]),
                row.get("quarantined", ""),
            )
            for row in data.pop("videos")
        ]
        return PrepareReport(videos=tuple(videos), **data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def nothing_accepted(videos: Sequence[VideoReport], *, page: Path | None) -> XDancerError:
    """The error of a run that has nothing to write: it names the reasons, and where all of them are."""
    reasons = "; ".join(f"{video.video}: {', '.join(video.reasons) or f'quarantined: {video.quarantined}'}" for video in videos[:5])
    more = f" and {len(videos) - 5} more" if len(videos) > 5 else ""
    shown = "" if page is None else f" All reasons, with pictures: {page}."
    return XDancerError(f"none of {len(videos)} videos could be used ({reasons}{more}). Give videos with one visible dancer and sound.{shown}")
