"""Motion decoder and tokenizer trained together: the image loss reaches the tokenizer's encoder through straight-through codes."""

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from xdancer.checkpoint import fingerprint, save_model
from xdancer.types import MotionTokens, PoseBatch, VideoBatch
from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.video_diffusion.handover import tokenizer_inside
from xdancer.video_diffusion.module import VideoDiffusionModule
from xdancer.vqvae.loss import vqvae_loss
from xdancer.vqvae.model import VQVAE
from xdancer.vqvae.module import share_codebook


class JointModule(VideoDiffusionModule):
    """Stage 3 whose tokenizer goes on learning; a stage 2 of the old tokens does not fit the new ones (the fingerprint changes).

    Behind the last step the new tokenizer lies in `<run folder>/tokenizer`, ready for `xdancer tokenize` and stage 2. Needs poses, not tokens.
    """

    def __init__(self, tokenizer_weight: float = 1.0, **kwargs: Any) -> None:
        """Arguments as in `VideoDiffusionModule`.

        Args:
            tokenizer_weight: of stage 1's own loss beside the image loss; 0 = the image alone says what a code stands for.
            kwargs: of `VideoDiffusionModule`.
        """
        super().__init__(**kwargs)
        self.tokenizer_weight = tokenizer_weight

    def setup(self, stage: str) -> None:
        super().setup(stage)
        share_codebook(self._require_tokenizer(), self.trainer)

    def train(self, mode: bool = True) -> "JointModule":
        super().train(mode)
        if self.tokenizer is not None:
            self.tokenizer.train(mode)
        return self

    def read_motion(self, pose: PoseBatch | None, tokens: MotionTokens | None = None) -> tuple[Tensor, PoseBatch]:
        """In training the codes let gradients through to the poses' encoder, and the codebooks follow."""
        if not self.training:
            return super().read_motion(pose, tokens)
        assert pose is not None
        tokenizer = self._require_tokenizer()
        output = tokenizer(pose)
        self._tokenizer_loss = vqvae_loss(output, target=pose, config=tokenizer.config).total
        shown = pose if self.model.config.guided_by == "pose" else output.pose
        return output.quantized.straight_through.flatten(1).unflatten(0, pose.confidence.shape[:2]), shown

    def training_step(self, batch: VideoBatch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("train/tokenizer", self._tokenizer_loss, batch_size=len(batch.frames))
        return loss + self.tokenizer_weight * self._tokenizer_loss if self.tokenizer_weight else loss

    def trained_parameters(self) -> list[nn.Parameter]:
        """Those of the renderer that are not frozen, and the tokenizer's."""
        return [*super().trained_parameters(), *self._require_tokenizer().parameters()]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the tokenizer that the checkpoint holds."""
        header = checkpoint["hyper_parameters"]
        checkpoint["hyper_parameters"] = {**header, "tokenizer_fingerprint": fingerprint(tokenizer_inside(checkpoint))}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Whatever tokenizer was given, the checkpoint's is the one that goes on learning."""
        self._accept(checkpoint)

    def on_train_end(self) -> None:
        if self.trainer.is_global_zero:
            tokenizer, folder = self._require_tokenizer(), Path(self.trainer.default_root_dir) / "tokenizer"
            save_model(tokenizer, folder)
            rank_zero_info(
                f"{folder}: the new tokenizer, {fingerprint(tokenizer)[:12]}. Train stage 2 on it: --model.init_args.tokenizer {folder}"
            )

    def _embed_tokenizer(self, tokenizer: VQVAE, config: VideoDiffusionConfig) -> None:
        super()._embed_tokenizer(tokenizer, config)
        tokenizer.requires_grad_(True).train(self.training)
