"""All findings, their table and their JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xdancer.doctor.finding import Finding
from xdancer.doctor.machine import check_devices, check_disks, check_machine, check_slurm
from xdancer.doctor.packages import check_extras, check_packages
from xdancer.doctor.parts import check_application, check_media, check_weights
from xdancer.doctor.shards import check_shards

SHOWN = ("python", "xdancer")
"""Versions with a line of their own."""
MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[yellow]missing[/]", "broken": "[bold red]BROKEN[/]"}


def examine(places: Sequence[str] = (), *, deep: bool = False) -> Iterator[Finding]:
    """Look at everything; arguments as in `check_shards`."""
    yield from check_packages()
    yield from check_devices()
    yield from check_media()
    yield from check_application()
    yield from check_weights()
    yield from check_shards(places, deep=deep)
    yield from check_disks()
    yield from check_machine()
    yield from check_slurm()
    yield from check_extras()


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether all that is needed is fine; missing optional parts do not count."""
    return not any(finding.state == "broken" for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """One object: `healthy`, and the list of findings."""
    return json.dumps({"healthy": healthy(findings), "findings": [asdict(finding) for finding in findings]}, indent=1, ensure_ascii=False)


def show(findings: Sequence[Finding], console: Console) -> None:
    """A table with a block for every area. Versions that are as they should be share a line."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1, max_width=24)
    table.add_column(overflow="fold", ratio=2)
    area = ""
    for finding in _shortened(findings):
        if finding.area != area:
            area = finding.area
            table.add_row("", f"[bold]{escape(area)}[/]", "")
        advice = f"\n[dim]→ {escape(finding.advice)}[/]" if finding.advice else ""
        table.add_row(MARKS[finding.state], escape(finding.name), escape(finding.value) + advice)
    console.print(table)
    counts = {state: sum(finding.state == state for finding in findings) for state in MARKS}
    verdict = "[green]All that is needed is fine.[/]" if healthy(findings) else f"[bold red]{counts['broken']} broken.[/]"
    console.print(f"{verdict} {counts['missing']} optional parts missing, {counts['note']} notes.")


def _shortened(findings: Sequence[Finding]) -> list[Finding]:
    fine = [
        finding for finding in findings if finding.area == "versions" and finding.state == "ok" and finding.name not in ("python", "xdancer")
    ]
    rest = [finding for finding in findings if finding not in fine]
    if not fine:
        return rest
    line = Finding("versions", f"{len(fine)} packages", "ok", ", ".join(f"{finding.name} {finding.value}" for finding in fine))
    place = sum(finding.area == "versions" for finding in rest)
    return [*rest[:place], line, *rest[place:]]
