"""Videos that cost a worker process twice: `quarantine.json`. They are left out, and not tried again unless asked."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from xdancer.errors import XDancerError
from xdancer.files import write_text
from xdancer.prepare.sources import Source

QUARANTINE = "quarantine.json"


@dataclass(frozen=True)
class Quarantined:
    """One video."""

    video: str
    digest: str
    """sha256 of the file: under another name it stays in quarantine."""
    reason: str


class Quarantine:
    """The list in a folder, written whenever it grows."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / QUARANTINE
        self.reasons: dict[str, str] = {}
        """By digest."""
        self.rows = _read(self.path) if self.path.exists() else []
        self.reasons = {row.digest: row.reason for row in self.rows}

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, source: Source, reason: str) -> None:
        """One more, with its reason."""
        if source.digest not in self.reasons:
            self._write([*self.rows, Quarantined(source.name, source.digest, reason)])

    def release(self) -> None:
        """Nothing is in quarantine any more."""
        self.rows, self.reasons = [], {}
        self.path.unlink(missing_ok=True)

    def replace(self, rows: list[Quarantined]) -> None:
        """This and nothing else is in quarantine; without any there is no file."""
        self._write(rows) if rows else self.release()

    def _write(self, rows: list[Quarantined]) -> None:
        self.rows, self.reasons = rows, {row.digest: row.reason for row in rows}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, json.dumps([asdict(row) for row in rows], indent=2) + "\n")
        except OSError as error:
            raise XDancerError(f"{self.path}: cannot be written ({error.strerror or error}). Free space and start again.") from error


def _read(path: Path) -> list[Quarantined]:
    try:
        return [Quarantined(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise XDancerError(f"{path}: cannot be read ({error}). Remove it to try its videos again.") from error
