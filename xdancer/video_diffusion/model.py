"""Stage 3: one portrait and motion codes → frames (paper: latent diffusion with ReferenceNet, temporal modules and a motion decoder)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.errors import XDancerError
from xdancer.types import PoseBatch, VideoLatents
from xdancer.video_diffusion.appearance import ClipEmbedding, NullEmbedding, PortraitColours
from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.video_diffusion.image_space import PatchSpace, VAESpace
from xdancer.video_diffusion.motion_decoder import MotionDecoder, MotionFeatures, MotionStyle
from xdancer.video_diffusion.noise import make_scheduler
from xdancer.video_diffusion.pose_guider import PoseGuider
from xdancer.video_diffusion.reference import ALL_ZERO, PRESENT, ReferenceFeatures, ReferenceNet, install_processors
from xdancer.video_diffusion.unet import UNet, build_motion_unet, build_unet2d, enable_checkpointing
from xdancer.video_diffusion.warp import LIMBS, LimbWarp, steadied

__all__ = ["Motion", "Portrait", "VideoDiffusion", "VideoDiffusionConfig"]


@dataclass(frozen=True)
class Portrait:
    """What the renderer knows of the portrait; computed once per portrait (and once with `keep` 0 for guidance)."""

    picture: Float[Tensor, "batch 3 height width"]
    pose: PoseBatch
    latents: Float[Tensor, "batch channel rows columns"]
    embedding: Float[Tensor, "batch token dim"]
    features: ReferenceFeatures
    keep: Float[Tensor, " batch"]
    """1, or 0 where the condition is dropped."""


@dataclass(frozen=True)
class Motion:
    """Guidance of some frames; computed once per window, not per denoising step."""

    decoder: MotionFeatures | None
    guider: Float[Tensor, "batchframe hidden rows columns"] | None
    inputs: Float[Tensor, "batch frame extra rows columns"] | None
    """Further input channels of the UNet (the helps)."""
    base: Float[Tensor, "batch frame channel rows columns"] | None
    """The gate's base picture, as latents."""


def repeated_portrait(portrait: Portrait, times: int) -> Portrait:
    """The same portraits, `times` times one behind the other in the batch."""
    if times == 1:
        return portrait

    def repeat(value: Tensor) -> Tensor:
        return torch.cat([value] * times)

    return Portrait(
        picture=repeat(portrait.picture), pose=PoseBatch(repeat(portrait.pose.keypoints), repeat(portrait.pose.confidence)),
        latents=repeat(portrait.latents), embedding=repeat(portrait.embedding),
        features={name: repeat(value) for name, value in portrait.features.items()}, keep=repeat(portrait.keep),
    )  # fmt: skip


def joined_motion(parts: Sequence[Motion]) -> Motion:
    """Guidance of several windows of one length, one behind the other in the batch."""
    if len(parts) == 1:
        return parts[0]

    def join(values: Sequence[Tensor | None]) -> Tensor | None:
        return None if values[0] is None else torch.cat(cast(list[Tensor], list(values)))

    decoder = None
    if parts[0].decoder is not None:
        features = [cast(MotionFeatures, part.decoder) for part in parts]
        down = [torch.cat(scale) for scale in zip(*(part.down for part in features), strict=True)]
        decoder = MotionFeatures(down, torch.cat([part.middle for part in features]), torch.cat([part.finest for part in features]))
    return Motion(decoder, *(join([getattr(part, name) for part in parts]) for name in ("guider", "inputs", "base")))


class VideoDiffusion(nn.Module):
    """The renderer. `encode_portrait` and `encode_motion` prepare the conditions, `forward` is one denoising step."""

    def __init__(self, config: VideoDiffusionConfig = VideoDiffusionConfig()) -> None:
        super().__init__()
        self.config = config
        self.scheduler = make_scheduler(config)
        channels = config.latent_channels
        self.image_space = PatchSpace(patch=config.patch_size, channels=channels) if config.patch_size else VAESpace(config.autoencoder)
        build = build_motion_unet if config.temporal else build_unet2d
        self.unet = build(config, in_channels=channels + self.extra_channels, out_channels=channels + config.gate)
        install_processors(self.unet, write=False)
        self.reference_net = ReferenceNet(build_unet2d(config, in_channels=channels, out_channels=channels)) if config.reference_net else None
        if config.gradient_checkpointing:
            for unet in self.spatial_unets.values():
                enable_checkpointing(unet)
        self.appearance = self._build_appearance()
        self.motion_decoder = self._build_motion_decoder() if config.motion_decoder else None
        self.pose_guider = PoseGuider(out_channels=config.block_out_channels[0], stride=config.latent_stride) if config.pose_guider else None
        self.heatmap_head = nn.Conv2d(config.motion_channels[0], 18, 1) if config.heatmap_weight else None
        self.motion_input = nn.Conv2d(config.motion_channels[0], config.motion_input, 1) if config.motion_input else None
        self.limb_warp = LimbWarp() if config.limb_warp else None
        if config.gate:
            for parameter in self.unet.conv_out.parameters():
                nn.init.zeros_(parameter)

    @property
    def spatial_unets(self) -> dict[str, UNet]:
        """By name, what starts from an image model's UNet."""
        return {"UNet": self.unet} | ({} if self.reference_net is None else {"ReferenceNet": self.reference_net.unet})

    @property
    def extra_channels(self) -> int:
        """Input channels of the UNet beyond the noisy latents."""
        config = self.config
        warp = config.latent_channels + len(LIMBS) if config.limb_warp else 0
        return config.portrait_input * config.latent_channels + warp + config.motion_input

    def _build_appearance(self) -> nn.Module:
        config = self.config
        if config.portrait_colours:
            return PortraitColours(config.cross_attention_dim)
        if config.image_encoder:
            return ClipEmbedding(config.image_encoder, config.cross_attention_dim)
        return NullEmbedding(config.cross_attention_dim)

    def _build_motion_decoder(self) -> MotionDecoder:
        config = self.config
        style = MotionStyle(
            codes_width=config.codes_width, width=config.motion_width, layers=config.motion_layers, heads=config.motion_heads,
            window=config.window_frames,
        )  # fmt: skip
        return MotionDecoder(
            style=style, style_width=config.motion_width, map_size=config.motion_map, channels=config.motion_channels,
            unet_channels=config.block_out_channels, unet_layers=config.layers_per_block,
        )  # fmt: skip

    def load_files(self) -> None:
        """Load what stays by path now instead of at first use.

        Raises:
            CheckpointError: a folder that the config names is missing or does not fit.
        """
        for part in (self.image_space, self.appearance):
            if isinstance(part, VAESpace | ClipEmbedding):
                part.load()

    @property
    def needs_pose(self) -> bool:
        """Whether frames need keypoints (decoded from their tokens) beside their codes."""
        return self.config.pose_guider or self.config.limb_warp

    def encode_portrait(
        self, picture: Float[Tensor, "batch 3 height width"], pose: PoseBatch, *, keep: Float[Tensor, " batch"] | None = None,
        cached: VideoLatents | None = None,
    ) -> Portrait:  # fmt: skip
        """Features of portraits in [-1, 1] and their one-frame poses; `keep` 0 drops the condition of an item.

        With `cached`, what the frozen networks make of them is taken from there.
        """
        whole = keep is None
        keep = torch.ones(len(picture), device=picture.device) if keep is None else keep
        latents = self.image_space.encode(picture) if cached is None else cached.reference
        known = None if cached is None else cached.embedding
        token = self.appearance(picture, pose) if known is None else cast(ClipEmbedding, self.appearance).token(known)
        embedding = token * keep[:, None, None]
        features = {} if self.reference_net is None else self.reference_net(latents, embedding)
        if self.config.dropped_reference == "zeros":
            features = {name: value * keep[:, None, None] for name, value in features.items()}
        elif not whole and features:
            features = features | {PRESENT: keep > 0}
        return Portrait(picture, pose, latents, embedding, features, keep)

    def drop(self, portrait: Portrait) -> Portrait:
        """The unconditional branch of guidance."""
        zero = torch.zeros_like(portrait.keep)
        absent = self.config.dropped_reference == "absent"
        features: ReferenceFeatures = {}
        if not absent and portrait.features:
            features = {name: value.new_zeros(()).expand_as(value) for name, value in portrait.features.items()} | {ALL_ZERO: zero}
        return replace(portrait, embedding=torch.zeros_like(portrait.embedding), features=features, keep=zero)

    def encode_motion(
        self, portrait: Portrait, codes: Float[Tensor, "batch frame code"], pose: PoseBatch | None, *,
        frame_index: Int[Tensor, "batch picture"] | None = None, known: Motion | None = None,
    ) -> Motion:  # fmt: skip
        """Guidance of the frames `frame_index` (default all of them, then at most a window).

        Of more than `window_frames` codes every picture gets the window around it. `known`: guidance of the same frames for another portrait,
        of which all that does not depend on the portrait is taken.

        Raises:
            XDancerError: this renderer needs keypoints and `pose` is None.
        """
        if frame_index is None:
            frame_index = torch.arange(codes.shape[1], device=codes.device).expand(len(codes), -1)
        if self.needs_pose:
            if pose is None:
                raise XDancerError("This renderer needs keypoints beside the codes (pose_guider or limb_warp): decode the tokens, pass `pose`.")
            pose = steadied(pose) if self.config.limb_warp else pose
            rows = torch.arange(len(codes), device=codes.device)[:, None]
            pose = PoseBatch(pose.keypoints[rows, frame_index], pose.confidence[rows, frame_index])
        decoder, guider = (None, None) if known is None else (known.decoder, known.guider)
        if known is None and self.motion_decoder is not None:
            decoder = self.decode_motion(codes, frame_index)
        if known is None and self.pose_guider is not None and pose is not None:
            guider = self.pose_guider(pose, *(side * self.config.latent_stride for side in portrait.latents.shape[-2:]))
        inputs, base = self._helps(portrait, pose, decoder, frame_index.shape[1])
        return Motion(decoder, guider, inputs, base)

    def decode_motion(
        self, codes: Float[Tensor, "batch frame code"], frame_index: Int[Tensor, "batch picture"] | None = None
    ) -> MotionFeatures:
        """Maps of the frames `frame_index` (default: all), each from the window around it; frames folded into the batch."""
        assert self.motion_decoder is not None
        if frame_index is None:
            frame_index = torch.arange(codes.shape[1], device=codes.device).expand(len(codes), -1)
        window = self.config.window_frames
        if codes.shape[1] > window:  # one window around every picture
            first = (frame_index - window // 2).clamp(0, codes.shape[1] - window)
            rows = torch.arange(len(codes), device=codes.device)[:, None, None]
            codes = codes[rows, first[..., None] + torch.arange(window, device=codes.device)].flatten(0, 1)
            frame_index = (frame_index - first).flatten()[:, None]
        style = self.motion_decoder.style(codes)
        style = style.gather(1, frame_index[..., None].expand(-1, -1, style.shape[-1])).flatten(0, 1)
        return self.motion_decoder(style, self.config.latent_size)

    def _helps(
        self, portrait: Portrait, pose: PoseBatch | None, decoder: MotionFeatures | None, frames: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """Input channels and base picture of the helps that are on."""
        still = (portrait.latents * portrait.keep[:, None, None, None])[:, None].expand(-1, frames, -1, -1, -1)
        inputs, base = [], still if self.config.gate else None
        if self.config.portrait_input:
            inputs.append(still)
        if self.limb_warp is not None and pose is not None:
            warped = self.limb_warp(portrait.picture, portrait.pose, pose)
            latents = self.image_space.encode(warped.picture.flatten(0, 1)).unflatten(0, warped.picture.shape[:2])
            latents = latents * portrait.keep[:, None, None, None, None]
            parts = F.adaptive_avg_pool2d(warped.parts.flatten(0, 1), self.config.latent_size).unflatten(0, latents.shape[:2])
            inputs += [latents, parts]
            base = latents if self.config.gate else None
        if self.motion_input is not None and decoder is not None:
            inputs.append(self.motion_input(decoder.finest).unflatten(0, (-1, frames)))
        return (torch.cat(inputs, dim=2) if inputs else None), base

    def forward(
        self, noisy: Float[Tensor, "batch frame channel rows columns"], timesteps: Int[Tensor, " batch"], portrait: Portrait, motion: Motion
    ) -> Float[Tensor, "batch frame channel rows columns"]:
        """The prediction of the schedule's kind (velocity, noise or clean latents) at one timestep per item."""
        batch, frames = noisy.shape[:2]
        sample = noisy if motion.inputs is None else torch.cat([noisy, motion.inputs], dim=2)
        attention = {"reference": portrait.features}
        residuals: dict[str, Any] = {}
        if motion.decoder is not None:
            residuals = {"down_block_additional_residuals": tuple(motion.decoder.down), "mid_block_additional_residual": motion.decoder.middle}
        guider = motion.guider

        def guide(_module: nn.Module, _inputs: Any, out: Any) -> Any:
            return out + guider

        hook = self.unet.conv_in.register_forward_hook(guide) if guider is not None else None
        try:
            if self.config.temporal:
                output = self.unet(sample.transpose(1, 2), timesteps, portrait.embedding, cross_attention_kwargs=attention, **residuals).sample
                output = output.transpose(1, 2)
            else:
                steps = timesteps.repeat_interleave(frames)
                output = self.unet(sample.flatten(0, 1), steps, portrait.embedding, cross_attention_kwargs=attention, **residuals).sample
                output = output.unflatten(0, (batch, frames))
        finally:
            if hook is not None:
                hook.remove()
        if not self.config.gate:
            return output
        assert motion.base is not None
        return motion.base + output[:, :, -1:].sigmoid() * output[:, :, :-1]
