"""Checkpoints of a run: when they are written, which one a run continues at, and that nothing between two of them is lost or done twice."""

import zipfile
from itertools import count
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.evaluation_loop import RestartStage
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_only, rank_zero_warn
from torch import Tensor

from xdancer.cli.interruption import StoppedBySignal, received
from xdancer.cli.logs import ResumePoint, RunCSVLogger
from xdancer.errors import CheckpointError
from xdancer.integrity import check_stored

LAST = "last.ckpt"
FOLDER = "checkpoints"
RUN = "run"
"""Key of a checkpoint: rows of metrics.csv so far, the row of the last step, which is logged behind the checkpoint, and the processes."""


class StepCheckpoint(ModelCheckpoint):
    """Saves every `every_n_train_steps`, behind the last step and where a signal stops the run, nowhere else.

    ModelCheckpoint, told to keep the newest k steps, puts off what falls on the last batch of an epoch to the next validation. And behind
    the last step `on_train_end` is too late: there Lightning's weight averaging has put the averages in place of the weights.

    A checkpoint stands between a step and what follows it: the step's row in the logs, the validation that may be due. A resumed run does
    both; a run that was killed in the middle of a validation has it in full.

    `last.ckpt` is the newest checkpoint under a second name (a hard link where the file system has them), not written again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pending: dict[str, Any] | None = None
        self._max_steps: int | None = None  # of a run resumed behind its last step, while the loops are told one more
        self._next_epoch: int | None = None  # of a run resumed behind an epoch, while the validation of that epoch runs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._pending is None:
            return
        if 0 < trainer.max_steps <= self._pending["global_step"]:  # the loops would leave at once, without validation and last hooks
            self._max_steps = trainer.max_steps
            trainer.fit_loop.epoch_loop.max_steps = self._pending["global_step"] + 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._last_global_step_saved = trainer.global_step  # resumed: not again while the gradients of the next step accumulate
        if self._pending is None or not _validate_first(trainer):
            self._resume_done(trainer)
        elif trainer.current_epoch != self._pending["epoch"]:
            self._next_epoch, trainer.fit_loop.epoch_progress.current.completed = trainer.current_epoch, self._pending["epoch"]
        if self._pending is not None:
            if self._pending["row"]:
                trainer._logger_connector.log_metrics(self._pending["row"], step=self._pending["step"])
            _say_what_changed(trainer, self._pending["world_size"])
            self._pending = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        due = self._every_n_train_steps >= 1 and trainer.global_step % self._every_n_train_steps == 0
        stop = not trainer.fit_loop._should_accumulate() and _agree_to_stop(trainer)
        if due or stop or trainer.should_stop or _is_last_step(trainer):
            self._save(trainer)
        if stop and not _is_last_step(trainer):
            trainer.strategy.barrier("stopped by a signal")
            signal = received(trainer)  # or another rank has it
            rank_zero_info(
                f"{'signal' if signal is None else signal.name}: stopped at step {trainer.global_step}; `--ckpt_path last` continues."
            )
            raise StoppedBySignal(trainer.global_rank)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.should_stop:  # since the last validation
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._resume_done(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        logs = trainer._logger_connector
        row = logs.metrics["log"] if trainer.training and logs.should_update_logs else {}
        checkpoint[RUN] = {
            "rows": next((logger.rows for logger in trainer.loggers if isinstance(logger, RunCSVLogger)), None),
            "step": trainer.fit_loop.epoch_loop._batches_that_stepped,
            "global_step": trainer.global_step,
            "world_size": trainer.world_size,
            "epoch": trainer.current_epoch,
            "row": {name: float(value) for name, value in row.items()} | ({"epoch": trainer.current_epoch} if row else {}),
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._pending = checkpoint.get(RUN)

    def _resume_done(self, trainer: Trainer) -> None:
        """What belonged to the step of the checkpoint is done."""
        if self._max_steps is not None:
            trainer.fit_loop.epoch_loop.max_steps, self._max_steps = self._max_steps, None
        if self._next_epoch is not None:
            trainer.fit_loop.epoch_progress.current.completed, self._next_epoch = self._next_epoch, None

    def _save(self, trainer: Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

    def _save_last_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        link = getattr(trainer.strategy.checkpoint_io, "link", None)
        newest = Path(self._last_checkpoint_saved)
        if not self.save_last or self.save_top_k == 0 or link is None or newest.is_dir():
            super()._save_last_checkpoint(trainer, monitor_candidates)
            return
        self.last_model_path = self.format_checkpoint_name(monitor_candidates, self.CHECKPOINT_NAME_LAST)
        if trainer.is_global_zero:
            link(newest, Path(self.last_model_path))
        trainer.strategy.barrier(LAST)


def _agree_to_stop(trainer: Trainer) -> bool:
    """Whether a signal has reached any rank."""
    return trainer.strategy.reduce_boolean_decision(received(trainer) is not None, all=False)


def _is_last_step(trainer: Trainer) -> bool:
    epochs = trainer.max_epochs
    last_epoch = epochs is not None and epochs != -1 and trainer.current_epoch + 1 >= epochs
    return trainer.global_step == trainer.max_steps or (last_epoch and trainer.is_last_batch)


def _validate_first(trainer: Trainer) -> bool:
    """Whether a validation is due behind the step of the checkpoint, which the run then begins with: Lightning takes it for done.

    To its loop the validation then counts as begun, and the step it belongs to as not counted yet, which the end of the validation does.
    """
    loop = trainer.fit_loop.epoch_loop
    fetcher = trainer.fit_loop._data_fetcher
    if fetcher is None or not loop.restarted_on_train_batch_end or not loop._should_check_val_fx(fetcher):
        return False
    loop.val_loop.restarting = False
    loop.val_loop._restart_stage = RestartStage.RESTARTED_MID_EVALUATION
    loop._batches_that_stepped -= 1
    return True


def _say_what_changed(trainer: Trainer, before: int) -> None:
    """Of another number of processes: ranks take other shares of a batch, and draw other noise."""
    if trainer.world_size == before:
        return
    samples = getattr(getattr(trainer, "datamodule", None), "position", None)
    where = "" if samples is None else f" The order of samples goes on at sample {samples.samples}."
    rank_zero_info(f"Resumed on {trainer.world_size} processes, written on {before}: the run goes on, but not to the bit.{where}")


def newest_checkpoint(run_dir: Path) -> Path | None:
    """The checkpoint that `--ckpt_path last` means: `last.ckpt`, or where it is damaged the newest that is not. None where there is none.

    Raises:
        CheckpointError: all are damaged.
    """
    steps = sorted((run_dir / FOLDER).glob("step=*.ckpt"), reverse=True)
    found = [path for path in (run_dir / LAST, *steps) if path.exists()]
    for number, path in enumerate(found):
        if (reason := damage(path)) is None:
            if number:
                rank_zero_warn(f"{found[0]} is damaged: continuing at {path}.")
            return path
        rank_zero_info(f"{path}: {reason}.")
    if found:
        raise CheckpointError(f"{run_dir}: all {len(found)} checkpoints are damaged. Start anew without --ckpt_path.")
    return None


@rank_zero_only
def set_aside(run_dir: Path) -> Path | None:
    """Move the checkpoints of an earlier run into a folder beside them, that `last` never means them; the folder, None where there are none."""
    kept = [path for path in (run_dir / FOLDER, run_dir / LAST) if path.exists()]
    if not kept:
        return None
    place = next(path for number in count(1) if not (path := run_dir / f"earlier_{number}").exists())
    place.mkdir()
    for path in kept:
        path.rename(place / path.name)
    return place


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint's bytes, by the checksum that every part of it carries; None if nothing is."""
    if path.is_dir():  # of several ranks, as FSDP writes them; torch reads it or says why not
        return None
    try:
        if not zipfile.is_zipfile(path):
            return "damaged (cut off, or no checkpoint)"
        check_stored(path)
    except (OSError, ValueError) as error:
        return f"damaged ({error})"
    return None


def resume_point(path: Path) -> ResumePoint:
    """Where a checkpoint stands.

    Raises:
        CheckpointError: not a readable Lightning checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return ResumePoint(int(content["global_step"]), content.get(RUN, {}).get("rows"))
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        raise CheckpointError(f"{path} is not a readable checkpoint ({type(error).__name__}). Start anew without --ckpt_path.") from error
