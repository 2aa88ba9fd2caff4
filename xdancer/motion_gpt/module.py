"""Stage 2 as a Lightning system: learn to write motion tokens to music."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torch.nn import functional as F

from xdancer.checkpoint import (
    config_from_dict,
    embedded_tokenizer,
    fingerprint,
    load_model,
    require_same_config,
    require_tokenizer,
    stage_source,
    trained_on,
)
from xdancer.errors import CheckpointError, StageMismatchError
from xdancer.motion_gpt.gpt2_weights import load_gpt2_folder
from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig, Segment
from xdancer.motion_gpt.reading import add_noise, drop_conditions, read_segment
from xdancer.motion_gpt.rollout import generate_motion
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.motion_gpt.smoothing import smooth_pose
from xdancer.schedule import LRSchedule, SharedOptimizer, scheduled
from xdancer.skeleton import BodyPart
from xdancer.types import DanceBatch, MotionSample, PoseBatch
from xdancer.vqvae.model import VQVAE, VQVAEConfig

NORMALISATION_CLIPS = 64
"""Training clips from which mean and scale of the music features are taken, every fourth frame of each."""


class MotionGPTModule(LightningModule):
    """Stage 2: music and the dance so far → next motion token (paper: Cross-conditional Motion GPT)."""

    def __init__(
        self,
        config: MotionGPTConfig = MotionGPTConfig(),
        tokenizer: Path = Path("runs/vqvae/last.ckpt"),
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_schedule: LRSchedule = LRSchedule(),
        sampling: SamplingConfig = SamplingConfig(),
        gpt2: Path | None = None,
        start: Path | None = None,
        compile: bool = False,
    ) -> None:
        """Build the model around a trained tokenizer.

        Args:
            config: sizes.
            tokenizer: stage 1 checkpoint or folder, a model folder, or `shipped`.
            optimizer: of the two parameter groups with and without weight decay.
            lr_schedule: factor on the learning rate.
            sampling: how `generate` and validation draw tokens.
            gpt2: folder with GPT-2's weights to start from (paper); random where None.
            start: motion GPT to start from: a stage 2 checkpoint, a model folder, or `shipped`.
            compile: compile the blocks with torch.compile.
        """
        super().__init__()
        self.model = MotionGPT(config)
        if gpt2 is not None:
            rank_zero_info(str(load_gpt2_folder(self.model, gpt2)))
        self.tokenizer_path, self.tokenizer = stage_source(Path(tokenizer), "vqvae"), None
        self._tokenizer_weights: dict[str, Tensor] = {}
        if self.tokenizer_path.exists():
            self._embed_tokenizer(load_model(self.tokenizer_path, VQVAE))
        if start is not None:
            self._start_from(stage_source(Path(start), "motion_gpt"))
        self.save_hyperparameters({"stage": "motion_gpt", "config": asdict(config), **self._tokenizer_record()})
        self.optimizer, self.lr_schedule, self.sampling = SharedOptimizer(optimizer), lr_schedule, sampling
        if compile:
            self.model.transformer.compile()

    tokenizer: VQVAE | None

    def forward(self, segment: Segment) -> Float[Tensor, "batch frame part slot code"]:
        return self.model(segment)

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self._require_tokenizer()

    def on_fit_start(self) -> None:
        """Take the normalisation of the music from training clips, once; afterwards it is part of the checkpoint."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if not self.model.music_fitted and data is not None:
            clips = data.evaluation_clips(NORMALISATION_CLIPS, split="train")
            rows = {name: [torch.from_numpy(clip.features[name][::4]).float() for clip in clips] for name in self.model.config.music_features}
            self.model.fit_music({name: torch.cat(values) for name, values in rows.items()})

    def training_step(self, batch: DanceBatch, batch_idx: int) -> Tensor:
        segment = self.read(batch)
        read = add_noise(drop_conditions(segment, self.model.config.condition_dropout), self.model.config)
        loss = cross_entropy(self.model(read), segment).mean()
        self.log("train/loss", loss, batch_size=len(batch.has_context))
        return loss

    def validation_step(self, batch: DanceBatch, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: DanceBatch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def predict_step(self, batch: DanceBatch, batch_idx: int) -> Tensor:
        """Token ids (batch, frame, part, slot) of a dance to the segment's music that starts from the segment's first pose."""
        assert batch.pose is not None  # the data module predicts from poses
        history = batch.frames - batch.segment_frames
        music = {name: value[:, history:] for name, value in batch.music.features.items()}
        start = batch.pose.frames(slice(history, history + 1))
        return self.generate(music, start, frames=batch.segment_frames, seed=batch_idx).tokens.ids

    @torch.no_grad()
    def generate(
        self, music: Mapping[str, Float[Tensor, "batch rows _"]], start: PoseBatch, *, frames: int, sampling: SamplingConfig | None = None,
        seed: int = 0,
    ) -> MotionSample:  # fmt: skip
        """Dances of `frames` frames to `music` (row 0 = frame 0) that begin with the poses `start`; equal seeds give equal dances."""
        tokenizer, training = self._require_tokenizer(), self.model.training
        generator, sampling = torch.Generator(start.keypoints.device).manual_seed(seed), sampling or self.sampling
        self.model.eval()
        tokens = generate_motion(self.model, music, tokenizer.encode(start), frames=frames, sampling=sampling, generator=generator)
        self.model.train(training)
        return MotionSample(tokens, smooth_pose(tokenizer.decode(tokens), sampling.smoothing), seed=seed)

    def configure_optimizers(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        parameters = list(self.model.parameters())
        groups = [{"params": [p for p in parameters if p.ndim > 1]}, {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}]
        return scheduled(self.optimizer(groups), self.lr_schedule, self.trainer.estimated_stepping_batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the frozen tokenizer as it is: an average of equal weights differs from them in the last bits."""
        checkpoint["state_dict"].update(self._tokenizer_weights)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another tokenizer; without one of its own (its file is gone) take the embedded one."""
        require_same_config(checkpoint, stage="motion_gpt", config=self.model.config)
        header = checkpoint["hyper_parameters"]
        if self.tokenizer is None:
            embedded = VQVAE(config_from_dict(VQVAEConfig, header["tokenizer_config"], source=Path("the checkpoint")))
            weights = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("tokenizer.")}
            embedded.load_state_dict({name.removeprefix("tokenizer."): value for name, value in weights.items()})
            self._embed_tokenizer(embedded)
            self.hparams.update(self._tokenizer_record())
        else:
            require_tokenizer(header["tokenizer_fingerprint"], self.tokenizer, path=self.tokenizer_path, needed_by="The checkpoint")

    def restore_tokenizer(self, checkpoint: Path) -> None:
        """Take the tokenizer embedded in a checkpoint where its own file is gone; before training, because averages copy the whole module."""
        if self.tokenizer is None:
            self._embed_tokenizer(embedded_tokenizer(checkpoint)[0])
            self.hparams.update(self._tokenizer_record())

    # ---- parts of the recipe

    def read(self, batch: DanceBatch) -> Segment:
        """What the model reads of a batch."""
        return read_segment(batch, self.model, self._require_tokenizer())

    def _evaluate(self, batch: DanceBatch, split: str) -> None:
        """Teacher-forced cross-entropy per part, and the same windows with the music of another item of the batch.

        A batch of one has no other music: it is logged with weight 0, because every rank must take part in the sum over ranks. Where all
        batches are so the gain is not a number.
        """
        segment = self.read(batch)
        losses = cross_entropy(self.model(segment), segment).mean(dim=(0, 1, 3))  # (part,)
        log = {f"{split}/loss": losses.mean(), f"{split}/perplexity": losses.mean().exp()}
        names = [part.name.lower() for part in BodyPart] if len(losses) == len(BodyPart) else [str(i) for i in range(len(losses))]
        log |= {f"{split}/cross_entropy_{name}": loss for name, loss in zip(names, losses, strict=True)}
        self.log_dict(log, batch_size=len(segment.motion), sync_dist=True)
        other = replace(segment, music=segment.music.roll(1, 0), context_music=segment.context_music.roll(1, 0))
        gain, pairs = cross_entropy(self.model(other), segment).mean() - losses.mean(), len(segment.motion) if len(segment.motion) > 1 else 0
        self.log(f"{split}/music_gain", gain, batch_size=pairs, sync_dist=True)

    def _start_from(self, path: Path) -> None:
        """Take another run's weights and its normalisation of the music."""
        other = load_model(path, MotionGPT)
        theirs, ours = asdict(other.config), asdict(self.model.config)
        free = ("dropout", "condition_dropout", "token_noise", "gradient_checkpointing")  # of the training, not of the weights
        wrong = [f"{name} {theirs[name]} (here {ours[name]})" for name in ours if theirs[name] != ours[name] and name not in free]
        if wrong:
            raise StageMismatchError(f"{path} is a motion GPT of {', '.join(wrong)}. Set model.init_args.config alike, or leave start out.")
        require_tokenizer(trained_on(path), self._require_tokenizer(), path=self.tokenizer_path, needed_by=str(path))
        self.model.load_state_dict(other.state_dict())

    def _embed_tokenizer(self, tokenizer: VQVAE) -> None:
        config, found = self.model.config, tokenizer.config
        wrong = {"parts": (found.parts, config.parts), "slots": (found.part_slots, config.slots), "codes": (found.codes, config.codes)}
        if any(theirs != ours for theirs, ours in wrong.values()):
            words = ", ".join(f"{name} {theirs} (here {ours})" for name, (theirs, ours) in wrong.items() if theirs != ours)
            raise StageMismatchError(
                f"{self.tokenizer_path} is a tokenizer of {words}. Set model.init_args.config alike, or give another tokenizer."
            )
        self.tokenizer = tokenizer.requires_grad_(False).eval()
        self._tokenizer_weights = {f"tokenizer.{name}": value.clone() for name, value in tokenizer.state_dict().items()}

    def train(self, mode: bool = True) -> "MotionGPTModule":
        """The tokenizer stays frozen: its codebooks must not follow."""
        super().train(mode)
        if self.tokenizer is not None:
            self.tokenizer.eval()
        return self

    def _tokenizer_record(self) -> dict[str, Any]:
        if self.tokenizer is None:
            return {}
        return {"tokenizer_config": asdict(self.tokenizer.config), "tokenizer_fingerprint": fingerprint(self.tokenizer)}

    def _require_tokenizer(self) -> VQVAE:
        if self.tokenizer is None:
            demo = "demo/" if "demo" in self.tokenizer_path.parts else ""
            raise CheckpointError(
                f"{self.tokenizer_path}: no such tokenizer. `python train.py fit --config configs/{demo}vqvae.yaml` makes one, "
                "or name another with --model.init_args.tokenizer."
            )
        return self.tokenizer


def cross_entropy(logits: Float[Tensor, "batch frame part slot code"], segment: Segment) -> Float[Tensor, "batch frame part slot"]:
    """Cross-entropy of every token of the segment, nats."""
    return F.cross_entropy(logits.flatten(0, -2).float(), segment.motion.flatten(), reduction="none").view(segment.motion.shape)
