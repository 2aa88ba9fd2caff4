"""Where the application (train.py, configs, datamodules, callbacks) lies: the checkout, else the copy that the wheel carries."""

import sys
from pathlib import Path

from xdancer.errors import XDancerError


def root() -> Path:
    """The folder that holds train.py and configs/.

    Raises:
        XDancerError: the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package.parent, package / "_application"):
        if (folder / "train.py").is_file() and (folder / "configs").is_dir():
            return folder
    raise XDancerError(
        f"No train.py and configs/ beside {package} or in it: the installation is incomplete. Reinstall with `pip install xdancer`."
    )


def config_path(name: str) -> Path:
    """A config of the application by its name below configs/, such as `demo/vqvae.yaml`."""
    path = root() / "configs" / name
    if not path.is_file():
        known = ", ".join(sorted(str(item.relative_to(root() / "configs")) for item in (root() / "configs").rglob("*.yaml")))
        raise XDancerError(f"configs/{name}: no such config. There are {known}.")
    return path


def train_command(*arguments: str) -> list[str]:
    """The command that trains as a child process: `train_command("fit", "--config", "configs/demo/vqvae.yaml")`."""
    return [sys.executable, str(root() / "train.py"), *arguments]


def find_configs(arguments: list[str]) -> list[str]:
    """Arguments with every `--config` that does not exist from here, but does in the application, replaced by that one."""
    found = list(arguments)
    for index, argument in enumerate(found):
        flag, equals, value = argument.partition("=")
        if flag in ("--config", "-c"):
            if equals:
                found[index] = f"{flag}={_resolve(value)}"
            elif index + 1 < len(found):
                found[index + 1] = _resolve(found[index + 1])
    return found


def _resolve(value: str) -> str:
    there = root() / value
    return str(there) if not Path(value).exists() and there.is_file() else value
