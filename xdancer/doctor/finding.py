"""What the doctor finds."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "missing", "broken"]
"""`note`: worth knowing; `missing`: an optional part; `broken`: something needed, the only state that fails."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    area: str
    name: str
    state: State
    value: str
    """What was found."""
    advice: str = ""
    """The next step where it is not ok."""


def gigabytes(count: int | float) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
