"""Resident memory of processes and their descendants, where the system tells (Linux)."""

import os
from collections.abc import Sequence
from pathlib import Path

PROC = Path("/proc")


def resident_bytes(roots: Sequence[int]) -> int:
    """Resident bytes of the processes and all their descendants together (shared pages counted in each); 0 where /proc is missing."""
    parents: dict[int, int] = {}
    pages: dict[int, int] = {}
    for entry in PROC.glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            pages[int(entry.name)] = int((entry / "statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue  # the process has gone
        parents[int(entry.name)] = int(fields[1])
    family = set(roots) & set(pages)
    grown = True
    while grown:
        more = {process for process, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return sum(pages[process] for process in family) * os.sysconf("SC_PAGE_SIZE") if family else 0
