"""What of a dance is given and stays: whole frames, body parts, a beginning, an end. The rollout draws the rest.

A `MotionEdit` is tokens with a mask of those that are locked. Its constructors say what people want; `a | b` wants both.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from xdancer.motion_gpt.sampling import PART_NAMES
from xdancer.types import MotionTokens


@dataclass(frozen=True)
class MotionEdit:
    """Tokens that a dance must have. Frames behind the edit's last are free."""

    tokens: Int[Tensor, "batch frame part slot"]
    """Only the locked ones are read; a batch of one holds for every dance of a larger batch."""
    locked: Bool[Tensor, "batch frame part slot"]

    def __post_init__(self) -> None:
        if self.tokens.ndim != 4 or self.tokens.shape != self.locked.shape:
            shapes = f"tokens {tuple(self.tokens.shape)}, locked {tuple(self.locked.shape)}"
            raise ValueError(f"{shapes}: both are (batch, frame, part, slot).")

    @classmethod
    def keep_frames(cls, dance: MotionTokens, frames: Iterable[int]) -> "MotionEdit":
        """Some frames of a dance stay; numbers behind its end mean nothing."""
        kept = torch.zeros(dance.ids.shape[1], dtype=torch.bool, device=dance.ids.device)
        kept[[frame for frame in frames if 0 <= frame < len(kept)]] = True
        return cls(dance.ids, kept[None, :, None, None].expand(dance.ids.shape))

    @classmethod
    def lock_parts(cls, dance: MotionTokens, parts: Iterable[str]) -> "MotionEdit":
        """Some body parts stay as in a dance, in all its frames.

        Raises:
            ValueError: no part has that name, or the tokens are those of the single-part ablation.
        """
        kept = torch.zeros(dance.ids.shape[2], dtype=torch.bool, device=dance.ids.device)
        kept[_numbers(parts, len(kept))] = True
        return cls(dance.ids, kept[None, None, :, None].expand(dance.ids.shape))

    @classmethod
    def reroll_parts(cls, dance: MotionTokens, parts: Iterable[str]) -> "MotionEdit":
        """Some body parts are drawn anew, the others stay as in a dance; errors as in `lock_parts`."""
        edit = cls.lock_parts(dance, parts)
        return replace(edit, locked=~edit.locked)

    @classmethod
    def begin_with(cls, motion: MotionTokens) -> "MotionEdit":
        """The dance begins with this motion."""
        return cls.keep_frames(motion, range(motion.ids.shape[1]))

    @classmethod
    def end_with(cls, motion: MotionTokens, *, frames: int) -> "MotionEdit":
        """A dance of `frames` frames ends with this motion, or with this pose.

        Raises:
            ValueError: the motion is longer than the dance.
        """
        before = frames - motion.ids.shape[1]
        if before < 0:
            raise ValueError(f"The end has {motion.ids.shape[1]} frames, the whole dance only {frames}.")
        return cls.begin_with(motion)._shifted(before)

    def __or__(self, other: "MotionEdit") -> "MotionEdit":
        """Both; where both lock a token, the left one's stays."""
        frames = max(self.tokens.shape[1], other.tokens.shape[1])
        first, second = self._padded(frames), other._padded(frames)
        tokens = torch.where(first.locked, first.tokens, second.tokens.to(first.tokens))
        return MotionEdit(tokens, first.locked | second.locked.to(first.locked.device))

    def to(self, device: torch.device | str) -> "MotionEdit":
        return MotionEdit(self.tokens.to(device), self.locked.to(device))

    def rows(self, begin: int, stop: int) -> "MotionEdit":
        """The edit of frames `begin … stop - 1`, free behind its end."""
        return MotionEdit(self.tokens[:, begin:stop], self.locked[:, begin:stop])._padded(stop - begin)

    def apply(self, ids: Int[Tensor, "batch frame part slot"], *, begin: int = 0) -> Int[Tensor, "batch frame part slot"]:
        """`ids` of the frames from `begin` on, with the locked tokens put in."""
        rows = self.rows(begin, begin + ids.shape[1])
        return torch.where(rows.locked, rows.tokens.to(ids), ids)

    def whole(self, frame: int) -> bool:
        """Whether every token of a frame is locked."""
        return frame < self.locked.shape[1] and bool(self.locked[:, frame].all())

    def next_whole(self, frame: int) -> int | None:
        """The first frame from `frame` on of which every token is locked."""
        found = self.locked[:, frame:].flatten(2).all(2).all(0).nonzero()
        return frame + int(found[0]) if len(found) else None

    def _shifted(self, frames: int) -> "MotionEdit":
        before = (0, 0, 0, 0, frames, 0)
        return MotionEdit(F.pad(self.tokens, before), F.pad(self.locked, before))

    def _padded(self, frames: int) -> "MotionEdit":
        behind = (0, 0, 0, 0, 0, max(0, frames - self.tokens.shape[1]))
        return MotionEdit(F.pad(self.tokens, behind), F.pad(self.locked, behind))


def _numbers(parts: Iterable[str], count: int) -> list[int]:
    names = list(parts)
    if unknown := [name for name in names if name not in PART_NAMES[: count if count > 1 else 0]]:
        known = f"Choose among {', '.join(PART_NAMES[:count])}." if count > 1 else "The model has one part for the whole body."
        raise ValueError(f"No body part is called {', '.join(map(repr, unknown))}. {known}")
    return [PART_NAMES.index(name) for name in names]
