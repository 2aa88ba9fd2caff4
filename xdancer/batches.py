"""The batch of an optimiser step, whatever the number of processes."""

from xdancer.errors import XDancerError


def split_batch(total: int, *, processes: int, at_most: int) -> tuple[int, int]:
    """How `total` samples of an optimiser step are shared: samples of a process at once, and how often it accumulates gradients.

    Args:
        total: samples of all processes in a step.
        processes: those that train.
        at_most: samples that a process takes at once.

    Raises:
        XDancerError: the processes cannot share the samples equally.
    """
    if total % processes:
        fits = max(number for number in range(1, processes + 1) if total % number == 0)
        raise XDancerError(
            f"global_batch {total} cannot be shared by {processes} processes. Use {fits} of them, or a global_batch that {processes} divides."
        )
    share = total // processes
    rounds = next(number for number in range(1, share + 1) if share % number == 0 and share // number <= at_most)
    return share // rounds, rounds
