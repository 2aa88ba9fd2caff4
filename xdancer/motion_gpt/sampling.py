"""Cached decoding of one segment and the choice of a token from its logits."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xdancer.motion_gpt.conditions import absent_like
from xdancer.motion_gpt.decoding import Decoder
from xdancer.motion_gpt.model import MotionGPT, Segment
from xdancer.skeleton import BodyPart

PART_NAMES = tuple(part.name.lower() for part in BodyPart)


@dataclass(frozen=True)
class PartSampling:
    """What one body part draws differently from the others; None: as they do."""

    temperature: float | None = None
    """As `SamplingConfig.temperature`."""
    top_k: int | None = None
    """As `SamplingConfig.top_k`."""
    top_p: float | None = None
    """As `SamplingConfig.top_p`."""


@dataclass(frozen=True)
class SamplingConfig:
    """How tokens are drawn. The paper is silent; the defaults draw from the model's own distribution."""

    temperature: float = 1.0
    """Logits are divided by it; 0 takes the most probable token."""
    top_k: int = 0
    """Only the k most probable tokens can be drawn; 0: all."""
    top_p: float = 1.0
    """Only the most probable tokens whose probabilities add up to p can be drawn; 1: all."""
    guidance: float = 1.0
    """Classifier-free guidance on the music: 1 none, above 1 follows the music more strongly at twice the work."""
    wish_guidance: float = 1.0
    """The same on what the dance is asked to be (style, energy, density)."""
    smoothing: float = 0.0
    """Standard deviation, in frames, of the smoothing of the decoded keypoints over time; 0: none (the paper)."""
    parts: dict[str, PartSampling] = field(default_factory=dict)
    """What single body parts draw differently, by name: {left_hand: {temperature: 0.8}}."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1 or min(self.guidance, self.wish_guidance, self.smoothing) < 0:
            raise ValueError(f"{self}: temperature ≥ 0, top_k ≥ 0, 0 < top_p ≤ 1, guidance and wish_guidance ≥ 0, smoothing ≥ 0.")
        for name in self.parts:
            if name not in PART_NAMES:
                raise ValueError(f"No body part is called {name!r}. Choose among {', '.join(PART_NAMES)}.")
            self.of(name)

    def of(self, part: str) -> "SamplingConfig":
        """What holds for one body part."""
        changes = asdict(self.parts[part]) if part in self.parts else {}
        return replace(self, parts={}, **{name: value for name, value in changes.items() if value is not None})

    def by_part(self, count: int) -> list["SamplingConfig"]:
        """The same for each of a model's parts.

        Raises:
            ValueError: a setting is given for a part that the model does not have, as in the single-part ablation.
        """
        known = PART_NAMES[:count] if count > 1 else ("body",)
        if unknown := set(self.parts) - set(known):
            raise ValueError(f"The model has no part {', '.join(sorted(unknown))}, only {', '.join(known)}.")
        return [self.of(name) for name in known]


def sample_tokens(
    logits: Float[Tensor, "batch code"], sampling: SamplingConfig, generator: torch.Generator | None = None
) -> Int[Tensor, " batch"]:
    """One token per row."""
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits.float() / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        threshold = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < threshold, -torch.inf)
    if sampling.top_p < 1:
        ordered, index = logits.softmax(-1).sort(dim=-1, descending=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        logits = logits.masked_fill(outside.scatter(-1, index, outside), -torch.inf)
    cumulative = logits.softmax(-1).cumsum(-1)  # inverse distribution function: one random number per row instead of one per code
    threshold = torch.rand(len(logits), 1, device=logits.device, generator=generator) * cumulative[:, -1:]
    return (cumulative <= threshold).sum(-1).clamp_max(logits.shape[-1] - 1)


def with_guidance_branches(segment: Segment, sampling: SamplingConfig) -> tuple[Segment, list[float]]:
    """The segment followed, along the batch, by itself without music, without wishes, or both, as the sampling guides by them.

    Returns:
        The segment, and the weight of each branch's difference from the first.
    """
    values = {item.name: getattr(segment, item.name) for item in fields(segment)}
    branches, weights = [values], list[float]()
    if sampling.guidance != 1:
        branches.append(values | {"has_music": torch.zeros_like(segment.has_music)})
        weights.append(sampling.guidance - 1)
    if sampling.wish_guidance != 1 and (segment.style is not None or segment.figures is not None):
        branches.append(values | {name: None if values[name] is None else absent_like(values[name]) for name in ("style", "figures")})
        weights.append(sampling.wish_guidance - 1)
    joined: dict[str, Any] = {
        name: None if value is None else torch.cat([branch[name] for branch in branches]) for name, value in values.items()
    }
    return Segment(**joined), weights


def sample_segment(
    gpt: MotionGPT,
    segment: Segment,
    *,
    given: int,
    frames: int,
    sampling: SamplingConfig,
    locked: Bool[Tensor, "batch window part slot"] | None = None,
    generator: torch.Generator | None = None,
    decoder: Decoder | None = None,
) -> Int[Tensor, "batch frame part slot"]:
    """The segment's first `frames` frames, arguments as in `sample_frames`."""
    known = segment.motion[:, : min(given, frames)]
    steps = sample_frames(
        gpt, segment, given=given, frames=frames, sampling=sampling, locked=locked, generator=generator, decoder=decoder
    )  # fmt: skip
    return torch.cat([known, *(ids[:, None] for ids in steps)], dim=1)


@torch.no_grad()
def sample_frames(
    gpt: MotionGPT,
    segment: Segment,
    *,
    given: int,
    frames: int,
    sampling: SamplingConfig,
    locked: Bool[Tensor, "batch frame part slot"] | None = None,
    generator: torch.Generator | None = None,
    decoder: Decoder | None = None,
) -> Iterator[Int[Tensor, "batch part slot"]]:
    """Frames `given … frames - 1` of a segment, each as soon as its last token is drawn.

    Tokens that are locked in the whole batch cost no step of their own: the model reads a run of them together with the token that follows.

    Args:
        gpt: the model.
        segment: its `motion` holds the given frames and the locked tokens; what else it holds is ignored.
        given: known frames at the segment's start (0: the dance begins here).
        frames: where to stop, at most the segment's length.
        sampling: how tokens are drawn.
        locked: tokens of the segment that are not drawn but taken from its `motion`.
        generator: source of randomness on the model's device.
        decoder: of the model, used again for every segment.
    """
    layout, batch = gpt.layout, len(segment.motion)
    segment, weights = with_guidance_branches(segment, sampling)
    decoder = Decoder(gpt) if decoder is None else decoder
    decoder.begin(segment)
    row = decoder.row
    held = torch.zeros_like(segment.motion[:batch], dtype=torch.bool) if locked is None else locked
    held = held.reshape(batch, layout.motion_length, gpt.config.group)
    skipped, mixed = held.all(2).all(0).tolist(), held.any(2).any(0).tolist()
    settings = sampling.by_part(layout.parts)
    for index in range(given * layout.frame_tokens, frames * layout.frame_tokens):
        part, column = index % layout.frame_tokens // layout.slots, layout.segment_column + index
        if not skipped[index]:
            logits = _guided(decoder.logits(layout.motion_start + index), weights)
            token = sample_tokens(logits.flatten(0, 1), settings[part], generator).view(logits.shape[:2]) + part * gpt.config.codes
            token = torch.where(held[:, index], row[:batch, column], token) if mixed[index] else token
            row[:, column] = token.repeat(len(row) // batch, 1)
        if (index + 1) % layout.frame_tokens == 0:
            frame = row[:batch, column + 1 - layout.frame_tokens : column + 1].reshape(batch, layout.parts, -1)
            yield frame - torch.arange(layout.parts, device=row.device)[:, None] * gpt.config.codes


def _guided(logits: Float[Tensor, "row group code"], weights: list[float]) -> Float[Tensor, "batch group code"]:
    """Logits moved away from those of the branches that lack something (Ho & Salimans 2022); branches follow one another along the rows."""
    conditional, *without = logits.chunk(1 + len(weights))
    return conditional + sum(weight * (conditional - other) for weight, other in zip(weights, without, strict=True))
