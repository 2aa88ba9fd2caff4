"""A signal that asks a run to stop: the step in work is finished, a checkpoint written, and the process leaves with a code of its own."""

import signal
from types import FrameType

from lightning.pytorch import Trainer
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector
from lightning.pytorch.trainer.states import TrainerFn

STOPPED = 75
"""Exit code of a run that a signal stopped (EX_TEMPFAIL of sysexits.h): not finished, `--ckpt_path last` continues it."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""SIGTERM: a cluster's preemption, `kill`. SIGUSR1: SLURM's warning before the time limit (slurm/train.sbatch)."""


class StoppedBySignal(SystemExit):
    """Leaves a run behind its checkpoint.

    Args:
        rank: other ranks than 0 leave with code 0: what started them takes any other for a crash and kills rank 0 before it has said why.
    """

    def __init__(self, rank: int) -> None:
        super().__init__(0 if rank else STOPPED)


class StopSignals(_SignalConnector):
    """Remembers a signal while training; `StepCheckpoint` stops the run at the end of the step.

    In place of Lightning's handlers, which communicate between ranks in the middle of whatever a rank is doing, and leave with code 0.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        self.received: signal.Signals | None = None

    def register_signal_handlers(self) -> None:
        if self.trainer.state.fn != TrainerFn.FITTING:
            super().register_signal_handlers()
            return
        self.received, self._original_handlers = None, self._get_current_signal_handlers()
        for number in SIGNALS:
            self._register_signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)


def received(trainer: Trainer) -> signal.Signals | None:
    """The signal that asks this process to stop."""
    return getattr(trainer._signal_connector, "received", None)
