"""Stage 3 as a Lightning system: phase (a) on single frames, phase (b) on 16 consecutive ones; one class, the config says which."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from xdancer.checkpoint import fingerprint, load_model, require_same_config, require_tokenizer
from xdancer.schedule import LRSchedule, SharedOptimizer, scheduled
from xdancer.types import MotionTokens, PoseBatch, VideoBatch, VideoSample
from xdancer.video_diffusion.handover import freeze_spatial, load_initial, require_codes_width
from xdancer.video_diffusion.image_space import PatchSpace
from xdancer.video_diffusion.loss import diffusion_loss, heatmap_loss
from xdancer.video_diffusion.model import Motion, Portrait, VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.noise import fixed_draws
from xdancer.video_diffusion.pretrained import load_pretrained
from xdancer.video_diffusion.sampling import decode_frames, render_video
from xdancer.vqvae.model import VQVAE


class VideoDiffusionModule(LightningModule):
    """Stage 3: one portrait and motion tokens → video (paper: Diffusion-based Video Synthesis)."""

    def __init__(
        self,
        config: VideoDiffusionConfig = VideoDiffusionConfig(),
        tokenizer: Path = Path("runs/vqvae/last.ckpt"),
        initial: Path | None = None,
        pretrained: Path | None = None,
        train_spatial: bool = True,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_schedule: LRSchedule = LRSchedule(),
    ) -> None:
        """Set up a phase.

        Args:
            config: sizes, noise schedule and helps.
            tokenizer: checkpoint of stage 1; frozen, and stored inside this stage's checkpoints.
            initial: checkpoint of the other phase to start from (phase b starts from phase a), or None.
            pretrained: Stable Diffusion 1.5 folder in diffusers' layout (`unet`, optionally `motion_adapter`), or None for random weights.
            train_spatial: train UNet, ReferenceNet and embeddings; False leaves the motion decoder and the temporal modules (phase b).
            optimizer: called with the parameters that train.
            lr_schedule: factor on its rate over the run.
        """
        super().__init__()
        self.tokenizer = load_model(tokenizer, VQVAE).requires_grad_(False)
        self.tokenizer_path = Path(tokenizer)
        self._tokenizer_weights = {f"tokenizer.{name}": value.clone() for name, value in self.tokenizer.state_dict().items()}
        header = {
            "stage": "video_diffusion", "config": asdict(config), "tokenizer_config": asdict(self.tokenizer.config),
            "tokenizer_fingerprint": fingerprint(self.tokenizer),
        }  # fmt: skip
        self.save_hyperparameters(header)  # plain data; a resumed run obeys a new rate
        require_codes_width(config, self.tokenizer, self.tokenizer_path)
        self.model = VideoDiffusion(config)
        if pretrained is not None:
            for report in load_pretrained(self.model, pretrained):
                rank_zero_info(str(report))
        if initial is not None:
            load_initial(self.model, Path(initial), tokenizer=self.tokenizer, tokenizer_path=self.tokenizer_path)
        if not train_spatial:
            freeze_spatial(self.model)
        self.optimizer = SharedOptimizer(optimizer)
        self.lr_schedule = lr_schedule

    def forward(self, batch: VideoBatch) -> Tensor:
        """Rendered pictures (batch, frame, 3, height, width) of the batch, in [-1, 1]."""
        codes, pose = self.read_motion(batch.pose, batch.tokens)
        return render_video(
            self.model, reference=batch.reference, reference_pose=batch.reference_pose, codes=codes, pose=pose, frame_index=batch.frame_index
        )

    def setup(self, stage: str) -> None:
        self.model.load_files()
        space = self.model.image_space
        if stage == "fit" and isinstance(space, PatchSpace) and not space.fitted:
            space.fit(first_batch(cast(Any, self.trainer).datamodule).frames.flatten(0, 1))

    def train(self, mode: bool = True) -> "VideoDiffusionModule":
        super().train(mode)
        self.tokenizer.eval()  # its codebook would follow the data
        return self

    @torch.no_grad()
    def read_motion(self, pose: PoseBatch, tokens: MotionTokens | None = None) -> tuple[Tensor, PoseBatch]:
        """Codes (batch, frame, code) and the keypoints that the tokens stand for."""
        tokens = self.tokenizer.encode(pose) if tokens is None else tokens
        codes = self.tokenizer.codes(tokens)
        return codes, self.tokenizer.decode_codes(codes)

    def encode_batch(self, batch: VideoBatch, *, drop: float = 0.0) -> tuple[Portrait, Motion]:
        """Conditions of a batch; a share `drop` of the items loses its portrait."""
        codes, pose = self.read_motion(batch.pose, batch.tokens)
        keep = (torch.rand(len(codes), device=codes.device) >= drop).to(batch.reference)
        portrait = self.model.encode_portrait(batch.reference, batch.reference_pose, keep=keep)
        return portrait, self.model.encode_motion(portrait, codes, pose, frame_index=batch.frame_index)

    def training_step(self, batch: VideoBatch, batch_idx: int) -> Tensor:
        config = self.model.config
        portrait, motion = self.encode_batch(batch, drop=config.condition_drop)
        loss = diffusion_loss(self.model, portrait, motion, batch.frames)
        self.log("train/diffusion", loss.diffusion, batch_size=len(batch.frames))
        total = loss.total
        if config.heatmap_weight and motion.decoder is not None:
            heatmap = heatmap_loss(self.model, motion.decoder.finest, pictured(batch))
            self.log("train/heatmap", heatmap, batch_size=len(batch.frames))
            total = total + config.heatmap_weight * heatmap
        self.log("train/loss", total, batch_size=len(batch.frames))
        return total

    def validation_step(self, batch: VideoBatch, batch_idx: int) -> dict[str, Any]:
        """Error at a fixed noise and at the timestep where sampling starts; figures of x̂ in pictures. Returns x̂ for the callbacks."""
        with fixed_draws(self.device, batch_idx):
            portrait, motion = self.encode_batch(batch)
            last = torch.full((len(batch.frames),), self.model.config.train_timesteps - 1, device=batch.frames.device)
            loss = diffusion_loss(self.model, portrait, motion, batch.frames, timesteps=last)
        frames = decode_frames(self.model, loss.clean).clamp(-1, 1)
        copy = batch.reference[:, None].expand_as(frames)
        log = {"val/loss": loss.total, "val/psnr": psnr(frames, batch.frames), "val/psnr_copy": psnr(copy, batch.frames)}
        self.log_dict(log, batch_size=len(frames), sync_dist=True)
        return {"frames": frames}

    def test_step(self, batch: VideoBatch, batch_idx: int) -> dict[str, Any]:
        """Sampled frames against the true ones."""
        frames = self(batch)
        copy = batch.reference[:, None].expand_as(frames)
        log = {"test/psnr": psnr(frames, batch.frames), "test/psnr_copy": psnr(copy, batch.frames)}
        self.log_dict(log, batch_size=len(frames), sync_dist=True)
        return {"frames": frames}

    def predict_step(self, batch: VideoBatch, batch_idx: int) -> Tensor:
        """Frames (batch, frame, 3, height, width) in [-1, 1]."""
        return self(batch)

    def generate(
        self, reference: Float[Tensor, "batch 3 height width"], reference_pose: PoseBatch, *, pose: PoseBatch | None = None,
        tokens: MotionTokens | None = None, steps: int | None = None, guidance: float | None = None, seed: int = 0,
        frame_index: Int[Tensor, "batch picture"] | None = None,
    ) -> VideoSample:  # fmt: skip
        """A video of the portrait (in [-1, 1]) in the motion of `tokens`, or of the tokens of `pose`; only frames `frame_index` if given.

        Raises:
            ValueError: neither tokens nor pose is given.
            XDancerError: sizes that do not fit the renderer.
        """
        if tokens is None and pose is None:
            raise ValueError("generate needs tokens or pose: what should the portrait dance?")
        tokens = self.tokenizer.encode(pose) if tokens is None and pose is not None else tokens
        assert tokens is not None
        with torch.no_grad():
            codes = self.tokenizer.codes(tokens)
            decoded = self.tokenizer.decode_codes(codes)
        generator = torch.Generator(device=codes.device).manual_seed(seed)
        frames = render_video(
            self.model, reference=reference, reference_pose=reference_pose, codes=codes, pose=decoded, steps=steps, guidance=guidance,
            generator=generator, frame_index=frame_index,
        )  # fmt: skip
        return VideoSample(frames)

    def configure_optimizers(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return scheduled(self.optimizer(trained), self.lr_schedule, self.trainer.estimated_stepping_batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the frozen tokenizer as it was given: averaging equal weights changes their last bits, and so the fingerprint."""
        checkpoint["state_dict"].update(self._tokenizer_weights)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        require_same_config(checkpoint, stage="video_diffusion", config=self.model.config)
        require_tokenizer(
            checkpoint["hyper_parameters"]["tokenizer_fingerprint"], self.tokenizer, path=self.tokenizer_path, needed_by="the checkpoint"
        )


def first_batch(data: LightningDataModule) -> VideoBatch:
    """A training batch, looked at without moving the position in the data."""
    state = data.state_dict()
    batch = next(iter(data.train_dataloader()))
    data.load_state_dict(state)
    return batch


def pictured(batch: VideoBatch) -> PoseBatch:
    """The poses of the batch's pictures."""
    rows = torch.arange(len(batch.frames), device=batch.frames.device)[:, None]
    return PoseBatch(batch.pose.keypoints[rows, batch.frame_index], batch.pose.confidence[rows, batch.frame_index])


def psnr(frames: Tensor, target: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB of pictures in [-1, 1], over the whole batch."""
    return 10 * torch.log10(4 / (frames - target).square().mean().clamp_min(1e-10))
