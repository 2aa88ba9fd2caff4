"""`python -m xdancer.cluster.upstream RUN_DIR …`: exit code 0 if these runs have ended by their records, else 2 and one line that says why."""

import json
import sys
from pathlib import Path

from xdancer.errors import XDancerError


def require_ended(run_dir: Path) -> None:
    """Refuse to start from a run that still trains, was stopped, or failed.

    Raises:
        XDancerError: its `run.json` is missing or does not say that the newest start ended, or `last.ckpt` is not there.
    """
    try:
        newest = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["starts"][-1]
        ended = "ended" in newest
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise XDancerError(
            f"{run_dir}: no run record to read ({type(error).__name__}). Train the stage before: python train.py fit …"
        ) from error
    if not ended:
        why = newest.get("stopped_by", "it was killed, or trains still")
        raise XDancerError(f"{run_dir}: this run has not ended ({why}). Continue it with --ckpt_path last before the next stage.")
    if not (run_dir / "last.ckpt").is_file():
        raise XDancerError(f"{run_dir}: ended, but its last.ckpt is gone. Copy it there, or train the stage again.")


if __name__ == "__main__":
    try:
        for folder in sys.argv[1:]:
            require_ended(Path(folder))
    except XDancerError as error:
        print(f"upstream: {error}", file=sys.stderr)
        sys.exit(2)
