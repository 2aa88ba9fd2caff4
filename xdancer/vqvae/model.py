"""Stage 1: compositional, confidence-aware VQ-VAE of single-frame poses (paper: Compositional Confidence-Aware Pose Tokenization)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdancer.skeleton import KEYPOINT_COUNT, PART_KEYPOINTS
from xdancer.types import MotionTokens, PoseBatch
from xdancer.vqvae.codebook import Codebook, Quantized
from xdancer.vqvae.encoder import PartEncoders
from xdancer.vqvae.fsq import FiniteScalarCodebook


@dataclass(frozen=True)
class VQVAEConfig:
    """Sizes of the tokenizer; the defaults are the paper's, or ours where it is silent."""

    slots: int = 6
    """Tokens per part and frame."""
    codes: int = 512
    """Vectors in a part's codebook."""
    code_width: int = 6
    """Length of a code."""
    encoder_channels: int = 16
    """Channels of the convolutions over a part's keypoints."""
    encoder_convolutions: int = 1
    """Residual convolutions per part encoder."""
    encoder_width: int = 512
    """Width of the dense layers behind the convolutions."""
    encoder_bottleneck: int = 128
    """Width inside a residual dense block of an encoder."""
    encoder_depth: int = 1
    """Residual dense blocks per part encoder."""
    decoder_width: int = 512
    """Width of the shared decoder."""
    decoder_depth: int = 2
    """Residual blocks of the shared decoder."""
    beta: float = 0.25
    """Weight of the commitment loss."""
    ema_decay: float = 0.99
    """Share of the codebook's moving averages kept per step."""
    revival_share: float = 0.3
    """A code used less than this share of an even use is revived."""
    confidence_weighted: bool = True
    """Whether the position of a keypoint weighs by its confidence; off, all weigh 1."""
    invisible_weight: float = 0.02
    """Weight of the position of a keypoint with confidence 0; a fully visible one weighs 1."""
    confidence_weight: float = 0.05
    """Weight of the confidence channel beside the two coordinates."""
    single_part: bool = False
    """Ablation: one encoder and one codebook for the whole body, the same number of tokens per frame."""
    fsq_levels: tuple[int, ...] = ()
    """Finite scalar quantisation instead of learned codebooks: levels of each number of a code, such as (8, 8, 8); empty for codebooks."""

    def __post_init__(self) -> None:
        wanted = {"code_width": len(self.fsq_levels), "codes": prod(self.fsq_levels), "beta": 0.0}
        wrong = [f"{name} {getattr(self, name)}" for name, value in wanted.items() if getattr(self, name) != value]
        if self.fsq_levels and wrong:
            needs = ", ".join(f"{name} {value}" for name, value in wanted.items())
            raise ValueError(f"fsq_levels {self.fsq_levels} needs {needs} (its codes do not move); got {', '.join(wrong)}. Set them alike.")

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


class DenseBlock(nn.Module):
    """Residual two-layer perceptron of the shared decoder; without a norm, which would take the size of a movement away."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "pose width"]) -> Float[Tensor, "pose width"]:
        return x + self.second(F.gelu(self.first(F.gelu(x))))


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Context without autocast: tokens and their poses must not depend on the precision of the stage that uses them."""
    return torch.autocast(device.type, enabled=False)


def make_codebook(config: VQVAEConfig) -> Codebook | FiniteScalarCodebook:
    """Learned codebooks, or the grid of codes."""
    if config.fsq_levels:
        return FiniteScalarCodebook(config.fsq_levels)
    return Codebook(parts=config.parts, codes=config.codes, width=config.code_width, decay=config.ema_decay, revival_share=config.revival_share)


class VQVAE(nn.Module):
    """Five part encoders, five codebooks, one shared decoder with a projection head per part; every frame by itself."""

    def __init__(self, config: VQVAEConfig = VQVAEConfig()) -> None:
        super().__init__()
        self.config = config
        self.encoder = PartEncoders(
            config.part_keypoints, channels=config.encoder_channels, conv_depth=config.encoder_convolutions, width=config.encoder_width,
            inside=config.encoder_bottleneck, depth=config.encoder_depth, latents=(config.part_slots, config.code_width),
        )  # fmt: skip
        self.codebook = make_codebook(config)
        self.decoder = nn.Sequential(
            nn.Linear(config.parts * config.part_slots * config.code_width, config.decoder_width),
            *(DenseBlock(config.decoder_width) for _ in range(config.decoder_depth)),
        )
        self.heads = nn.Linear(config.decoder_width, KEYPOINT_COUNT * 3)  # rows by keypoint: those of a part are its projection head

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
        points = self.heads(hidden).unflatten(1, (KEYPOINT_COUNT, 3)).unflatten(0, codes.shape[:2])
        return PoseBatch(points[..., :2], points[..., 2].sigmoid())

    def _latents(self, pose: PoseBatch) -> Float[Tensor, "pose part slot width"]:
        points = torch.cat([pose.keypoints, pose.confidence[..., None]], dim=-1).flatten(0, 1).float()
        return self.encoder(points)
