"""Which token comes when, what may see what, where music sits: pure index arithmetic, no torch (PAPER: window 2224 = 64 + 240 + 1920).

The window is `[music prefix][motion context][motion]`. Motion runs frame by frame, inside a frame part by part, inside a part slot by slot.
The transformer reads a token at every position and predicts the token of the next one; the last context position predicts the first motion
token. Everything that helps a prediction (music of the frame, tokens of the frames before) therefore belongs to the *predicted* token.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenLayout:
    """Index arithmetic of one window.

    With no context frames one start position stands between prefix and motion, so that the first motion token has a place to be predicted at.
    """

    frames: int
    """Frames of a segment; also the length of the music prefix."""
    context_frames: int
    parts: int
    slots: int
    global_music: bool = True
    """Whether the window opens with one music token per frame of the segment."""
    previous_frames: int = 0
    """How many frames back the predicted slot's own earlier tokens are shown (0 in the paper)."""

    def __post_init__(self) -> None:
        if min(self.frames, self.parts, self.slots) < 1 or min(self.context_frames, self.previous_frames) < 0:
            raise ValueError(f"{self}: frames, parts and slots must be at least 1, context_frames and previous_frames at least 0.")

    @property
    def frame_tokens(self) -> int:
        """Tokens of one frame."""
        return self.parts * self.slots

    @property
    def music_length(self) -> int:
        return self.frames if self.global_music else 0

    @property
    def context_length(self) -> int:
        """Positions between prefix and motion: the context tokens, or one start position."""
        return max(self.context_frames * self.frame_tokens, 1)

    @property
    def motion_length(self) -> int:
        return self.frames * self.frame_tokens

    @property
    def motion_start(self) -> int:
        """Position of the first motion token."""
        return self.music_length + self.context_length

    @property
    def window(self) -> int:
        """Positions of the transformer."""
        return self.motion_start + self.motion_length

    @property
    def first_prediction(self) -> int:
        """The position whose output is the first motion token."""
        return self.motion_start - 1

    def part(self, position: int) -> int:
        """Body part of the token read at a position behind the prefix."""
        return (position - self.motion_start) % self.frame_tokens // self.slots

    def slot(self, position: int) -> int:
        """Slot of the token read at a position behind the prefix."""
        return (position - self.motion_start) % self.slots

    def moment(self, position: int) -> tuple[int, int]:
        """Frame and place inside the frame that a position stands for: those of the token predicted there, a prefix position's own frame.

        Frames count from the segment's first; the context's are the ones right before it, in order, whatever gaps lie between them.
        """
        if position < self.music_length:
            return position, 0
        return divmod(position + 1 - self.motion_start, self.frame_tokens)

    def predicted_frame(self, position: int) -> int | None:
        """Segment frame of the token predicted at a position; None where no motion token is predicted (the last position closes the window)."""
        index = position + 1 - self.motion_start
        return index // self.frame_tokens if 0 <= index < self.motion_length else None

    def music_row(self, position: int) -> int:
        """Whose music stands at a position behind the prefix: a row of `[context frames | segment frames]`.

        The predicted token's frame; at the context positions that predict nothing, the context frame's own; at the last position, its own.
        """
        frame = self.predicted_frame(position)
        if frame is not None:
            return self.context_frames + frame
        return self.context_frames + (position - self.motion_start) // self.frame_tokens

    @property
    def columns(self) -> int:
        """Length of the token row `[absent | context | previous frames | segment]` that `sources` points into."""
        return self.segment_column + self.motion_length

    @property
    def previous_column(self) -> int:
        return 1 + self.context_frames * self.frame_tokens

    @property
    def segment_column(self) -> int:
        return self.previous_column + self.previous_frames * self.frame_tokens

    def sources(self, position: int) -> tuple[int, ...]:
        """Columns of the tokens that enter at a position behind the prefix: the one read there, then the predicted slot 1, 2, … frames back.

        Column 0 holds the absent token: at the start position, and in the place of previous frames where nothing is predicted.
        """
        index = position - self.motion_start
        before = self.previous_column + index if self.context_frames else 0
        read = self.segment_column + index if index >= 0 else before
        if self.predicted_frame(position) is None:
            return (read, *(0 for _ in range(self.previous_frames)))
        predicted = self.segment_column + index + 1
        return (read, *(predicted - back * self.frame_tokens for back in range(1, self.previous_frames + 1)))
