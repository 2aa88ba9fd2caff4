"""The averaged weights lie where the model lies, in checkpoints that Lightning's own callback reads."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

from callbacks.ema import DeviceEMAWeightAveraging


class Line(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight * batch).sum()

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.arange(8.0), batch_size=2)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(("options", "expected"), [({}, "meta"), ({"device": "cpu"}, "cpu")])
def test_the_average_follows_the_model_unless_told_otherwise(options: dict[str, str], expected: str) -> None:
    """The meta device stands for a GPU."""
    average, module = DeviceEMAWeightAveraging(decay=0.9, use_buffers=False, **options), Line()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    average.setup(trainer, module, "fit")
    average.on_fit_start(trainer, module.to("meta"))
    assert average._average_model is not None
    assert {value.device.type for value in average._average_model.state_dict().values()} == {expected}


def test_checkpoints_are_lightnings_own(tmp_path: Path) -> None:
    contents = []
    for kind in (EMAWeightAveraging, DeviceEMAWeightAveraging):
        run = Trainer(
            accelerator="cpu", max_steps=3, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path, callbacks=[kind(decay=0.9, use_buffers=False)],
        )  # fmt: skip
        run.fit(Line())
        run.save_checkpoint(tmp_path / "last.ckpt")
        contents.append(torch.load(tmp_path / "last.ckpt", weights_only=True))
    assert contents[0]["callbacks"] == contents[1]["callbacks"]
    for name in ("state_dict", "current_model_state", "averaging_state"):
        assert contents[0][name] == contents[1][name]
