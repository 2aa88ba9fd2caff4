"""requirements/tested.txt, the lock of the tested versions: complete, and within the bounds of pyproject.toml."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def test_every_required_package_has_a_tested_version_within_its_bounds() -> None:
    pins = {}
    for line in (ROOT / "requirements/tested.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition("==")
            pins[name] = rest.split()[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["test"]
    for requirement in map(Requirement, lines):
        if requirement.name != "xdancer":
            found = pins.get(canonicalize_name(requirement.name))
            assert found is not None, f"{requirement.name}: run requirements/lock.py"
            assert requirement.specifier.contains(found, prereleases=True), f"{requirement} was tested with {found}: run requirements/lock.py"
    assert len(pins) > len(lines)  # what these need in turn, too
