"""Use of the codebooks per part during the validation of stage 1."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from xdancer.metrics import codebook
from xdancer.skeleton import BodyPart


class CodebookUsage(Callback):
    """Logs `val/perplexity_<part>`, `val/used_<part>`, `val/dead_<part>` and `val/min_perplexity` over the tokens of the validation set."""

    def __init__(self) -> None:
        self._metric: codebook.CodebookUsage | None = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model: Any = pl_module.model
        config = model.config
        self._metric = codebook.CodebookUsage(parts=config.parts, codes=config.codes).to(pl_module.device)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._metric is not None:
            self._metric.update(outputs["tokens"].ids)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._metric is None:
            return
        result = self._metric.compute()  # sums over ranks
        names = [part.name.lower() for part in BodyPart] if len(result["used"]) == len(BodyPart) else ["whole_body"]
        log = {f"val/{figure}_{name}": value.float() for figure, values in result.items() for name, value in zip(names, values, strict=True)}
        pl_module.log_dict({**log, "val/min_perplexity": result["perplexity"].min().float()}, sync_dist=True)
        self._metric = None
