"""ReferenceNet: a second UNet reads the portrait, its self-attention inputs join the renderer's keys and values (AnimateAnyone's scheme).

The features travel as an argument (`cross_attention_kwargs`), not as state of the processors: gradient checkpointing, several
portraits and both guidance branches stay independent.
"""

import math
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

ReferenceFeatures = dict[str, Tensor]
"""Processor name → (batch, position, channel), one entry per spatial self-attention. Under `PRESENT` (batch), which items may read theirs;
`ALL_ZERO` (batch) says that no entry holds anything else than zeros."""
PRESENT, ALL_ZERO = "present", "all_zero"
ZERO_KEYS = 8
"""So many keys of zeros stand for all of a portrait of zeros (GPU kernels want a multiple of 8)."""


def _attend(attn: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Multi-head attention and output projection of a diffusers `Attention` from projected (batch, position, channel)."""
    query, key, value = (part.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for part in (query, key, value))
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2))) / attn.rescale_output_factor


def _beside_zeros(key: Tensor, value: Tensor, *, positions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values with `positions` more of zeros, and the mask of the attention, without that many.

    A key of zeros has logit 0 and weight 1 before normalisation; n of them weigh as `ZERO_KEYS` whose logits are log(n / `ZERO_KEYS`).
    """
    mask = F.pad(key.new_zeros(1, 1, 1, key.shape[1]), (0, ZERO_KEYS), value=math.log(positions / ZERO_KEYS))
    return F.pad(key, (0, 0, 0, ZERO_KEYS)), F.pad(value, (0, 0, 0, ZERO_KEYS)), mask


class ReferenceWriter:
    """Self-attention that leaves its input in `reference` under its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, reference: ReferenceFeatures | None = None,
                 **_: Any) -> Tensor:  # fmt: skip
        if reference is not None:
            reference[self.name] = hidden_states
        return _attend(attn, attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states))


class ReferenceReader:
    """Self-attention whose keys and values run over the own positions and those of the portrait, where there is one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, reference: ReferenceFeatures | None = None,
                 **_: Any) -> Tensor:  # fmt: skip
        key, value = attn.to_k(hidden_states), attn.to_v(hidden_states)
        mask = None
        if reference is not None and ALL_ZERO in reference and attn.to_k.bias is None and attn.to_v.bias is None:
            key, value, mask = _beside_zeros(key, value, positions=reference[self.name].shape[1])
        elif reference is not None and self.name in reference:
            features = reference[self.name]
            frames = len(hidden_states) // len(features)
            if PRESENT in reference:
                own = torch.ones(len(hidden_states), key.shape[1], dtype=torch.bool, device=key.device)
                theirs = reference[PRESENT].repeat_interleave(frames, 0)[:, None].expand(-1, features.shape[1])
                mask = torch.cat([own, theirs], dim=1)[:, None, None]
            key = torch.cat([key, attn.to_k(features).repeat_interleave(frames, 0)], dim=1)
            value = torch.cat([value, attn.to_v(features).repeat_interleave(frames, 0)], dim=1)
        return _attend(attn, attn.to_q(hidden_states), key, value, mask)


class CrossAttention:
    """Attention on the portrait's embedding; takes and ignores the reference features that every processor is handed."""

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, reference: Any = None, **_: Any) -> Tensor:
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        frames = len(hidden_states) // len(source)
        key, value = (projection(source).repeat_interleave(frames, 0) for projection in (attn.to_k, attn.to_v))
        return _attend(attn, attn.to_q(hidden_states), key, value)


def install_processors(unet: Any, *, write: bool) -> list[str]:
    """Set the processors of a UNet's spatial attention (motion modules keep theirs); returns the names of the reference features."""
    kind = ReferenceWriter if write else ReferenceReader
    processors: dict[str, Any] = {}
    for name, processor in unet.attn_processors.items():
        if "motion_modules" in name:
            processors[name] = processor
        elif name.endswith("attn1.processor"):
            processors[name] = kind(name)
        else:
            processors[name] = CrossAttention()
    names = [name for name in processors if name.endswith("attn1.processor") and "motion_modules" not in name]
    unet.set_attn_processor(processors)  # empties the dict it is given
    return names


class ReferenceNet(nn.Module):
    """A UNet of the renderer's size over the portrait's clean latents, at timestep 0."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet
        self.names = install_processors(unet, write=True)
        for parameter in self.unread_parameters():
            parameter.requires_grad_(False)  # else DDP waits for gradients that never come

    def unread_parameters(self) -> list[nn.Parameter]:
        """What lies behind the last self-attention input: it changes nothing that is read."""
        tail: list[nn.Module | None] = [self.unet.conv_norm_out, self.unet.conv_out]
        for level in reversed(self.unet.up_blocks):
            block: Any = level
            if not getattr(block, "has_cross_attention", False):
                tail.append(block)
                continue
            last = block.attentions[-1]
            inner = last.transformer_blocks[-1]
            tail += [inner.attn1, inner.norm2, inner.attn2, inner.norm3, inner.ff, last.proj_out, block.upsamplers]
            break
        return [parameter for module in tail if module is not None for parameter in module.parameters()]

    def forward(self, latents: Float[Tensor, "batch channel rows columns"], embedding: Float[Tensor, "batch token dim"]) -> ReferenceFeatures:
        features: ReferenceFeatures = {}
        timestep = torch.zeros(len(latents), dtype=torch.long, device=latents.device)
        self.unet(latents, timestep, embedding, cross_attention_kwargs={"reference": features})
        return features
