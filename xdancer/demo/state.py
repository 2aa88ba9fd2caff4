"""What a demo has already done, in DIR/state.json, so that the same command continues where it stopped."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xdancer.errors import XDancerError
from xdancer.files import write_text

VERSION = 1


@dataclass
class State:
    """Finished phases of one demo. `settings` (seed, minutes, …) must be equal for a demo to continue."""

    path: Path
    settings: dict[str, Any]
    finished: dict[str, float] = field(default_factory=dict)
    """Seconds each finished phase took, interrupted attempts included."""
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds of attempts at phases that are not finished."""
    commands: dict[str, str] = field(default_factory=dict)
    """The command line of each phase that was started."""
    wall: float = 0.0
    """Seconds of all attempts together by the clock on the wall."""
    peak_memory: int = 0
    """Largest resident memory of all processes together, bytes; 0 where the system does not tell."""
    complete: bool = False

    def save(self) -> None:
        """Write the file in one stroke."""
        content = {name: value for name, value in asdict(self).items() if name != "path"}
        write_text(self.path, json.dumps({"version": VERSION, **content}, indent=1) + "\n")

    def finish(self, phase: str, seconds: float) -> None:
        """Record that a phase ended well after `seconds` of its last attempt."""
        self.finished[phase] = round(self.spent.pop(phase, 0.0) + seconds, 1)
        self.save()

    def stop(self, phase: str, seconds: float) -> None:
        """Record that an attempt at a phase ended before the phase did."""
        self.spent[phase] = round(self.spent.get(phase, 0.0) + seconds, 1)
        self.save()


def open_state(folder: Path, settings: dict[str, Any]) -> State:
    """The state of the demo in `folder`, a new one where there is none.

    A complete demo is set aside under the next free name (`DIR.1`, `DIR.2`, …): a demo always trains from nothing.

    Raises:
        XDancerError: the folder holds something else, or an unfinished demo with other settings.
    """
    path = folder / "state.json"
    if path.is_file():
        state = _read(path)
        if state.complete:
            set_aside(folder)
        elif state.settings != settings:
            raise XDancerError(_difference(folder, state.settings, settings))
        else:
            return state
    elif folder.is_dir() and any(folder.iterdir()):
        raise XDancerError(f"--out {folder}: the folder holds other files. Name a new or empty folder.")
    elif folder.exists() and not folder.is_dir():
        raise XDancerError(f"--out {folder}: this is a file. Name a new or empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    state = State(path, settings)
    state.save()
    return state


def set_aside(folder: Path) -> Path:
    """Rename a folder to the next free `NAME.1`, `NAME.2`, …"""
    number = 1
    while (target := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(target)
    return target


def _read(path: Path) -> State:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("version")
        if version != VERSION:
            raise XDancerError(f"{path}: state of version {version}, this xdancer writes {VERSION}. Choose another --out.")
        return State(path=path, **content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise XDancerError(f"{path}: not the state of a demo ({error}). Remove the folder or choose another --out.") from error


def _difference(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> str:
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    was = " ".join(f"--{name} {old.get(name)}" for name in names)
    now = " ".join(f"--{name} {new.get(name)}" for name in names)
    return f"{folder} holds an unfinished demo with {was}, this call asks for {now}. Repeat the flags to continue it, or choose another --out."
