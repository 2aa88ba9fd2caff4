"""Encoders of all body parts side by side: convolutions along the keypoints, then dense layers, each part with its own weights.

The convolutions run part by part, because padding five keypoints to a hand's 21 would waste more than a loop costs; behind them all parts are
equally wide and share one batched product per layer. Channels lie last, as in a pose: no transposed copies, and faster kernels on the CPU.
"""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class KeypointConv(nn.Conv2d):
    """Convolution of three taps along the keypoints of a part."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, kernel_size=(1, 3), padding=(0, 1))

    def forward(self, input: Float[Tensor, "pose keypoint channel"]) -> Float[Tensor, "pose keypoint width"]:
        return super().forward(input.transpose(1, 2)[:, :, None]).permute(0, 2, 3, 1).squeeze(1)


class ConvBlock(nn.Module):
    """Residual convolution along the keypoints of a part."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = KeypointConv(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "pose keypoint width"]) -> Float[Tensor, "pose keypoint width"]:
        return x + self.second(F.relu(self.first(F.relu(x))))


class PartConvolutions(nn.Module):
    """Keypoints and confidence of one part → one vector.

    A linear map of the plain numbers stands beside the convolutions: position and size of the part are linear, and learned at once.
    """

    def __init__(self, *, keypoints: int, channels: int, depth: int, width: int) -> None:
        super().__init__()
        self.enter = KeypointConv(3, channels)
        self.place = nn.Parameter(torch.randn(keypoints, channels) * 0.02)  # which keypoint a row is
        self.blocks = nn.Sequential(*(ConvBlock(channels) for _ in range(depth)))
        self.leave = nn.Linear(keypoints * channels, width)

    def forward(self, points: Float[Tensor, "pose keypoint 3"]) -> Float[Tensor, "pose width"]:
        return self.leave(F.relu(self.blocks(self.enter(points) + self.place)).flatten(1))


class PartLinear(nn.Module):
    """A linear map for every part, as one batched product."""

    def __init__(self, *, parts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5  # as nn.Linear starts
        self.weight = nn.Parameter(torch.empty(parts, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(parts, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "part pose input"]) -> Float[Tensor, "part pose output"]:
        return torch.baddbmm(self.bias, x, self.weight)


class PartBlock(nn.Module):
    """Residual two-layer perceptron for every part, narrower inside."""

    def __init__(self, *, parts: int, width: int, inside: int) -> None:
        super().__init__()
        self.first = PartLinear(parts=parts, inputs=width, outputs=inside)
        self.second = PartLinear(parts=parts, inputs=inside, outputs=width)

    def forward(self, x: Float[Tensor, "part pose width"]) -> Float[Tensor, "part pose width"]:
        return x + self.second(F.gelu(self.first(F.gelu(x))))


class PartEncoders(nn.Module):
    """Poses → the latents of every part, one per slot; a part sees its own keypoints only.

    Args:
        part_keypoints: keypoints of each part.
        channels: of the convolutions.
        conv_depth: residual convolutions per part.
        width: of the dense layers.
        inside: width inside a dense block.
        depth: residual dense blocks per part.
        latents: shape (slot, code width) of a part's latents.
    """

    def __init__(
        self, part_keypoints: Sequence[Sequence[int]], *, channels: int, conv_depth: int, width: int, inside: int, depth: int,
        latents: tuple[int, int],
    ) -> None:  # fmt: skip
        super().__init__()
        parts, self.latents = len(part_keypoints), latents
        self.part_keypoints = [list(keypoints) for keypoints in part_keypoints]
        sizes = [len(keypoints) for keypoints in part_keypoints]
        self.convolutions = nn.ModuleList(PartConvolutions(keypoints=size, channels=channels, depth=conv_depth, width=width) for size in sizes)
        self.linear = nn.ModuleList(nn.Linear(size * 3, prod(latents)) for size in sizes)
        self.blocks = nn.Sequential(*(PartBlock(parts=parts, width=width, inside=inside) for _ in range(depth)))
        self.leave = PartLinear(parts=parts, inputs=width, outputs=prod(latents))

    def forward(self, points: Float[Tensor, "pose keypoint 3"]) -> Float[Tensor, "pose part slot width"]:
        parts = [points[:, keypoints] for keypoints in self.part_keypoints]
        hidden = torch.stack([convolve(part) for convolve, part in zip(self.convolutions, parts, strict=True)])
        straight = torch.stack([linear(part.flatten(1)) for linear, part in zip(self.linear, parts, strict=True)])
        latents = self.leave(F.gelu(self.blocks(hidden))) + straight
        return latents.transpose(0, 1).unflatten(2, self.latents)
