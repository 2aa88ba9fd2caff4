"""Stage 3 as a Lightning system: phase (a) on single frames, phase (b) on 16 consecutive ones; one class, the config says which."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from xdancer.checkpoint import embedded_tokenizer, fingerprint, load_model, require_same_config, require_tokenizer, stage_source
from xdancer.errors import CheckpointError
from xdancer.schedule import LRSchedule, SharedOptimizer, scheduled
from xdancer.types import MotionTokens, PoseBatch, VideoBatch, VideoSample
from xdancer.video_diffusion.handover import freeze_spatial, load_initial, require_codes_width, shrink_frozen, tokenizer_inside
from xdancer.video_diffusion.image_space import PatchSpace
from xdancer.video_diffusion.lora import LoRAConfig, add_adapters
from xdancer.video_diffusion.loss import diffusion_loss, heatmap_loss
from xdancer.video_diffusion.model import Motion, Portrait, VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.motion_weights import INITIAL, NEW, load_motion_weights
from xdancer.video_diffusion.noise import fixed_draws
from xdancer.video_diffusion.pretrained import load_pretrained
from xdancer.video_diffusion.sampling import decode_frames, render_video
from xdancer.video_diffusion.unet import MOTION_MODULES
from xdancer.vqvae.model import VQVAE


class VideoDiffusionModule(LightningModule):
    """Stage 3: one portrait and motion tokens → video (paper: Diffusion-based Video Synthesis)."""

    def __init__(
        self,
        config: VideoDiffusionConfig = VideoDiffusionConfig(),
        tokenizer: Path = Path("runs/vqvae/last.ckpt"),
        initial: Path | None = None,
        pretrained: Path | None = None,
        temporal_weights: str | None = None,
        allow_new: tuple[str, ...] = (),
        train_spatial: bool = True,
        lora: LoRAConfig | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_schedule: LRSchedule = LRSchedule(),
        compile: bool = False,
    ) -> None:
        """Set up a phase. The three files may be missing where a checkpoint of this phase is loaded: it holds what they gave.

        Args:
            config: sizes, noise schedule and helps.
            tokenizer: checkpoint of stage 1; frozen, and stored inside this stage's checkpoints.
            initial: checkpoint of the other phase to start from (phase b starts from phase a), or a model folder, or None.
            pretrained: Stable Diffusion 1.5 folder in diffusers' layout (its `unet`), or None for random weights.
            temporal_weights: phase b trains only with this said: `new`, `initial` (they are in that checkpoint), or AnimateDiff's motion
                modules (checkpoint, or MotionAdapter folder).
            allow_new: groups of motion modules that those may lack (`mid_block`).
            train_spatial: train UNet, ReferenceNet and embeddings; False leaves the motion decoder and the temporal modules (phase b).
            lora: train low-rank adapters of the attention alone (needs peft); exporting merges them.
            optimizer: called with the parameters that train.
            lr_schedule: factor on its rate over the run.
            compile: compile the UNets with torch.compile; with gradient_checkpointing in pieces, which gains less.
        """
        super().__init__()
        header = {"stage": "video_diffusion", "config": asdict(config), "lora": None if lora is None else asdict(lora)}
        self.save_hyperparameters(header)  # plain data; a resumed run obeys a new rate
        self.tokenizer_path = stage_source(Path(tokenizer), "vqvae")
        self.initial, self.pretrained = initial and Path(initial), pretrained and Path(pretrained)
        self.temporal_weights, self.allow_new = temporal_weights, tuple(allow_new)
        self.tokenizer, self._restored = None, False
        if self.tokenizer_path.exists():
            self._embed_tokenizer(load_model(self.tokenizer_path, VQVAE), config)
        self.model = VideoDiffusion(config)
        if self.pretrained is not None and self.pretrained.exists():
            self._load_pretrained(self.pretrained)
        if temporal_weights not in (None, NEW, INITIAL) and Path(temporal_weights).exists():
            self._load_temporal()
        if self.tokenizer is not None and self.initial is not None and self.initial.exists():
            self._load_initial(self.initial)
        if not train_spatial:
            freeze_spatial(self.model)
        if lora is not None:
            add_adapters(self.model, lora)
        self.optimizer = SharedOptimizer(optimizer)
        self.lr_schedule = lr_schedule
        if compile:
            for unet in self.model.spatial_unets.values():
                unet.compile()

    tokenizer: VQVAE | None

    def forward(self, batch: VideoBatch) -> Tensor:
        """Rendered pictures (batch, frame, 3, height, width) of the batch, in [-1, 1]."""
        codes, pose = self.read_motion(batch.pose, batch.tokens)
        return render_video(
            self.model, reference=batch.reference, reference_pose=batch.reference_pose, codes=codes, pose=pose, frame_index=batch.frame_index
        )

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self._require_files()
            self._require_temporal()
        self.model.load_files()
        space = self.model.image_space
        if stage == "fit" and isinstance(space, PatchSpace) and not space.fitted:
            space.fit(first_batch(cast(Any, self.trainer).datamodule).frames.flatten(0, 1))

    def train(self, mode: bool = True) -> "VideoDiffusionModule":
        super().train(mode)
        if self.tokenizer is not None:
            self.tokenizer.eval()  # its codebook would follow the data
        return self

    @torch.no_grad()
    def read_motion(self, pose: PoseBatch | None, tokens: MotionTokens | None = None) -> tuple[Tensor, PoseBatch]:
        """Codes (batch, frame, code) and the keypoints that the tokens stand for, or the true ones (`guided_by`)."""
        tokenizer = self._require_tokenizer()
        if tokens is None:
            assert pose is not None
            tokens = tokenizer.encode(pose)
        codes = tokenizer.codes(tokens)
        if self.model.config.guided_by == "pose" and pose is not None:
            return codes, pose
        return codes, tokenizer.decode_codes(codes)

    def encode_batch(self, batch: VideoBatch, *, drop: float = 0.0) -> tuple[Portrait, Motion]:
        """Conditions of a batch; a share `drop` of the items loses its portrait."""
        codes, pose = self.read_motion(batch.pose, batch.tokens)
        keep = (torch.rand(len(codes), device=codes.device) >= drop).to(batch.reference)
        portrait = self.model.encode_portrait(batch.reference, batch.reference_pose, keep=keep, cached=batch.latents)
        return portrait, self.model.encode_motion(portrait, codes, pose, frame_index=batch.frame_index)

    def training_step(self, batch: VideoBatch, batch_idx: int) -> Tensor:
        config = self.model.config
        if self.global_step < config.heatmap_steps:
            return self._heatmap_step(batch)
        portrait, motion = self.encode_batch(batch, drop=config.condition_drop)
        loss = diffusion_loss(self.model, portrait, motion, batch.frames, cached=batch.latents)
        self.log("train/diffusion", loss.diffusion, batch_size=len(batch.frames))
        total = loss.total
        if config.heatmap_weight and motion.decoder is not None:
            heatmap = heatmap_loss(self.model, motion.decoder.finest, pictured(batch))
            self.log("train/heatmap", heatmap, batch_size=len(batch.frames))
            total = total + config.heatmap_weight * heatmap
        self.log("train/loss", total, batch_size=len(batch.frames))
        return total

    def _heatmap_step(self, batch: VideoBatch) -> Tensor:
        """The motion decoder alone: where the keypoints of all frames are. Under DDP the strategy must allow unused parameters."""
        codes, _ = self.read_motion(batch.pose, batch.tokens)
        loss = heatmap_loss(self.model, self.model.decode_motion(codes).finest, batch.pose)
        self.log("train/heatmap", loss, batch_size=len(codes))
        return loss

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
        codes, decoded = self.read_motion(pose, tokens)
        generator = torch.Generator(device=codes.device).manual_seed(seed)
        frames = render_video(
            self.model, reference=reference, reference_pose=reference_pose, codes=codes, pose=decoded, steps=steps, guidance=guidance,
            generator=generator, frame_index=frame_index,
        )  # fmt: skip
        return VideoSample(frames)

    def trained_parameters(self) -> list[nn.Parameter]:
        """Those that are not frozen."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def configure_optimizers(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return scheduled(self.optimizer(self.trained_parameters()), self.lr_schedule, self.trainer.estimated_stepping_batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the frozen tokenizer as it was given: averaging equal weights changes their last bits, and so the fingerprint."""
        checkpoint["state_dict"].update(self._tokenizer_weights)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another tokenizer; without one of its own (its file is gone) take the embedded one."""
        self._accept(checkpoint)
        expected = checkpoint["hyper_parameters"]["tokenizer_fingerprint"]
        require_tokenizer(expected, self._require_tokenizer(), path=self.tokenizer_path, needed_by="the checkpoint")

    def _accept(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another model; it is what this run starts from, its tokenizer included where none is there."""
        require_same_config(checkpoint, stage="video_diffusion", config=self.model.config)
        if (stored := checkpoint["hyper_parameters"].get("lora")) != self.hparams["lora"]:
            raise CheckpointError(f"The checkpoint was trained with lora {stored}, this run has {self.hparams['lora']}. Give both the same.")
        if self.tokenizer is None:
            self._embed_tokenizer(tokenizer_inside(checkpoint), self.model.config)
        self._restored = True

    def shrink_frozen(self, dtype: torch.dtype) -> None:
        """Hold the renderer's weights that do not train in fewer bits; the tokenizer, whose tokens would change, stays as it is."""
        shrink_frozen(self.model, dtype)

    def restore_tokenizer(self, checkpoint: Path) -> None:
        """A run is going to continue from this checkpoint: nothing else is needed. Before training, because averages copy the whole module."""
        if self.tokenizer is None:
            self._embed_tokenizer(embedded_tokenizer(checkpoint)[0], self.model.config)
        self._restored = True

    def on_validation_start(self) -> None:
        self._require_files()

    on_test_start = on_predict_start = on_validation_start

    # ---- files to start from

    def _require_files(self) -> None:
        """Without a checkpoint every file is needed: the loaders say which is missing and what makes it."""
        self._require_tokenizer()
        if not self._restored and self.pretrained is not None and not self.pretrained.exists():
            self._load_pretrained(self.pretrained)
        if not self._restored and self.initial is not None and not self.initial.exists():
            self._load_initial(self.initial)

    def _require_temporal(self) -> None:
        """No phase b starts with motion modules of which nobody said where they come from.

        Raises:
            CheckpointError: the key is not set, or what it names is missing or does not fit.
        """
        if not self.model.config.temporal or self._restored:
            return
        if self.temporal_weights is None:
            raise CheckpointError(
                "temporal_weights is not set: where do the motion modules start? Say `new` (random, as if they were not there at first), or "
                "name AnimateDiff's: --model.init_args.temporal_weights PATH."
            )
        if self.temporal_weights == INITIAL and self.initial is None:
            raise CheckpointError("temporal_weights is `initial`, but no `initial` is given: name phase (b)'s checkpoint there.")
        if self.temporal_weights not in (NEW, INITIAL) and not Path(self.temporal_weights).exists():
            self._load_temporal()

    def _require_tokenizer(self) -> VQVAE:
        if self.tokenizer is None:
            self._embed_tokenizer(load_model(self.tokenizer_path, VQVAE), self.model.config)
        assert self.tokenizer is not None
        return self.tokenizer

    def _embed_tokenizer(self, tokenizer: VQVAE, config: VideoDiffusionConfig) -> None:
        require_codes_width(config, tokenizer, self.tokenizer_path)
        self.tokenizer = tokenizer.requires_grad_(False).eval()
        self._tokenizer_weights = {f"tokenizer.{name}": value.clone() for name, value in tokenizer.state_dict().items()}
        self.hparams.update({"tokenizer_config": asdict(tokenizer.config), "tokenizer_fingerprint": fingerprint(tokenizer)})

    def _load_pretrained(self, folder: Path) -> None:
        for report in load_pretrained(self.model, folder):
            rank_zero_info(str(report))

    def _load_temporal(self) -> None:
        assert self.temporal_weights is not None
        rank_zero_info(str(load_motion_weights(self.model, self.temporal_weights, allow_new=self.allow_new)))

    def _load_initial(self, path: Path) -> None:
        theirs = self.temporal_weights in (None, INITIAL)  # else those that were named, or new ones
        fresh = load_initial(self.model, path, tokenizer=self._require_tokenizer(), tokenizer_path=self.tokenizer_path, temporal=theirs)
        if self.temporal_weights == INITIAL and any(MOTION_MODULES in name for name in fresh):
            raise CheckpointError(f"temporal_weights is `initial`, but {path} has no motion modules: name phase (b)'s, or say `new`.")


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
