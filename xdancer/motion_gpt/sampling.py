"""Cached decoding of one segment and the choice of a token from its logits."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xdancer.motion_gpt.model import MotionGPT, Segment
from xdancer.motion_gpt.transformer import KeyValueCache


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
    smoothing: float = 0.0
    """Standard deviation, in frames, of the smoothing of the decoded keypoints over time; 0: none (the paper)."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1 or min(self.guidance, self.smoothing) < 0:
            raise ValueError(f"{self}: temperature ≥ 0, top_k ≥ 0, 0 < top_p ≤ 1, guidance ≥ 0, smoothing ≥ 0.")


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


def with_guidance_branch(segment: Segment) -> Segment:
    """The segment followed, along the batch, by itself without music."""
    doubled = {item.name: torch.cat([getattr(segment, item.name)] * 2) for item in fields(segment)}
    doubled["has_music"] = torch.cat([segment.has_music, torch.zeros_like(segment.has_music)])
    return Segment(**doubled)


@torch.no_grad()
def sample_segment(
    gpt: MotionGPT,
    segment: Segment,
    *,
    given: int,
    frames: int,
    sampling: SamplingConfig,
    generator: torch.Generator | None = None,
    cache: KeyValueCache | None = None,
) -> Int[Tensor, "batch frame part slot"]:
    """Continue a segment whose first `given` frames are known up to `frames` frames.

    Args:
        gpt: the model.
        segment: its `motion` holds the known frames; what follows them is ignored.
        given: known frames at the segment's start (0: the dance begins here).
        frames: frames to return, at most the segment's length.
        sampling: how tokens are drawn.
        generator: source of randomness on the model's device.
        cache: reused between segments; must fit the batch (twice the batch under guidance).
    """
    layout, batch = gpt.layout, len(segment.motion)
    guided = sampling.guidance != 1
    if guided:
        segment = with_guidance_branch(segment)
    cache = gpt.transformer.new_cache(len(segment.motion), layout.window) if cache is None else cache
    cache.clear()
    row, music = gpt.token_row(replace(segment, motion=segment.motion.clamp_min(0))), gpt.embed_music(segment)
    position = layout.first_prediction + given * layout.frame_tokens
    embedding = torch.cat([gpt.embed_prefix(segment), gpt.embed_tokens(row, music, layout.music_length, position + 1)], dim=1)
    for index in range(given * layout.frame_tokens, frames * layout.frame_tokens):
        part = index % layout.frame_tokens // layout.slots
        logits = gpt.step(embedding, cache, part=part)
        if guided:
            conditional, unconditional = logits.chunk(2)
            logits = unconditional + sampling.guidance * (conditional - unconditional)
        token = sample_tokens(logits, sampling, generator) + part * gpt.config.codes
        row[:, layout.segment_column + index] = token.repeat(2) if guided else token
        position += 1
        if position < layout.window - 1:
            embedding = gpt.embed_tokens(row, music, position, position + 1)
    sampled = row[:batch, layout.segment_column :].unflatten(1, (layout.frames, layout.parts, layout.slots))[:, :frames]
    return sampled - torch.arange(layout.parts, device=row.device)[:, None] * gpt.config.codes
