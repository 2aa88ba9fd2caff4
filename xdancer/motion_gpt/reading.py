"""From a batch of dances to what the model reads of it in training: tokens, aligned music, what is asked for; and what training takes away."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xdancer.motion_gpt.conditions import dropped, motion_figures
from xdancer.motion_gpt.model import ABSENT, MotionGPT, MotionGPTConfig, Segment
from xdancer.types import DanceBatch, MotionTokens, PoseBatch
from xdancer.vqvae.model import VQVAE


def read_segment(batch: DanceBatch, gpt: MotionGPT, tokenizer: VQVAE) -> Segment:
    """Lay a batch out; of its poses only the frames that the model reads go through the tokenizer.

    Raises:
        ValueError: the batch has other sizes than the model; names both.
    """
    config, total, history = gpt.config, batch.frames, batch.frames - gpt.config.frames
    check_sizes(batch, config)
    rows = torch.arange(len(batch.has_context), device=batch.has_context.device)[:, None]
    tail = torch.arange(history - config.previous_frames, total, device=rows.device).expand(len(rows), -1)
    ids = _tokens_at(batch, rows, torch.cat([batch.context_index, tail], dim=1), tokenizer)
    absent = ~batch.has_context[:, None, None, None]
    context, previous, motion = ids.split([config.context_frames, config.previous_frames, config.frames], dim=1)
    stacked = gpt.stack_music(batch.music.features)
    return Segment(
        motion=motion, context=context.masked_fill(absent, ABSENT), previous=previous.masked_fill(absent, ABSENT),
        music=stacked[:, history:total], context_music=stacked[rows, batch.context_index], has_music=torch.ones_like(batch.has_context),
        style=batch.style if config.styles else None, figures=_figures(motion, tokenizer) if config.motion_figures else None,
    )  # fmt: skip


def check_sizes(batch: DanceBatch, config: MotionGPTConfig) -> None:
    """Links between data and model are no contract: the sizes are compared here."""
    total = batch.frames
    found: dict[str, tuple[Any, Any]] = {
        "segment_frames": (batch.segment_frames, config.frames),
        "context_frames": (batch.context_index.shape[1], config.context_frames),
    }
    at_least = {
        "lookahead_frames": (batch.music.beats.shape[1] - total, config.music_lookahead_frames),
        "history_frames": (total - batch.segment_frames, config.previous_frames),
    }
    if batch.tokens is not None:
        found["tokens of parts × slots"] = (tuple(batch.tokens.ids.shape[2:]), (config.parts, config.slots))
        if config.context_frames:  # padding has no tokens: no frame of it may be read where there is context
            at_least["context_frames of tokens"] = (config.context_frames, config.previous_frames)
    wrong = [f"{name} {data} (the model needs {model})" for name, (data, model) in found.items() if data != model]
    wrong += [f"{name} {data} (the model needs at least {model})" for name, (data, model) in at_least.items() if data < model]
    if config.styles and batch.style is None:
        wrong.append(f"no styles (the model was given {', '.join(config.styles)})")
    if wrong:
        raise ValueError(f"The data module gives {', '.join(wrong)}. Set data.init_args and model.init_args.config alike.")


@torch.no_grad()
def _tokens_at(
    batch: DanceBatch, rows: Int[Tensor, "batch 1"], index: Int[Tensor, "batch index"], tokenizer: VQVAE
) -> Int[Tensor, "batch index part slot"]:
    """Tokens of some frames: the batch's own, or those of its poses."""
    if batch.tokens is not None:
        return batch.tokens.ids[rows, index]
    assert batch.pose is not None
    ids = tokenizer.encode(PoseBatch(batch.pose.keypoints[rows, index], batch.pose.confidence[rows, index])).ids
    return ids.contiguous()  # laid out like stored ones: random numbers "like" a tensor are drawn in the order of its memory


@torch.no_grad()
def _figures(motion: Int[Tensor, "batch frame part slot"], tokenizer: VQVAE) -> Float[Tensor, "batch figure"]:
    """What the segment really is, as it decodes; equal from poses and from tokens."""
    return motion_figures(tokenizer.decode(MotionTokens(motion)))


def drop_conditions(segment: Segment, probability: float) -> Segment:
    """Training: some segments lose their music, some everything before them, some what else they are asked to be."""
    kept = torch.rand(2, len(segment.motion), device=segment.motion.device) >= probability
    gone = ~kept[1, :, None, None, None]
    style, figures = dropped(segment.style, segment.figures, probability)
    return replace(
        segment, has_music=segment.has_music & kept[0], context=segment.context.masked_fill(gone, ABSENT),
        previous=segment.previous.masked_fill(gone, ABSENT), style=style, figures=figures,
    )  # fmt: skip


def add_noise(segment: Segment, config: MotionGPTConfig) -> Segment:
    """Training: wrong tokens among those that the model reads, so that a rollout finds its way back from its own mistakes.

    As in T2M-GPT (Zhang et al. 2023, arXiv 2301.06052), with a share of its own, up to twice `token_noise`, for every segment.
    """
    if config.token_noise == 0:
        return segment
    share = torch.rand(len(segment.motion), 1, 1, 1, device=segment.motion.device) * 2 * config.token_noise

    def noisy(ids: Tensor) -> Tensor:
        hit = (torch.rand(ids.shape, device=ids.device) < share) & (ids != ABSENT)
        return torch.where(hit, torch.randint_like(ids, config.codes), ids)

    return replace(segment, motion=noisy(segment.motion), context=noisy(segment.context), previous=noisy(segment.previous))
