"""The command line of train.py: `fit | validate | test | predict --config …`, one folder per run, one line per user's mistake."""

import logging
import os
import re
import signal
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentError
from jsonargparse.typing import PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback, instantiate_class
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from xdancer import application
from xdancer.batches import split_batch
from xdancer.cli.checkpoints import LAST, StepCheckpoint, newest_checkpoint, resume_point, set_aside
from xdancer.cli.interruption import StopSignals
from xdancer.cli.logs import ResumePoint, RunCSVLogger
from xdancer.errors import CheckpointError, XDancerError, storage_problem

COMMON_CALLBACKS = (
    "callbacks.run_record.RunRecord",
    "callbacks.random_state.RandomState",
    "callbacks.progress.PlainProgress",
    "callbacks.predictions.SavePredictions",
)
"""Present in every run; a config adds to them with `callbacks+:`."""
CHECKPOINT_IO = "callbacks.checkpoint_io.WholeCheckpointIO"
"""How checkpoints are written where the config names no way of its own."""


class SaveConfigToRun(SaveConfigCallback):
    """Writes the whole configuration to `<run_dir>/config.yaml` when training starts, again on resume.

    Not in `setup`, as Lightning does: that runs before validation, test and prediction too, and before a checkpoint is refused.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None: ...

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, str(folder / self.config_filename), skip_none=False, overwrite=True, multifile=False)


class XDancerCLI(LightningCLI):
    """LightningCLI with a run folder: logs, checkpoints, last.ckpt, config.yaml and run.json of a run lie together, the same on resume."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--run_dir", type=Path, default=Path("runs/default"), help="Folder of everything this run writes.")
        parser.add_argument(
            "--averages", type=Literal["on", "cpu", "off"], default="on",
            help="Averaged weights, where the config has them: beside the model, on the CPU (a copy there at every step), or none.",
        )  # fmt: skip
        parser.add_argument(
            "--global_batch", type=PositiveInt | None, default=None,
            help="Samples of an optimiser step over all processes: data.init_args.batch_size is then the most that a process takes at once, "
            "gradients are accumulated for the rest. Without it batch_size is the batch of each process.",
        )  # fmt: skip
        parser.add_argument(
            "--frozen_weights", type=Literal["float32", "bfloat16"], default="float32",
            help="How weights that do not train are held while the renderer trains (stage 3, phase b); the tokenizer stays as it is.",
        )  # fmt: skip
        parser.add_lightning_class_args(StepCheckpoint, "checkpoint")
        parser.link_arguments("run_dir", "checkpoint.dirpath", compute_fn=str)
        parser.set_defaults(
            {
                "checkpoint.filename": "checkpoints/step={step:08d}",
                "checkpoint.auto_insert_metric_name": False,
                "checkpoint.monitor": "step",
                "checkpoint.mode": "max",
                "checkpoint.save_top_k": 2,
                "checkpoint.save_last": True,
                "checkpoint.enable_version_counter": False,  # else a second run in the folder writes last-v1.ckpt
                "trainer.callbacks": [{"class_path": name} for name in COMMON_CALLBACKS],
            }
        )

    def _parse_ckpt_path(self) -> None:
        """Find `--ckpt_path last` in the run folder.

        Lightning would merge the checkpoint's hyper-parameters over the command line here; the modules refuse another config instead.
        """
        options = self.config[self.config.subcommand]
        self.resume: ResumePoint | None = None
        path = options.get("ckpt_path")
        if path == "last":
            path = newest_checkpoint(Path(options.run_dir))
            if path is None:
                if self.config.subcommand != "fit":
                    last = Path(options.run_dir) / LAST
                    raise CheckpointError(f"{last}: no such checkpoint. Train first: python train.py fit with the same --config and --run_dir.")
                rank_zero_info(f"{options.run_dir} holds no checkpoint yet: starting anew.")
        if path is not None and not Path(path).exists():
            raise CheckpointError(f"--ckpt_path {path}: no such checkpoint. Give a file, or `last` for the newest in --run_dir.")
        options.ckpt_path = None if path is None else str(path)
        if path is not None and self.config.subcommand == "fit":
            self.resume = resume_point(Path(path))

    def instantiate_classes(self) -> None:
        """A value that a config or module refuses is the user's; jsonargparse wraps it in a list of all types that were tried."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            if not str(error).startswith("Does not validate against any of the Union subtypes") or error.__cause__ is None:
                raise
            raise XDancerError(str(error.__cause__)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        run_dir, trainer = self._get(self.config_init, "run_dir"), self._get(self.config_init, "trainer")
        kwargs["default_root_dir"] = str(run_dir)
        if trainer.get("logger") is None and self.subcommand == "fit":
            kwargs["logger"] = self._loggers(run_dir)
        elif trainer.get("logger") is None:
            kwargs["logger"] = False
        if trainer.get("enable_progress_bar") is None and not sys.stderr.isatty():
            kwargs["enable_progress_bar"] = False  # thousands of lines in a log file; PlainProgress speaks there
        plugins = trainer.get("plugins") or []
        plugins, strategy = list(plugins) if isinstance(plugins, list | tuple) else [plugins], trainer.get("strategy")
        of_strategy = isinstance(strategy, Strategy) and strategy._checkpoint_io is not None
        if not of_strategy and not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(instantiate_class((), {"class_path": CHECKPOINT_IO}))
        kwargs["plugins"] = plugins
        self._place_averages(trainer.get("callbacks") or [])
        made = super().instantiate_trainer(**kwargs)
        made._signal_connector = StopSignals(made)
        self._share_batch(made)
        return made

    def _share_batch(self, trainer: Trainer) -> None:
        """Keep the batch of a step whatever the number of processes."""
        total = self._get(self.config_init, "global_batch")
        if total is None or self.subcommand != "fit":
            return
        if trainer.accumulate_grad_batches != 1:
            raise XDancerError(
                f"global_batch {total} and trainer.accumulate_grad_batches {trainer.accumulate_grad_batches}: the one follows from the other. "
                "Leave one out (--global_batch null)."
            )
        data, processes = self.datamodule, trainer.num_devices * trainer.num_nodes
        data.batch_size, trainer.accumulate_grad_batches = split_batch(total, processes=processes, at_most=data.batch_size)
        rounds = trainer.accumulate_grad_batches
        rank_zero_info(f"global batch {total} = {processes} processes × {data.batch_size} samples × {rounds} accumulated")

    def _loggers(self, run_dir: Path) -> list[Logger]:
        purge = None if self.resume is None else max(self.resume.step - 1, 0)  # the last step's row is logged again
        board = TensorBoardLogger(run_dir, name="", version="tensorboard", purge_step=purge)
        return [board, RunCSVLogger(run_dir, resume=self.resume)]

    def _place_averages(self, callbacks: list[Any]) -> None:
        """What the config says of its averaging callbacks, for overlays, which cannot reach into a list of callbacks."""
        averages = self._get(self.config_init, "averages")
        for callback in [callback for callback in callbacks if isinstance(callback, WeightAveraging)]:
            if averages == "off":
                callbacks.remove(callback)
            elif averages == "cpu":
                callback._device = torch.device("cpu")

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kept = {"return_predictions": False} if subcommand == "predict" else {}  # they are files, and may not fit in memory
        return {**super()._prepare_subcommand_kwargs(subcommand), "weights_only": True, **kept}

    def _run_subcommand(self, subcommand: str) -> None:
        """A full disk and the like are the user's to put right."""
        try:
            super()._run_subcommand(subcommand)
        except OSError as error:
            if (problem := storage_problem(error)) is None:
                raise
            if (stop := getattr(self.trainer.strategy.launcher, "kill", None)) is not None:
                stop(signal.SIGKILL)  # the ranks that this process started wait for it
            run_dir = self.trainer.default_root_dir
            then = " `--ckpt_path last` continues the run." if os.path.isfile(os.path.join(run_dir, LAST)) else ""
            raise XDancerError(f"--run_dir {run_dir}: {problem}{then}") from error

    def before_fit(self) -> None:
        if self.config.fit.frozen_weights == "bfloat16" and (shrink := getattr(self.model, "shrink_frozen", None)) is not None:
            shrink(torch.bfloat16)
        path, restore = self.config.fit.ckpt_path, getattr(self.model, "restore_tokenizer", None)
        if path is not None and restore is not None:
            restore(Path(path))
        if self.resume is None and (earlier := set_aside(Path(self.trainer.default_root_dir))):
            rank_zero_info(
                f"An earlier run lay in the folder; its checkpoints are in {earlier} now. `--ckpt_path last` would have continued it."
            )


def main(args: list[str] | None = None) -> XDancerCLI:
    """Run train.py's command line; returns the finished CLI (with `.trainer`, `.model`, `.datamodule`).

    Raises:
        SystemExit: code 2 after a user's mistake, said in one line.
    """
    if str(application.root()) not in sys.path:  # datamodules and callbacks belong to the application, not to the package
        sys.path.insert(0, str(application.root()))
    arguments = application.find_configs(sys.argv[1:] if args is None else list(args))
    try:
        with warnings.catch_warnings():
            _quiet_known_warnings()
            logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_advertisement)
            return XDancerCLI(
                LightningModule, LightningDataModule, subclass_mode_model=True, subclass_mode_data=True, auto_configure_optimizers=False,
                save_config_callback=SaveConfigToRun, save_config_kwargs={"save_to_log_dir": False},
                parser_kwargs={"exit_on_error": False}, args=arguments, run=True,
            )  # fmt: skip
    except (XDancerError, MisconfigurationException, ArgumentError) as error:
        print(f"train.py: {_short(str(error))}", file=sys.stderr)
    raise SystemExit(2)


def _short(message: str) -> str:
    """One line; of jsonargparse's list of everything that a value is not, the part that concerns the class the user named."""
    line = " ".join(message.split())
    found = re.search(r'^(Parser key "[^"]+"): .*?- Problem with given class_path (\S+): (.*?)(?: - Expected a <class .NoneType.>.*)?$', line)
    return f"{found[1]}, {found[2]}: {found[3]}" if found else line


def _no_advertisement(record: logging.LogRecord) -> bool:
    return "litlogger" not in record.getMessage()


def _quiet_known_warnings() -> None:
    """Advice of Lightning that the configs decide against on purpose."""
    for message in (
        ".*does not have many workers.*",  # num_workers 0 is right for the embedded data
        ".*exists and is not empty.*",  # a resumed run continues its folder
        ".*is smaller than the logging interval.*",  # short runs
        ".*Couldn't infer the batch indices.*",  # predictions are numbered by batch
        ".*args parameter is intended to run from within Python.*",
        r"\s*By default only one JsonargparseDeprecationWarning",  # Lightning 2.6 calls what
        r"(?s).*v5\.0\.0",  # jsonargparse 5 removes, hence its upper bound
        ".*isinstance.treespec, LeafSpec.*",  # lightning 2.6 with torch 2.13
        ".*eval mode at the start of training.*",  # the tokenizer inside stages 2 and 3 is frozen
        ".*loading a checkpoint outside the .fit. stage.*",  # the averaged weights lie in state_dict, which is what is loaded
    ):
        warnings.filterwarnings("ignore", message=message)
