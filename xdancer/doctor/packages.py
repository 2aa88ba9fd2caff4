"""Versions against the bounds of the installed package, and which optional parts are there."""

import importlib.metadata as metadata
import platform
import sys
from collections.abc import Iterator

from packaging.requirements import Requirement

import xdancer
from xdancer.doctor.finding import Finding

FOR_DEVELOPERS = {"test", "dev"}
"""Extras that users do not miss."""


def check_packages() -> Iterator[Finding]:
    """Python, xdancer, and every package that it needs."""
    yield Finding("versions", "python", "ok", f"{platform.python_version()} ({sys.executable})")
    try:
        needed = [Requirement(line) for line in metadata.requires("xdancer") or []]
    except metadata.PackageNotFoundError:
        advice = "pip install -e . in the checkout"
        yield Finding("versions", "xdancer", "broken", f"{xdancer.__version__}, not installed: its bounds are not known", advice)
        return
    yield Finding("versions", "xdancer", "ok", xdancer.__version__)
    for requirement in needed:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            fault = _fault(requirement)
            found = _version(requirement.name)
            yield Finding("versions", requirement.name, "broken" if fault else "ok", found or "not installed", fault)


def check_extras() -> Iterator[Finding]:
    """The optional parts of xdancer."""
    try:
        described = metadata.metadata("xdancer").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return
    lines = [Requirement(line) for line in metadata.requires("xdancer") or []]
    for extra in sorted(set(described) - FOR_DEVELOPERS):
        named = [line for line in lines if line.marker is not None and f"'{extra}'" in str(line.marker).replace('"', "'")]
        usable = [line for line in named if line.marker is not None and line.marker.evaluate({"extra": extra})]
        if not usable:
            yield Finding("extras", extra, "note", f"nothing of it exists for Python {platform.python_version()}")
            continue
        faults = [fault for line in usable if (fault := _fault(line))]
        found = ", ".join(f"{line.name} {_version(line.name) or 'not installed'}" for line in usable)
        yield Finding("extras", extra, "missing" if faults else "ok", found, f"pip install 'xdancer[{extra}]'" if faults else "")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fault(requirement: Requirement) -> str:
    """The install line of a package that is not there or out of its bounds, else nothing."""
    found = _version(requirement.name)
    if found is not None and requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"pip install '{requirement.name}{requirement.specifier}'"
