"""Motion decoder: the codes of a 16-frame window become guidance at the UNet's scales (paper: AdaIN on a learnable map, upsampling, addition).

Sizes, the temporal attention over the window and the zero-initialised outputs are our choice (PAPER.md, stage 3).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class MotionFeatures:
    """What enters the UNet, frames folded into the batch."""

    down: list[Tensor]
    """One (batch·frame, channel, rows, columns) per skip connection, finest first."""
    middle: Tensor
    finest: Tensor
    """The decoder's finest map: heat-map loss, and the UNet's input where `motion_input` is on."""


def skip_channels(channels: tuple[int, ...], layers: int) -> list[tuple[int, int]]:
    """(scale, channels) of a diffusers UNet's skip connections, in the order of `down_block_additional_residuals`."""
    skips = [(0, channels[0])]
    for scale, width in enumerate(channels):
        skips += [(scale, width)] * layers
        if scale + 1 < len(channels):
            skips.append((scale + 1, width))
    return skips


def coordinate_map(channels: int, rows: int, columns: int) -> Float[Tensor, "1 channel rows columns"]:
    """Random directions of low-frequency waves over the plane: neighbouring cells start out distinguishable, and similar."""
    with torch.device("cpu"):  # where the generator is, whatever the model is built on
        generator = torch.Generator().manual_seed(0)
        y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        frequency = torch.randn(channels, 2, generator=generator) * 2.0
        phase = torch.rand(channels, generator=generator) * 2 * math.pi
        waves = torch.sin(frequency[:, :1, None] * x + frequency[:, 1:, None] * y + phase[:, None, None])[None]
    return waves.to(torch.get_default_device())


def zero_convolution(channels: int, out_channels: int, *, kernel: int = 1) -> nn.Conv2d:
    """Convolution that keeps the size and says nothing at the start."""
    convolution = nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2)
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution


class AdaIN(nn.Module):
    """Instance normalisation whose scale and shift come from the style of the frame."""

    def __init__(self, channels: int, style_width: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.affine = nn.Linear(style_width, 2 * channels)

    def forward(self, maps: Float[Tensor, "batch channel rows columns"], style: Float[Tensor, "batch width"]) -> Tensor:
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        return self.norm(maps) * (1 + scale) + shift


class AdaINBlock(nn.Module):
    """Residual block of two convolutions, each behind AdaIN."""

    def __init__(self, channels: int, out_channels: int, style_width: int) -> None:
        super().__init__()
        self.first, self.second = AdaIN(channels, style_width), AdaIN(out_channels, style_width)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)

    def forward(self, maps: Float[Tensor, "batch channel rows columns"], style: Float[Tensor, "batch width"]) -> Tensor:
        hidden = self.conv1(F.silu(self.first(maps, style)))
        return self.shortcut(maps) + self.conv2(F.silu(self.second(hidden, style)))


class MotionStyle(nn.Module):
    """Codes of a window → one style vector per frame, mixed by temporal attention."""

    def __init__(self, *, codes_width: int, width: int, layers: int, heads: int, window: int) -> None:
        super().__init__()
        self.project = nn.Linear(codes_width, width)
        self.position = nn.Parameter(0.02 * torch.randn(window, width))
        options: dict[str, Any] = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.layers = nn.ModuleList([nn.TransformerEncoderLayer(width, heads, 2 * width, **options) for _ in range(layers)])
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU())

    def forward(self, codes: Float[Tensor, "batch frame code"]) -> Float[Tensor, "batch frame width"]:
        style = self.project(codes) + self.position[: codes.shape[1]]
        for layer in self.layers:
            style = layer(style)
        return self.out(style)


class MotionDecoder(nn.Module):
    """Codes → `MotionFeatures`. Its outputs are zero at the start: the UNet begins unchanged."""

    def __init__(
        self, *, style: MotionStyle, style_width: int, map_size: tuple[int, int], channels: tuple[int, ...], unet_channels: tuple[int, ...],
        unet_layers: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.style = style
        self.start = nn.Parameter(coordinate_map(channels[-1], *map_size))
        widths = [*channels, channels[-1]]
        self.blocks = nn.ModuleList([AdaINBlock(widths[scale + 1], widths[scale], style_width) for scale in range(len(channels))])
        self.skips = skip_channels(unet_channels, unet_layers)
        self.outputs = nn.ModuleList([zero_convolution(channels[scale], width) for scale, width in self.skips])
        self.middle = zero_convolution(channels[-1], unet_channels[-1])

    def forward(self, style: Float[Tensor, "batch width"], size: tuple[int, int]) -> MotionFeatures:
        """Maps for frames of these styles (from `self.style`); `size` = rows and columns of the latents."""
        maps = self.start.expand(len(style), -1, -1, -1)
        scales: dict[int, Tensor] = {}
        for scale in reversed(range(len(self.blocks))):
            shape = tuple(-(-side // 2**scale) for side in size)
            if maps.shape[-2:] != shape:
                maps = F.interpolate(maps, shape, mode="bilinear", align_corners=False)
            maps = self.blocks[scale](maps, style)
            scales[scale] = maps
        down = [output(scales[scale]) for output, (scale, _) in zip(self.outputs, self.skips, strict=True)]
        return MotionFeatures(down, self.middle(scales[len(self.blocks) - 1]), scales[0])
