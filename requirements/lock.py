"""Write requirements/tested.txt: the exact versions of everything that xdancer and its tests use in this environment, with licences.

    pip install -e '.[test,pose]' && python -m pytest && python requirements/lock.py

`pip install -c requirements/tested.txt 'xdancer[pose]'` installs what was tested.
"""

import importlib.metadata as metadata
import platform
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("test", "pose", "fsq", "remote", "ray", "eightbit")
"""Of ours; what is not installed of them is left out."""


def wanted() -> list[Requirement]:
    """The direct requirements of pyproject.toml, with those of `EXTRAS`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    lines, open_extras, seen = list(project["dependencies"]), list(EXTRAS), set[str]()
    while open_extras:
        if (extra := open_extras.pop()) in seen:
            continue
        seen.add(extra)
        for line in extras[extra]:
            requirement = Requirement(line)
            open_extras += requirement.extras if requirement.name == "xdancer" else []
            lines += [] if requirement.name == "xdancer" else [line]
    return [Requirement(line) for line in lines]


def closure(requirements: list[Requirement]) -> dict[str, metadata.Distribution]:
    """Installed packages by name: the requirements and everything that they require here."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(requirement, frozenset({""})) for requirement in requirements]
    done = set[tuple[str, frozenset[str]]]()
    while waiting:
        requirement, extras = waiting.pop()
        if requirement.marker is not None and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name, inner = canonicalize_name(requirement.name), frozenset({"", *requirement.extras})
        if (name, inner) in done:
            continue
        done.add((name, inner))
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        waiting += [(Requirement(line), inner) for line in found[name].requires or []]
    return found


def licence(distribution: metadata.Distribution) -> str:
    """What the package says of its licence, in a few words."""
    described = distribution.metadata
    classified = [line.rpartition(" :: ")[2] for line in described.get_all("Classifier") or [] if line.startswith("License ::")]
    said = described.get("License-Expression") or ", ".join(classified) or (described.get("License") or "not said").splitlines()[0]
    return said[:60]


def main() -> None:
    """Write the file."""
    found = closure(wanted())
    head = [
        f"# Tested with Python {platform.python_version()}, {platform.system()} {platform.machine()}. Written by requirements/lock.py.",
        "# torch: any build of this version (CPU, CUDA) from PyTorch's own page.",
    ]
    lines = [f"{name}=={found[name].version.partition('+')[0]}  # {licence(found[name])}" for name in sorted(found)]
    (ROOT / "requirements/tested.txt").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    print(f"requirements/tested.txt: {len(lines)} packages")


if __name__ == "__main__":
    main()
