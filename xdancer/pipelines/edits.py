"""From what is asked for on the command line (files, frames, names of parts) to what is locked."""

import re
from dataclasses import dataclass
from pathlib import Path

from xdancer.errors import XDancerError
from xdancer.motion_gpt.editing import MotionEdit
from xdancer.pipelines.dance_file import Place, load_dance
from xdancer.types import MotionTokens
from xdancer.vqvae.model import VQVAE


@dataclass(frozen=True)
class EditRequest:
    """What is to stay, as `xdancer generate` takes it."""

    edit: Path | None = None
    """A dance to change; one of the next three says how."""
    keep: str | None = None
    """Its frames that stay: `0-30,90-120`, both ends included."""
    lock: str | None = None
    """Its body parts that stay: `upper_body,head`."""
    reroll: str | None = None
    """Its body parts that are drawn anew: `left_hand,right_hand`. All else stays, and the first frame."""
    seed_motion: Path | None = None
    """The dance begins with this motion."""
    to: Path | None = None
    """The dance ends with this pose, or with this motion."""

    def __post_init__(self) -> None:
        ways = [name for name in ("keep", "lock", "reroll") if getattr(self, name) is not None]
        if self.edit is None and ways:
            raise XDancerError(f"--{ways[0]}: of which dance? Name it: --edit FILE.")
        if self.edit is not None and not ways:
            raise XDancerError("--edit: what of the dance stays? Say --keep FRAMES, --lock PARTS or --reroll PARTS.")
        if self.lock is not None and self.reroll is not None:
            raise XDancerError("--lock and --reroll: one of them. What is not locked is drawn anew.")


def read_edit(
    request: EditRequest, tokenizer: VQVAE, *, frames: int, place: Place = lambda poses: poses
) -> tuple[MotionEdit | None, MotionTokens | None]:
    """What is locked in a dance of `frames` frames, and the first frame that the files give, if any.

    Raises:
        XDancerError: no such part, frames that cannot be read, a beginning and end longer than the dance; PoseError, StageMismatchError: see
            `load_dance`.
    """
    edits: list[MotionEdit] = []
    beginnings: list[MotionTokens] = []
    if request.seed_motion is not None:
        beginnings.append(load_dance(request.seed_motion, tokenizer, place))
        if (length := beginnings[0].ids.shape[1]) > frames:
            raise XDancerError(f"--seed-motion {request.seed_motion}: {length} frames, the dance has {frames}. Give a shorter one.")
        edits.append(MotionEdit.begin_with(beginnings[0]))
    try:
        if request.to is not None:
            edits.append(MotionEdit.end_with(load_dance(request.to, tokenizer, place), frames=frames))
        if request.edit is not None:
            beginnings.append(load_dance(request.edit, tokenizer, place))
            edits += _changes(request, beginnings[-1], frames=frames)
    except ValueError as error:
        raise XDancerError(str(error)) from error
    total = None
    for edit in edits:
        total = edit if total is None else total | edit
    return total, MotionTokens(beginnings[0].ids[:, :1]) if beginnings else None


def _changes(request: EditRequest, dance: MotionTokens, *, frames: int) -> list[MotionEdit]:
    changes, length = [], min(frames, dance.ids.shape[1])
    if request.keep is not None:
        kept = parse_frames(request.keep)
        if max(kept) >= length:
            raise XDancerError(
                f"--keep {request.keep}: frame {max(kept)}, but the dance to keep it from and the new one share {length} frames."
            )
        changes.append(MotionEdit.keep_frames(dance, kept))
    if request.lock is not None:
        changes.append(MotionEdit.lock_parts(dance, _parts("--lock", request.lock)))
    if request.reroll is not None:
        changes += [MotionEdit.reroll_parts(dance, _parts("--reroll", request.reroll)), MotionEdit.keep_frames(dance, [0])]
    if length < frames and request.keep is None:
        print(f"--edit {request.edit}: {length} of {frames} frames; behind them nothing is locked")
    return changes


def _parts(flag: str, text: str) -> list[str]:
    if not (found := names(text)):
        raise XDancerError(f"{flag} {text!r}: names no body part. Write for example {flag} left_hand,right_hand.")
    return found


def names(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_frames(text: str) -> list[int]:
    """`0-30,90` → 0, 1, …, 30, 90.

    Raises:
        XDancerError: not of this form.
    """
    frames: list[int] = []
    for piece in names(text):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", piece)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise XDancerError(f"--keep {text}: {piece!r} is no range of frames. Write for example 0-30,90-120, the first frame is 0.")
        frames += range(first, last + 1)
    if not frames:
        raise XDancerError(f"--keep {text!r}: names no frames. Write for example 0-30,90-120, the first frame is 0.")
    return frames
