"""Feed damaged files to their readers, each in a process of its own with limits of time and memory, and say what came of each.

    python tests/fuzz/run.py --count 240 --seed 0 --keep bad

Outcome: `fine` (read all the same), `refused` (an XDancerError in one line), CRASH (any other exception, a signal, more than the memory) or
HANG (longer than the time). Files that crash or hang are kept. Exit code 1 if there are any.
"""

import argparse
import collections
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from corpus import Kind, damaged_copy, make_kinds

from xdancer.errors import XDancerError

MEMORY = 3 * 2**30
"""Bytes of address space that reading one small file may take beyond what the libraries have."""


def outcome_of(read: Callable[[Path], None], path: Path, *, seconds: float) -> tuple[str, str]:
    """Outcome and reason of reading a file in a child process."""
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiving)
        os.write(sending, json.dumps(_read(read, path)).encode()[:4000])
        os._exit(0)
    os.close(sending)
    try:
        ready, _, _ = select.select([receiving], [], [], seconds)
        said = os.read(receiving, 4096) if ready else b""
    finally:
        os.close(receiving)
        if not ready:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if not ready:
        return "HANG", f"nothing within {seconds:g} s"
    if not said:
        return "CRASH", f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended without a word"
    outcome, reason = json.loads(said)
    return outcome, reason


def _read(read: Callable[[Path], None], path: Path) -> tuple[str, str]:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        read(path)
    except XDancerError as error:
        return "refused", " ".join(str(error).split())[:300]
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return "CRASH", f"{type(error).__name__}: {str(error)[:200]} ({Path(frame.filename).name}:{frame.lineno})"
    return "fine", ""


def feed(kinds: list[Kind], *, count: int, seed: int, seconds: float, keep: Path | None, place: Path) -> list[dict]:
    """Outcome of `count` damaged files, in turn of every kind."""
    rows = []
    for number in range(count):
        kind, rng = kinds[number % len(kinds)], np.random.default_rng([seed, number])
        folder = place / f"{number:05d}"
        path, damage = damaged_copy(kind, folder, rng)
        began = time.monotonic()
        outcome, reason = outcome_of(kind.read, path, seconds=seconds)
        rows.append(
            {"number": number, "kind": kind.name, "damage": damage, "outcome": outcome, "reason": reason, "s": time.monotonic() - began}
        )
        if outcome in ("CRASH", "HANG"):
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            if keep is not None:
                shutil.copytree(folder, keep / folder.name, dirs_exist_ok=True)
        shutil.rmtree(folder)
    return rows


def table(rows: list[dict]) -> str:
    """Counts by kind."""
    outcomes = ("fine", "refused", "CRASH", "HANG")
    counts = collections.Counter((row["kind"], row["outcome"]) for row in rows)
    kinds = dict.fromkeys(row["kind"] for row in rows)
    lines = [f"{'kind':<16}" + "".join(f"{name:>9}" for name in outcomes)]
    lines += [f"{kind:<16}" + "".join(f"{counts[kind, name]:>9}" for name in outcomes) for kind in kinds]
    lines.append(f"{'all':<16}" + "".join(f"{sum(row['outcome'] == name for row in rows):>9}" for name in outcomes))
    return "\n".join([*lines, f"slowest {max(row['s'] for row in rows):.1f} s"])


def main() -> int:
    """Make, feed, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit of one file")
    parser.add_argument("--keep", type=Path, help="folder for files that crash or hang")
    parser.add_argument("--out", type=Path, help="JSON file with every outcome")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as root:
        kinds = make_kinds(Path(root) / "sound")
        for kind in kinds:  # a corpus whose sound files are refused would show nothing
            if (found := outcome_of(kind.read, kind.path, seconds=60))[0] != "fine":
                print(f"the sound {kind.name} is not read: {found}", file=sys.stderr)
                return 2
        rows = feed(kinds, count=options.count, seed=options.seed, seconds=options.seconds, keep=options.keep, place=Path(root) / "damaged")
    print(table(rows))
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=1))
    return int(any(row["outcome"] in ("CRASH", "HANG") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
