"""Sizes and choices of stage 3. Defaults are the paper's; the helps of the small runs are off."""

from dataclasses import dataclass
from typing import Literal

SCHEDULE_KEYS = ("prediction", "beta_start", "beta_end", "beta_schedule", "zero_terminal_snr", "train_timesteps")
"""The noise schedule: two phases that differ in one of these do not fit together (peers mix them and get flicker)."""


@dataclass(frozen=True)
class VideoDiffusionConfig:
    """Everything that decides the shape and the mathematics of the renderer; stored in the checkpoint as a plain dict."""

    height: int = 896
    """Picture height in pixels."""
    width: int = 512
    """Picture width in pixels."""

    autoencoder: str = ""
    """Folder of a diffusers AutoencoderKL (SD1.5's `vae`). Weights stay by path. Empty only with `patch_size`."""
    patch_size: int = 0
    """> 0: no autoencoder, latents are an orthogonal projection of patches of this side (small runs from nothing)."""
    sample_latents: bool = False
    """Targets are drawn from the autoencoder's posterior; else they are its mean."""
    latent_channels: int = 4
    """Channels of the latents; with `patch_size` at most 3·patch_size²."""

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    attention_levels: tuple[bool, ...] = (True, True, True, False)
    """Levels of the UNet with spatial self- and cross-attention, finest first."""
    layers_per_block: int = 2
    attention_heads: int = 8
    """Heads at every level (SD1.5)."""
    cross_attention_dim: int = 768
    norm_groups: int = 32

    temporal: bool = False
    """UNet with motion modules (phase b)."""
    temporal_heads: int = 8
    temporal_positions: int = 32
    """Length of the motion modules' position table (AnimateDiff: 32)."""

    codes_width: int = 180
    """Width of a frame's codebook vectors: parts · slots · code width of the VQ-VAE."""
    motion_decoder: bool = True
    """Codes → AdaIN maps added to the UNet's skips and middle."""
    motion_map: tuple[int, int] = (14, 8)
    """Height and width of the learnable start map."""
    motion_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    """Channels of the motion decoder's scales, finest first; the start map has the last."""
    motion_width: int = 512
    """Width of the temporal attention that mixes the codes of a window."""
    motion_layers: int = 2
    motion_heads: int = 8
    pose_guider: bool = False
    """Baseline PG: skeleton picture → small conv net added at the UNet's first convolution."""
    guided_by: Literal["tokens", "pose"] = "tokens"
    """What pose guider and limb warp are shown: keypoints decoded from the tokens, or the true ones where there are any ("GT pose + PG")."""

    reference_net: bool = True
    """A second UNet reads the portrait; without it nothing but the embedding and the helps tell of the portrait (for ablations)."""
    image_encoder: str = ""
    """Folder of a transformers CLIPVisionModelWithProjection for cross-attention; empty = a learned null embedding."""

    gradient_checkpointing: bool = False
    """Compute activations of both UNets again in the backward pass: a third more time, a fraction of the memory."""

    window_frames: int = 16
    window_overlap: int = 4

    prediction: Literal["v_prediction", "epsilon", "sample"] = "v_prediction"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["scaled_linear", "linear"] = "scaled_linear"
    zero_terminal_snr: bool = True
    train_timesteps: int = 1000
    min_snr_gamma: float = 5.0
    """0 = every timestep weighs the same."""
    noise_offset: float = 0.05
    condition_drop: float = 0.1
    """Share of training items without portrait condition, which gives guidance."""
    dropped_reference: Literal["zeros", "absent"] = "zeros"
    """What self-attention reads of a portrait that is dropped: features of zeros, or nothing (AnimateAnyone's weights)."""
    steps: int = 30
    """DDIM steps when sampling, trailing spacing."""
    guidance: float = 3.5

    portrait_input: bool = False
    """Help: the portrait's latent joins the UNet's input channels."""
    limb_warp: bool = False
    """Help: the portrait warped limb by limb from its pose to the target pose joins the input, with the soft person mask."""
    gate: bool = False
    """Help, needs `prediction: sample`: x̂ = base + m·network with a gate m in [0, 1]; base = the warped portrait, or the portrait."""
    portrait_colours: bool = False
    """Help: cross-attention reads the portrait's colours along its limbs."""
    motion_input: int = 0
    """Help: this many channels of the motion decoder's finest map join the UNet's input (the additional residuals reach only its up path)."""
    heatmap_weight: float = 0.0
    """Help: weight of the loss that asks the motion decoder for key-point heat maps."""
    heatmap_steps: int = 0
    """Help: the first steps teach the motion decoder these heat maps alone, on all frames of the windows."""
    terminal_share: float = 0.0
    """Help: share of training items at the last timestep (pure noise), where sampling with few steps starts."""
    l1_weight: float = 0.0
    """Help: absolute instead of squared error in pictures, mixed into the loss with this weight."""

    def __post_init__(self) -> None:
        for name in ("block_out_channels", "attention_levels", "motion_map", "motion_channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.attention_levels) != len(self.block_out_channels):
            raise ValueError(f"attention_levels {self.attention_levels} and block_out_channels {self.block_out_channels} differ in length.")
        if self.gate and self.prediction != "sample":
            raise ValueError(f"gate mixes pictures and needs prediction 'sample', not {self.prediction!r}.")
        if self.heatmap_steps and not (self.heatmap_weight and self.motion_decoder):
            raise ValueError(f"heatmap_steps {self.heatmap_steps} teach the motion decoder: set motion_decoder and heatmap_weight too.")
        if self.gate and not (self.limb_warp or self.portrait_input):
            raise ValueError("gate needs a base picture: set limb_warp or portrait_input.")
        if self.window_overlap >= self.window_frames:
            raise ValueError(f"window_overlap {self.window_overlap} must be smaller than window_frames {self.window_frames}.")
        if self.temporal and self.window_frames > self.temporal_positions:
            raise ValueError(f"window_frames {self.window_frames} must not exceed temporal_positions {self.temporal_positions}.")
        if self.height % self.total_stride or self.width % self.total_stride:
            raise ValueError(f"Pictures of {self.height}×{self.width}: both sides must be multiples of {self.total_stride}.")

    @property
    def latent_stride(self) -> int:
        """Pixels per latent cell."""
        return self.patch_size or 8

    @property
    def total_stride(self) -> int:
        return self.latent_stride * 2 ** (len(self.block_out_channels) - 1)

    @property
    def latent_size(self) -> tuple[int, int]:
        return self.height // self.latent_stride, self.width // self.latent_stride

    @property
    def schedule(self) -> dict[str, object]:
        """The keys that both phases and the sampler must share."""
        return {key: getattr(self, key) for key in SCHEDULE_KEYS}
