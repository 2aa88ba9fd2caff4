"""Fast decoding of one window: keys and values are kept, weights are laid out for one position at a time, embeddings are summed beforehand.

The reference is `MotionGPT.forward`; both give the same logits (tests). What a step must read at least is every weight of the blocks once and
every key and value once: the rest of this file avoids anything else. Figures in `docs/experiments.md`, measured by `benchmarks/decoding.py`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.motion_gpt.model import MotionGPT, Segment
from xdancer.motion_gpt.rotary import rotate
from xdancer.motion_gpt.transformer import Block

WIDE = 256
"""From this width on matrices are packed in a layout of their library's; below, calling it costs more than reading them faster gains."""
LOW = 2.0**-11
"""A number of 24 bits is its nearest fp16 number plus `LOW` times another, to 22 bits."""

Function = Callable[[Tensor], Tensor]


class _Layer(NamedTuple):
    """One block's normalisations and matrices."""

    norm_1: Function
    attention: Function
    projection: Function
    norm_2: Function
    widen: Function
    narrow: Function
    cache: Float[Tensor, "2 batch head width position"]


class Decoder:
    """A model made ready for decoding; it holds copies of the weights, so build it anew when they have changed.

    `begin` a window, then ask for the `logits` of one position after another and write what was drawn into `row`. The memory of a window is
    taken once and used again as long as the batch stays.

    Args:
        gpt: the model.
        half: large matrices of the blocks in 16 bit, half of what a step reads: fp16 under fp32 activations where FBGEMM is (x86), else
            bf16. None: as autocast is on or off when the first window begins.
    """

    row: Int[Tensor, "batch column group"]
    """Tokens of the window as `MotionGPT.token_row` gives them; `TokenLayout.segment_column` is where the segment begins."""
    cache: Float[Tensor, "layer 2 batch head width position"]
    """Keys and values, those of the first `filled` positions. Positions lie side by side in the memory of `WIDE` models on a CPU, whose single
    queries read them twice as fast so; elsewhere the numbers of a position do, and this is a view."""

    def __init__(self, gpt: MotionGPT, *, half: bool | None = None) -> None:
        self.gpt, self.half, self.filled = gpt, half, 0
        self.cache = torch.empty(0, 2, 0, gpt.config.heads, 0, 0)

    @torch.no_grad()
    def begin(self, segment: Segment) -> None:
        """Start a window. Which of the segment's motion is read `logits` decides: the tokens before its position."""
        gpt, device = self.gpt, segment.motion.device
        half = torch.is_autocast_enabled(device.type) if self.half is None else self.half
        with torch.autocast(device.type, enabled=False):
            if self.cache.shape[2] != len(segment.motion):
                self._prepare(len(segment.motion), half)
            self.row = gpt.token_row(replace(segment, motion=segment.motion.clamp_min(0)))
            self._beside = _beside_tokens(gpt, segment)
        self.filled = 0

    def _prepare(self, rows: int, half: bool) -> None:
        """Memory and weights for a batch of `rows`."""
        gpt, config = self.gpt, self.gpt.config
        self._side_by_side = gpt.head.device.type == "cpu" and config.width >= WIDE
        shape, numbers, positions = (config.layers, 2, rows, config.heads), config.width // config.heads, gpt.layout.window
        if self._side_by_side:
            self.cache = torch.empty(*shape, numbers, positions)
        else:
            self.cache = torch.empty(*shape, positions, numbers, device=gpt.head.device).transpose(-1, -2)
        self._layers = [_layer(block, cache, half) for block, cache in zip(gpt.transformer.h, self.cache, strict=True)]
        self._last_norm, self._heads = _norm(gpt.transformer.ln_f), [head.T for head in gpt.head]
        self._table, self._offsets = _token_table(gpt)

    @torch.inference_mode()
    def logits(self, stop: int) -> Float[Tensor, "batch group code"]:
        """Read all positions before `stop` that are not read yet; the logits of the tokens that belong at position `stop`."""
        alone = self.gpt.config.width < WIDE and stop - self.filled == 1
        with torch.autocast(self.row.device.type, enabled=False), _threads(1 if alone else None):  # number formats are the decoder's own
            features = self.gpt.by_token(self._read(stop)[:, -1:])[:, 0]
            return features @ self._heads[self.gpt.layout.part(stop)]

    def _read(self, stop: int) -> Float[Tensor, "batch position width"]:
        """Features of the positions before `stop` that are not read yet."""
        start, self.filled = self.filled, stop
        mask = None
        if start and stop - start > 1:  # several positions behind earlier ones, such as a run of locked tokens
            mask = torch.ones(stop - start, stop, dtype=torch.bool, device=self.row.device).tril(start)
        x = self._embed(start, stop)
        for layer in self._layers:
            x = x + self._attend(layer, x, start, stop, mask)
            x = x + layer.narrow(F.gelu(layer.widen(layer.norm_2(x)), approximate="tanh"))
        return self._last_norm(x)

    def _attend(self, layer: _Layer, x: Tensor, start: int, stop: int, mask: Bool[Tensor, "query key"] | None) -> Tensor:
        batch, length, width = x.shape
        grid = layer.attention(layer.norm_1(x)).view(batch, length, 3, layer.cache.shape[2], -1).permute(2, 0, 3, 1, 4)
        if self.gpt.turn is not None:
            grid = torch.cat([rotate(grid[:2], self.gpt.turn[start:stop]), grid[2:]])
        layer.cache.narrow(4, start, length).copy_(grid[1:].transpose(-1, -2))
        keys, values = layer.cache.narrow(4, 0, stop).unbind()
        if length == 1 and self._side_by_side:
            weights = torch.matmul(grid[0] * grid.shape[-1] ** -0.5, keys).softmax(-1)
            y = torch.matmul(weights, values.transpose(-1, -2))
        else:
            keys, values = keys.transpose(-1, -2), values.transpose(-1, -2)
            y = F.scaled_dot_product_attention(grid[0], keys, values, attn_mask=mask, is_causal=mask is None and length > 1)
        return layer.projection(y.transpose(1, 2).reshape(batch, length, width))

    def _embed(self, start: int, stop: int) -> Float[Tensor, "batch position width"]:
        lead = self.gpt.layout.music_length
        beside = self._beside[:, start:stop]
        sources = self.gpt.sources[max(start - lead, 0) : stop - lead]
        entries = (self.row[:, sources] + self._offsets).flatten(0, 1).flatten(1)
        tokens = F.embedding_bag(entries, self._table, mode="sum").view(len(self.row), len(sources), -1)
        return beside + tokens if start >= lead else beside + F.pad(tokens, (0, 0, lead - start, 0))


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """So many threads; None: as many as there are. Products of microseconds are over before a second thread has woken on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _layer(block: nn.Module, cache: Tensor, half: bool) -> _Layer:
    """The block's functions, and its part of the cache (key and value, batch, head, position, width)."""
    assert isinstance(block, Block)
    attention, mlp, rows = block.attn, block.mlp, cache.shape[1]
    matrices = [_linear(matrix, half, rows) for matrix in (attention.c_attn, attention.c_proj, mlp.c_fc, mlp.c_proj)]
    return _Layer(_norm(block.ln_1), matrices[0], matrices[1], _norm(block.ln_2), matrices[2], matrices[3], cache)


def _norm(norm: nn.LayerNorm) -> Function:
    """The layer as a function without a module's hooks, which cost a small model a tenth of its time."""
    return partial(torch.layer_norm, normalized_shape=norm.normalized_shape, weight=norm.weight, bias=norm.bias, eps=norm.eps)


def _linear(layer: nn.Linear, half: bool, rows: int) -> Function:
    """The layer as a function that is fast for a few rows at a time: what counts is how its weights lie in memory."""
    weight, bias, cpu = layer.weight.detach(), layer.bias.detach(), layer.weight.device.type == "cpu"
    fbgemm, wide = cpu and "fbgemm" in torch.backends.quantized.supported_engines, min(weight.shape) >= WIDE
    if half and wide and fbgemm:
        return _fp16(weight, bias)
    if half and (wide or not cpu):
        weight, bias = weight.bfloat16(), bias.bfloat16()
        return lambda x: F.linear(x.bfloat16(), weight, bias).float()
    if cpu and wide and rows == 1 and torch.backends.cpu.get_cpu_capability() != "AVX512":
        across = weight.T.contiguous()
        return lambda x: torch.addmm(bias, x.flatten(0, -2), across).unflatten(0, x.shape[:-1])
    if fbgemm and wide and rows <= 2:
        return _two_fp16(weight, bias)
    if cpu and wide and rows > 2 and torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    if weight.shape[0] >= weight.shape[1]:  # memory is read fastest along the longer side
        weight = weight.T.contiguous().T
    return lambda x: F.linear(x, weight, bias)


def _fp16(weight: Tensor, bias: Tensor) -> Function:
    """Weights of fp16, inputs and sums of fp32."""
    packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)
    return lambda x: torch.ops.quantized.linear_dynamic_fp16(x, packed)


def _two_fp16(weight: Tensor, bias: Tensor) -> Function:
    """Weights as sums of two fp16 numbers, as many bytes as fp32, read faster.

    With AVX512 one and two rows take 15 and 16 ms through GPT-2 small's matrices; the best products of fp32 matrices that torch has take 19
    and 30. With AVX2 one row takes 47 ms, in fp32 35.
    """
    high = weight.half().float()
    product = _fp16(torch.cat([high, (weight - high) / LOW], dim=1), bias)
    scales = torch.tensor([[1.0], [LOW]])
    return lambda x: product((x.unsqueeze(-2) * scales).flatten(-2))


def _token_table(gpt: MotionGPT) -> tuple[Float[Tensor, "entry width"], Int[Tensor, "back group"]]:
    """Every token's share in the input of the blocks, for each of the places where a token enters; and where each place's rows begin."""
    config = gpt.config
    tokens, places = gpt.tokens.weight * config.width**0.5, (1 + config.previous_frames) * config.group
    shares = gpt.fuse.weight[:, : places * config.width].unflatten(1, (places, config.width))
    offsets = torch.arange(places, device=tokens.device) * len(tokens)
    return torch.einsum("tw,vpw->ptv", tokens, shares).reshape(-1, config.width), offsets.view(-1, config.group)


def _beside_tokens(gpt: MotionGPT, segment: Segment) -> Float[Tensor, "batch position width"]:
    """What enters at every position of the window besides its tokens: music, what kind of token is read, the place."""
    width = gpt.config.width
    music = F.linear(gpt.embed_music(segment), gpt.fuse.weight[:, -width:], gpt.fuse.bias)[:, gpt.music_rows] + gpt.kinds(gpt.token_kind)
    return torch.cat([gpt.embed_prefix(segment), gpt.placed(music, gpt.layout.music_length, gpt.layout.window)], dim=1)
