"""Stage 1 as a Lightning system: learn motion tokens."""

from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from xdancer.checkpoint import require_same_config
from xdancer.schedule import LRSchedule, scheduled
from xdancer.types import PoseBatch
from xdancer.vqvae.codebook import Codebook, Ranks
from xdancer.vqvae.loss import vqvae_loss
from xdancer.vqvae.model import VQVAE, VQVAEConfig, VQVAEOutput


class VQVAEModule(LightningModule):
    """Stage 1: learn motion tokens (paper: Compositional Confidence-Aware Pose Tokenization)."""

    def __init__(
        self,
        config: VQVAEConfig = VQVAEConfig(),
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_schedule: LRSchedule = LRSchedule(),
        compile: bool = False,
    ) -> None:
        """Build the model.

        Args:
            config: sizes.
            optimizer: called with all parameters.
            lr_schedule: factor on its rate over the run.
            compile: compile encoders and decoder with torch.compile; the codebook, which follows the data, stays as it is.
        """
        super().__init__()
        self.save_hyperparameters({"stage": "vqvae", "config": asdict(config)})  # plain data; a resumed run obeys a new rate
        self.model = VQVAE(config)
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        if compile:
            self.model.encoder.compile()
            self.model.decoder.compile()

    def forward(self, pose: PoseBatch) -> VQVAEOutput:
        return self.model(pose)

    def setup(self, stage: str) -> None:
        share_codebook(self.model, self.trainer)

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        loss = vqvae_loss(self.model(batch), target=batch, config=self.model.config)
        self.log_dict(
            {"train/loss": loss.total, "train/reconstruction": loss.reconstruction, "train/commitment": loss.commitment},
            batch_size=len(batch.keypoints),
        )
        return loss.total

    def validation_step(self, batch: PoseBatch, batch_idx: int) -> dict[str, Any]:
        """Returns tokens and reconstruction for the callbacks."""
        output = self.model(batch)
        loss = vqvae_loss(output, target=batch, config=self.model.config)
        log = {"val/loss": loss.total, "val/reconstruction": loss.reconstruction, "val/commitment": loss.commitment}
        self.log_dict(log, batch_size=len(batch.keypoints), sync_dist=True)
        return {"tokens": output.tokens, "pose": output.pose}

    def test_step(self, batch: PoseBatch, batch_idx: int) -> dict[str, Any]:
        output = self.model(batch)
        loss = vqvae_loss(output, target=batch, config=self.model.config)
        self.log("test/reconstruction", loss.reconstruction, batch_size=len(batch.keypoints), sync_dist=True)
        return {"tokens": output.tokens, "pose": output.pose}

    def predict_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Token ids (batch, frame, part, slot)."""
        return self.model.encode(batch).ids

    def configure_optimizers(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return scheduled(self.optimizer(self.model.parameters()), self.lr_schedule, self.trainer.estimated_stepping_batches)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        require_same_config(checkpoint, stage="vqvae", config=self.model.config)


def share_codebook(tokenizer: VQVAE, trainer: Trainer) -> None:
    """Let learned codebooks count the latents of all ranks."""
    if trainer.world_size > 1 and isinstance(tokenizer.codebook, Codebook):
        tokenizer.codebook.ranks = Ranks(trainer.global_rank, trainer.world_size, _sum_over_ranks)


def _sum_over_ranks(value: Tensor) -> Tensor:
    torch.distributed.all_reduce(value)
    return value
