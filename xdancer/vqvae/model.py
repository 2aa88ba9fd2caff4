"""Stage 1: compositional, confidence-aware VQ-VAE of single-frame poses (paper: Compositional Confidence-Aware Pose Tokenization)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdancer.skeleton import KEYPOINT_COUNT, PART_KEYPOINTS
from xdancer.types import MotionTokens, PoseBatch
from xdancer.vqvae.codebook import Codebook, Quantized


@dataclass(frozen=True)
class VQVAEConfig:
    """Sizes of the tokenizer; the defaults are the paper's, or ours where it is silent."""

    slots: int = 6
    """Tokens per part and frame."""
    codes: int = 512
    """Vectors in a part's codebook."""
    code_width: int = 6
    """Length of a code."""
    encoder_width: int = 128
    """Channels of the convolutions over a part's keypoints."""
    encoder_depth: int = 3
    """Residual blocks per part encoder."""
    decoder_width: int = 1024
    """Width of the shared decoder."""
    decoder_depth: int = 3
    """Residual blocks of the shared decoder."""
    beta: float = 0.25
    """Weight of the commitment loss."""
    ema_decay: float = 0.99
    """Share of the codebook's moving averages kept per step."""
    revival_share: float = 0.3
    """A code used less than this share of an even use is revived."""
    invisible_weight: float = 0.02
    """Weight of the position of a keypoint with confidence 0; a fully visible one weighs 1."""
    confidence_weight: float = 0.05
    """Weight of the confidence channel beside the two coordinates."""
    single_part: bool = False
    """Ablation: one encoder and one codebook for the whole body, the same number of tokens per frame."""

    @property
    def part_keypoints(self) -> tuple[tuple[int, ...], ...]:
        """Keypoints of each part, in token order."""
        return (tuple(range(KEYPOINT_COUNT)),) if self.single_part else tuple(PART_KEYPOINTS.values())

    @property
    def parts(self) -> int:
        """Parts with a codebook of their own."""
        return len(self.part_keypoints)

    @property
    def part_slots(self) -> int:
        """Tokens per part (the single part carries those of all five)."""
        return self.slots * (len(PART_KEYPOINTS) if self.single_part else 1)


@dataclass(frozen=True)
class VQVAEOutput:
    """A reconstruction with what the losses need."""

    pose: PoseBatch
    tokens: MotionTokens
    quantized: Quantized


class ConvBlock(nn.Module):
    """Residual convolution along the keypoints of a part."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, kernel_size=3, padding=1)
        self.second = nn.Conv1d(width, width, kernel_size=1)

    def forward(self, x: Float[Tensor, "pose width keypoint"]) -> Float[Tensor, "pose width keypoint"]:
        return x + self.second(F.relu(self.first(F.relu(x))))


class DenseBlock(nn.Module):
    """Residual two-layer perceptron of the shared decoder; without a norm, which would take the size of a movement away."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "pose width"]) -> Float[Tensor, "pose width"]:
        return x + self.second(F.gelu(self.first(F.gelu(x))))


class PartEncoder(nn.Module):
    """Keypoints and confidence of one part → its latents, one per slot.

    Convolutions along the keypoints beside a linear map: position and size of the part are linear, and learned at once.
    """

    def __init__(self, *, keypoints: int, width: int, depth: int, slots: int, code_width: int) -> None:
        super().__init__()
        self.slots = slots
        self.enter = nn.Conv1d(3, width, kernel_size=3, padding=1)
        self.place = nn.Parameter(torch.randn(width, keypoints) * 0.02)  # which keypoint a column is
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
        self.leave = nn.Sequential(nn.Linear(width * keypoints, 4 * width), nn.ReLU(), nn.Linear(4 * width, slots * code_width))
        self.linear = nn.Linear(keypoints * 3, slots * code_width)

    def forward(self, points: Float[Tensor, "pose keypoint 3"]) -> Float[Tensor, "pose slot width"]:
        x = self.blocks(self.enter(points.transpose(1, 2)) + self.place)
        return (self.leave(F.relu(x).flatten(1)) + self.linear(points.flatten(1))).unflatten(1, (self.slots, -1))


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Context without autocast: tokens and their poses must not depend on the precision of the stage that uses them."""
    return torch.autocast(device.type, enabled=False)


class VQVAE(nn.Module):
    """Five part encoders, five codebooks, one shared decoder with a projection head per part; every frame by itself."""

    def __init__(self, config: VQVAEConfig = VQVAEConfig()) -> None:
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleList(
            PartEncoder(
                keypoints=len(points), width=config.encoder_width, depth=config.encoder_depth,
                slots=config.part_slots, code_width=config.code_width,
            )
            for points in config.part_keypoints
        )  # fmt: skip
        self.codebook = Codebook(
            parts=config.parts, codes=config.codes, width=config.code_width, decay=config.ema_decay, revival_share=config.revival_share
        )
        self.decoder = nn.Sequential(
            nn.Linear(config.parts * config.part_slots * config.code_width, config.decoder_width),
            *(DenseBlock(config.decoder_width) for _ in range(config.decoder_depth)),
        )
        self.heads = nn.ModuleList(nn.Linear(config.decoder_width, len(points) * 3) for points in config.part_keypoints)
        order = torch.tensor([keypoint for points in config.part_keypoints for keypoint in points])
        self.register_buffer("unsort", order.argsort(), persistent=False)  # from part order back to skeleton order

    unsort: Tensor

    def forward(self, pose: PoseBatch) -> VQVAEOutput:
        """Reconstruct poses through their tokens.

        In training mode the codebooks follow, and encoders and decoder run in the precision around; else as `encode` and `decode` do.
        """
        batch, frames = pose.confidence.shape[:2]
        with nullcontext() if self.training else in_float32(pose.confidence.device):
            quantized = self.codebook(self._latents(pose))
            codes = quantized.straight_through.flatten(1).unflatten(0, (batch, frames))
            tokens = MotionTokens(quantized.ids.unflatten(0, (batch, frames)))
            return VQVAEOutput(pose=self._pose(codes), tokens=tokens, quantized=quantized)

    def encode(self, pose: PoseBatch) -> MotionTokens:
        """The tokens of poses, in float32 whatever the precision around: bfloat16 would choose other codes."""
        with in_float32(pose.confidence.device):
            return MotionTokens(self.codebook.nearest(self._latents(pose)).unflatten(0, pose.confidence.shape[:2]))

    def decode(self, tokens: MotionTokens) -> PoseBatch:
        """The poses of tokens."""
        return self.decode_codes(self.codes(tokens))

    def codes(self, tokens: MotionTokens) -> Float[Tensor, "batch frame code"]:
        """Codes of all parts and slots of a frame side by side: what the motion decoder of stage 3 reads."""
        return self.codebook.lookup(tokens.ids).flatten(2)

    def decode_codes(self, codes: Float[Tensor, "batch frame code"]) -> PoseBatch:
        """Poses of code vectors in float32, whatever the precision around; differentiable."""
        with in_float32(codes.device):
            return self._pose(codes.float())

    def _pose(self, codes: Float[Tensor, "batch frame code"]) -> PoseBatch:
        hidden = self.decoder(codes.flatten(0, 1))
        points = torch.cat([head(hidden).unflatten(1, (-1, 3)) for head in self.heads], dim=1)[:, self.unsort]
        points = points.unflatten(0, codes.shape[:2])
        return PoseBatch(points[..., :2], points[..., 2].sigmoid())

    def _latents(self, pose: PoseBatch) -> Float[Tensor, "pose part slot width"]:
        points = torch.cat([pose.keypoints, pose.confidence[..., None]], dim=-1).flatten(0, 1).float()
        parts = zip(self.encoders, self.config.part_keypoints, strict=True)
        return torch.stack([encoder(points[:, list(keypoints)]) for encoder, keypoints in parts], dim=1)
