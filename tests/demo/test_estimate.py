"""The time left of a schedule."""

from xdancer.demo.estimate import time_left
from xdancer.demo.phase import Phase

PHASES = [
    Phase("data", "", (), threads=2), Phase("long", "", (), ("data",)), Phase("short", "", (), ("data",)), Phase("after", "", (), ("short",)),
    Phase("end", "", (), ("long", "after"), threads=2),
]  # fmt: skip
SECONDS = {"data": 10.0, "long": 50.0, "short": 20.0, "after": 5.0, "end": 3.0}


def test_phases_that_fit_beside_one_another_overlap() -> None:
    assert time_left(PHASES, finished=[], running=[], seconds=SECONDS, cores=2) == 10 + 50 + 3
    assert time_left(PHASES, finished=[], running=[], seconds=SECONDS, cores=1) == 10 + 50 + 20 + 5 + 3


def test_what_is_done_counts_no_more() -> None:
    seconds = {**SECONDS, "long": 1.0}
    assert time_left(PHASES, finished=["data"], running=["long", "short"], seconds=seconds, cores=2) == 20 + 5 + 3
    assert time_left(PHASES, finished=list(SECONDS), running=[], seconds=SECONDS, cores=2) == 0
