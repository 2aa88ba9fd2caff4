"""Averaged weights on the device of the weights."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging


class DeviceEMAWeightAveraging(EMAWeightAveraging):
    """Lightning's moving average, kept where the model is.

    Lightning copies the model before the strategy moves it, so without `device` its average would stay on the CPU and every step would copy
    all weights there. Here it follows the model unless `device` says otherwise (`device: cpu` saves GPU memory and costs time). Checkpoints
    are Lightning's own: a run may change from one class to the other.
    """

    @property
    def state_key(self) -> str:
        return EMAWeightAveraging.__qualname__

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._device is None and self._average_model is not None:
            self._average_model.to(pl_module.device)
