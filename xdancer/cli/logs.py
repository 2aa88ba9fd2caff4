"""`<run_dir>/metrics.csv` of a run that may be killed and resumed."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from xdancer.files import whole


@dataclass(frozen=True)
class ResumePoint:
    """Where a resumed run begins."""

    step: int
    """Optimiser steps done."""
    rows: int | None = None
    """Rows that metrics.csv had when the checkpoint was written; checkpoints of other programs do not say."""


class RunCSVLogger(CSVLogger):
    """`<run_dir>/metrics.csv`; a resumed run continues the file where its checkpoint was written (Lightning's logger deletes it)."""

    def __init__(self, run_dir: Path, *, resume: ResumePoint | None) -> None:
        super().__init__(run_dir, name="", version="", flush_logs_every_n_steps=50)
        self._resume = resume

    @property
    def experiment(self) -> Any:
        if self._experiment is None and getattr(rank_zero_only, "rank", 0) == 0:
            Path(self.log_dir).mkdir(parents=True, exist_ok=True)
            self._experiment = ContinuedWriter(self.log_dir, self._resume)
        return super().experiment

    @property
    def rows(self) -> int:
        """Rows in the file, those that wait included."""
        return self.experiment.rows if getattr(rank_zero_only, "rank", 0) == 0 else 0


class ContinuedWriter(ExperimentWriter):
    """Keeps the rows from before the checkpoint; without one starts a new file."""

    def __init__(self, log_dir: str, resume: ResumePoint | None) -> None:
        self.resume = resume
        self.kept_keys: list[str] = []
        self.rows = 0
        super().__init__(log_dir)
        self.metrics_keys = self.kept_keys

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        self.rows += 1
        super().log_metrics(metrics_dict, step)

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return
        if self.resume is None:
            path.unlink()
            return
        with path.open(newline="") as file:
            table = csv.DictReader(file)
            self.kept_keys = list(table.fieldnames or [])
            rows = [row for row in table if (row.get("step") or "").isdigit()]  # a killed writer may leave half a row
        limit = self.resume.rows
        rows = [row for row in rows if int(row["step"]) < self.resume.step] if limit is None else rows[:limit]
        self.rows = len(rows)
        self._write_all(path, rows)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.kept_keys = fieldnames
        self._write_all(path, rows)

    def _write_all(self, path: Path, rows: list[dict[str, Any]]) -> None:
        with whole(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=self.kept_keys)
            writer.writeheader()
            writer.writerows(rows)
