"""slurm/train.sbatch with a job's values."""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xdancer.application import root
from xdancer.errors import XDancerError

MARK = "# values of xdancer submit\n"


@dataclass(frozen=True)
class Variant:
    """One task of an array, or the only one of a job."""

    run_dir: Path
    options: tuple[str, ...] = ()
    """Of `train.py fit`, behind those of the job."""
    upstream: tuple[Path, ...] = ()
    """Runs that must have ended."""


@dataclass(frozen=True)
class Job:
    """What one sbatch call trains."""

    name: str
    config: Path
    """Of the stage."""
    options: tuple[str, ...]
    """Of `train.py fit`, over the config and over where it runs."""
    variants: tuple[Variant, ...]


def render(job: Job, resources: Mapping[str, str | None], place: Sequence[str]) -> str:
    """The batch script of a job.

    Args:
        job: its training.
        resources: options of sbatch by name, in place of or besides the template's; None leaves one out.
        place: options of `train.py fit` that say where it runs (accelerator, strategy), over the stage's config and under the job's options.

    Raises:
        XDancerError: the template is not there.
    """
    path = root() / "slurm/train.sbatch"
    try:
        head, mark, body = path.read_text(encoding="utf-8").partition(MARK)
    except OSError as error:
        raise XDancerError(f"{path}: cannot be read ({error.strerror}). Reinstall xdancer.") from error
    if not mark:
        raise XDancerError(f"{path}: has lost its line {MARK.strip()!r}. Restore it from the repository.")
    return _with_resources(head, resources) + "\n".join(_values(job, place)) + "\n" + body


def _with_resources(head: str, resources: Mapping[str, str | None]) -> str:
    lines, left = list[str](), dict(resources)
    for line in head.splitlines():
        found = re.fullmatch(r"#SBATCH --([a-z-]+)(=.*)?", line)
        if found is not None and found[1] in left:
            value = left.pop(found[1])
            lines += [] if value is None else [_directive(found[1], value)]
        else:
            lines.append(line)
    last = max(number for number, line in enumerate(lines) if line.startswith("#SBATCH"))
    lines[last + 1 : last + 1] = [_directive(name, value) for name, value in left.items() if value is not None]
    return "\n".join(lines) + "\n"


def _directive(name: str, value: str) -> str:
    """A line that sbatch reads.

    Raises:
        XDancerError: a value that would become more than one.
    """
    if not re.fullmatch(r"[\w.,:;/@%+*&|()=\[\]-]*", value):
        raise XDancerError(f"--{name} {value!r}: sbatch takes letters, digits and . , : / @ % + - and brackets here, without spaces.")
    return f"#SBATCH --{name}={value}" if value else f"#SBATCH --{name}"


def _values(job: Job, place: Sequence[str]) -> list[str]:
    lines = [
        f"python={shlex.quote(sys.executable)}",
        f"train={shlex.quote(str(root() / 'train.py'))}",
        f"arguments=({shlex.join(['--config', str(job.config), *place, *job.options])})",
    ]
    if len(job.variants) == 1:
        return [*lines, *_variant(job.variants[0])]
    lines.append('case "$SLURM_ARRAY_TASK_ID" in')
    for number, variant in enumerate(job.variants):
        lines.append(f"  {number}) {'; '.join(_variant(variant))} ;;")
    return [*lines, "esac"]


def _variant(variant: Variant) -> list[str]:
    options = (*variant.options, "--run_dir", str(variant.run_dir))
    return [
        f"run={shlex.quote(str(variant.run_dir))}",
        f"upstream=({shlex.join(map(str, variant.upstream))})",
        f"arguments+=({shlex.join(options)})",
    ]
