"""Motion GPT: next motion token from music, motion context and the dance so far (paper: Cross-conditional Motion GPT).

`MotionGPTConfig` defaults are the paper's. What is computed where is `TokenLayout`'s; this file turns its indices into embeddings and logits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from xdancer.motion_gpt.conditions import Conditions
from xdancer.motion_gpt.layout import TokenLayout
from xdancer.motion_gpt.rotary import rotations
from xdancer.motion_gpt.transformer import Transformer, initialise

ABSENT = -1
"""Id of a token that is not there: no context, no previous frame. It has its own learned embedding."""
PLACE_STD = 0.5
"""Spread of fresh embeddings of positions and of parts and slots: as large as the fused tokens and music to which they are added. With GPT-2's
.02, which goes with token embeddings of .02, a fresh model does not see which slot comes next (docs/decisions/0012)."""


def _paper_music() -> dict[str, int]:
    return {"jukebox": 4800, "librosa": 35}


@dataclass(frozen=True)
class MotionGPTConfig:
    """Sizes of stage 2; the defaults are the paper's full model (GPT-2 medium)."""

    layers: int = 24
    """Transformer blocks (12 in the small ablation)."""
    heads: int = 16
    """Attention heads (12 in the small ablation)."""
    width: int = 1024
    """Features per position (768 in the small ablation)."""
    frames: int = 64
    """Frames of a segment, 30 per second."""
    context_frames: int = 8
    """Frames carried over from before the segment; 0 is the ablation without motion context."""
    overlap_frames: int = 12
    """Frames that a rolled-out segment shares with the one before."""
    parts: int = 5
    """Body parts, as in the tokenizer."""
    slots: int = 6
    """Tokens per part and frame, as in the tokenizer."""
    codes: int = 512
    """Codebook size, as in the tokenizer."""
    music_features: dict[str, int] = field(default_factory=_paper_music)
    """Music features by name with their widths, merged in this order."""
    global_music: bool = True
    """One music token per segment frame opens the window; False is the ablation without global music context."""
    music_lookahead_frames: int = 0
    """How many further frames of music stand at every token beside its own frame's (0 in the paper)."""
    previous_frames: int = 0
    """How many frames back the same slot's earlier tokens are shown beside every token (0 in the paper)."""
    parallel_slots: bool = False
    """One position per part instead of one per token: the slots of a part are drawn together, independently given what came before (the paper
    draws one after the other)."""
    relative_positions: bool = False
    """Positions as distances in frames and slots (rotations of queries and keys) instead of the paper's learned ones."""
    styles: tuple[str, ...] = ()
    """Names of the styles that can be asked for, as in the clips' metadata; none in the paper."""
    motion_figures: bool = False
    """Whether energy and motion-beat density can be asked for (`conditions.FIGURES`); not in the paper."""
    condition_dropout: float = 0.1
    """Probability in training that a segment loses its music; likewise its context, its style and each figure."""
    token_noise: float = 0.0
    """Mean share of the tokens that are replaced by random codes of their part before the model reads them in training (0 in the paper)."""
    dropout: float = 0.1
    """GPT-2's dropout of embeddings, attention and residual branches."""
    gradient_checkpointing: bool = False
    """Recompute blocks in the backward pass: less memory, a third more time."""

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_frames < self.frames:
            raise ValueError(f"overlap_frames {self.overlap_frames} must lie in 0 … frames - 1 = {self.frames - 1}.")
        if not 0 <= self.token_noise <= 0.5:
            raise ValueError(f"token_noise {self.token_noise} must lie in 0 … 0.5.")
        if len(set(self.styles)) < len(self.styles):
            raise ValueError(f"styles {', '.join(self.styles)}: a name stands twice. Name each style once.")

    @property
    def layout(self) -> TokenLayout:
        slots = self.slots // self.group
        return TokenLayout(self.frames, self.context_frames, self.parts, slots, self.global_music, self.previous_frames)

    @property
    def group(self) -> int:
        """Tokens that stand at one position."""
        return self.slots if self.parallel_slots else 1

    @property
    def music_width(self) -> int:
        """Width of one frame's merged music features."""
        return sum(self.music_features.values())


@dataclass(frozen=True)
class Segment:
    """What the model reads for one window; `ABSENT` marks tokens that do not exist (or are not sampled yet)."""

    motion: Int[Tensor, "batch frame part slot"]
    """Tokens of the segment."""
    context: Int[Tensor, "batch context part slot"]
    previous: Int[Tensor, "batch previous part slot"]
    """Tokens of the frames right before the segment, oldest first."""
    music: Float[Tensor, "batch frame stacked"]
    """`MotionGPT.stack_music` of the segment's frames."""
    context_music: Float[Tensor, "batch context stacked"]
    has_music: Bool[Tensor, " batch"]
    """False: every music input is replaced by the learned 'no music' embedding."""
    style: Int[Tensor, " batch"] | None = None
    """Number in the config's `styles`; negative, or None for all: none asked for."""
    figures: Float[Tensor, "batch figure"] | None = None
    """Energy and motion-beat density (`conditions.FIGURES`); NaN, or None for all: none asked for."""


class MotionGPT(nn.Module):
    """Causal transformer over `TokenLayout`'s window with one head of `codes` logits per body part."""

    music_mean: Tensor
    music_scale: Tensor
    music_fitted: Tensor
    sources: Tensor
    music_rows: Tensor
    token_kind: Tensor
    turn: Tensor | None

    def __init__(self, config: MotionGPTConfig = MotionGPTConfig()) -> None:
        super().__init__()
        self.config, self.layout = config, config.layout
        width, stacked = config.width, config.music_width * (config.music_lookahead_frames + 1)
        self.transformer = Transformer(
            layers=config.layers, heads=config.heads, width=width, dropout=config.dropout, gradient_checkpointing=config.gradient_checkpointing
        )
        self.positions = None if config.relative_positions else nn.Embedding(self.layout.window, width)
        self.tokens = nn.Embedding(config.parts * config.codes + 1, width)
        self.kinds = nn.Embedding(self.layout.frame_tokens, width)
        self.frame_music = nn.Linear(stacked, width)
        self.no_music = nn.Parameter(torch.zeros(width))
        self.prefix_music = nn.Linear(stacked, width) if config.global_music else None
        self.no_prefix = nn.Parameter(torch.zeros(width)) if config.global_music else None
        self.fuse = nn.Linear(((1 + config.previous_frames) * config.group + 1) * width, width)
        self.spread = nn.Linear(width, config.group * width) if config.parallel_slots else None
        asked = bool(config.styles or config.motion_figures)
        self.conditions = Conditions(styles=len(config.styles), figures=config.motion_figures, width=width) if asked else None
        self.register_buffer("music_mean", torch.zeros(config.music_width))
        self.register_buffer("music_scale", torch.ones(config.music_width))
        self.register_buffer("music_fitted", torch.zeros((), dtype=torch.bool))
        self._register_layout()
        self._initialise()

    def _register_layout(self) -> None:
        layout = self.layout
        behind = range(layout.music_length, layout.window)
        self.register_buffer("sources", torch.tensor([layout.sources(p) for p in behind]), persistent=False)
        self.register_buffer("music_rows", torch.tensor([layout.music_row(p) for p in behind]), persistent=False)
        kinds = [layout.part(p) * layout.slots + layout.slot(p) for p in behind]
        self.register_buffer("token_kind", torch.tensor(kinds), persistent=False)
        turn = rotations(layout, self.config.width // self.config.heads) if self.config.relative_positions else None
        self.register_buffer("turn", turn, persistent=False)

    def _initialise(self) -> None:
        initialise(self.transformer)
        for table in (self.positions, self.kinds):
            if table is not None:
                nn.init.normal_(table.weight, std=PLACE_STD)
        nn.init.normal_(self.tokens.weight, std=self.config.width**-0.5)

    # ---- music

    def fit_music(self, features: Mapping[str, Float[Tensor, "frame _"]]) -> None:
        """Take mean and standard deviation of the merged features from training data; every later input is normalised by them."""
        merged = torch.cat([features[name].float() for name in self.config.music_features], dim=-1)
        self.music_mean.copy_(merged.mean(0))
        self.music_scale.copy_(merged.std(0).clamp_min(1e-3).reciprocal())
        self.music_fitted.fill_(True)

    def stack_music(self, features: Mapping[str, Float[Tensor, "batch rows _"]]) -> Float[Tensor, "batch frame stacked"]:
        """Merge, normalise and put `music_lookahead_frames` following rows beside each: `rows - lookahead` frames come out."""
        for name, width in self.config.music_features.items():
            if name not in features or features[name].shape[-1] != width:
                found = {key: value.shape[-1] for key, value in features.items()}
                raise ValueError(f"The model reads music feature {name!r} of width {width}; the input has {found}. Prepare the data with it.")
        merged = torch.cat([features[name].to(self.music_mean.dtype) for name in self.config.music_features], dim=-1)
        merged = ((merged - self.music_mean) * self.music_scale).clamp(-5, 5)
        return merged.unfold(1, self.config.music_lookahead_frames + 1, 1).transpose(2, 3).flatten(2)

    # ---- embeddings

    def token_row(self, segment: Segment) -> Int[Tensor, "batch column group"]:
        """`[absent | context | previous | motion]` as rows of the embedding table, the row that `TokenLayout.sources` points into."""
        ids = torch.cat([segment.context, segment.previous, segment.motion], dim=1)
        part = torch.arange(self.config.parts, device=ids.device)[:, None] * self.config.codes
        absent = self.config.parts * self.config.codes
        rows = torch.where(ids == ABSENT, absent, ids + part).reshape(len(ids), -1, self.config.group)
        return torch.cat([rows.new_full((len(rows), 1, self.config.group), absent), rows], dim=1)

    def embed_prefix(self, segment: Segment) -> Float[Tensor, "batch position width"]:
        """The global music context: one embedding per segment frame (none in the ablation without it)."""
        if self.prefix_music is None or self.no_prefix is None:
            return segment.music.new_zeros(len(segment.music), 0, self.config.width)
        music = torch.where(segment.has_music[:, None, None], self.prefix_music(segment.music), self.no_prefix)
        return self.placed(music, 0, self.layout.music_length)

    def placed(self, embedding: Float[Tensor, "batch position width"], start: int, stop: int) -> Tensor:
        """With the learned positions `start … stop - 1`, where the config has such."""
        return embedding if self.positions is None else embedding + self.positions.weight[start:stop]

    def embed_music(self, segment: Segment) -> Float[Tensor, "batch row width"]:
        """Channel-wise music of the context frames, then of the segment's frames, each with what else the dance is asked to be."""
        stacked = torch.cat([segment.context_music, segment.music], dim=1)
        music = torch.where(segment.has_music[:, None, None], self.frame_music(stacked), self.no_music)
        if self.conditions is None:
            return music
        return music + self.conditions(segment.style, segment.figures, batch=len(music))[:, None]

    def embed_tokens(self, row: Int[Tensor, "batch column group"], music: Float[Tensor, "batch row width"], start: int, stop: int) -> Tensor:
        """Embeddings of positions `start … stop - 1`, all behind the prefix: token, previous frames' tokens, music of the predicted frame."""
        lead = self.layout.music_length
        index = slice(start - lead, stop - lead)
        tokens = self.tokens(row[:, self.sources[index]]).flatten(2) * self.config.width**0.5
        fused = self.fuse(torch.cat([tokens, music[:, self.music_rows[index]]], dim=-1))
        return self.placed(fused + self.kinds(self.token_kind[index]), start, stop)

    def embed(self, segment: Segment, stop: int) -> Float[Tensor, "batch position width"]:
        """Embeddings of positions `0 … stop - 1`, prefix included."""
        tokens = self.embed_tokens(self.token_row(segment), self.embed_music(segment), self.layout.music_length, stop)
        return torch.cat([self.embed_prefix(segment), tokens], dim=1)

    # ---- logits

    def forward(self, segment: Segment) -> Float[Tensor, "batch frame part slot code"]:
        """Teacher-forced logits of every token of the segment."""
        features = self.transformer(self.embed(segment, self.layout.window - 1), turn=self.turn)
        return self.logits(features[:, self.layout.first_prediction :])

    @property
    def head(self) -> Float[Tensor, "part code width"]:
        """The logits' weights: the parts' token embeddings, as GPT-2 ties them. With unit-variance features fresh logits have variance 1."""
        return self.tokens.weight[:-1].unflatten(0, (self.config.parts, self.config.codes))

    def logits(self, features: Float[Tensor, "batch motion width"]) -> Float[Tensor, "batch frame part slot code"]:
        """Each part's own logits from the features of the positions that predict the segment."""
        config = self.config
        grid = self.by_token(features).reshape(len(features), config.frames, config.parts, config.slots, config.width)
        return torch.einsum("bfpsw,pcw->bfpsc", grid, self.head)

    def by_token(self, features: Float[Tensor, "batch position width"]) -> Float[Tensor, "batch position group width"]:
        """One feature vector per token of a position."""
        return features[:, :, None] if self.spread is None else self.spread(features).unflatten(-1, (self.config.group, -1))
