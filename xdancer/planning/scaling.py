"""A stage on many GPUs, calculated: time, memory and bytes from the operations of a step and the speeds of a cluster.

With n GPUs that share a batch, r rounds of accumulation, F operations of a round on one GPU, G bytes of gradients, B bytes a second of the
slowest link of the ring, S steps:

    computing  C = max(r · F / (peak · utilisation), least)
    all-reduce A = 2 · (n − 1) / n · G / B          once a step, a ring; what each GPU sends
    step       C + A − min(A, overlap · C)
    run        S · step
    moved      n · 2 · (n − 1) / n · G · S          by all GPUs
"""

from dataclasses import dataclass

from xdancer.planning.assumptions import Cluster


@dataclass(frozen=True)
class Work:
    """What every GPU does for one step of the optimiser."""

    flops: float
    """Of one round, the frozen networks' passes counted."""
    rounds: int
    """Batches whose gradients are accumulated."""
    gradients: float
    """Bytes."""


@dataclass(frozen=True)
class Pace:
    """Seconds and bytes of a step."""

    computing: float
    reducing: float
    step: float
    sent: float
    """By each GPU."""


def sharing(batch: int, gpus: int) -> int:
    """Most of these GPUs that can share a batch equally."""
    return max(number for number in range(1, gpus + 1) if batch % number == 0)


def ring_bytes(gradients: float, gpus: int) -> float:
    """What each GPU sends in a ring all-reduce: every part goes round twice but for one stop, 2 · (n − 1) / n · bytes."""
    return 2 * (gpus - 1) / gpus * gradients


def pace(work: Work, gpus: int, cluster: Cluster) -> Pace:
    """How fast `gpus` make a step. A ring over several nodes goes at the speed of its slowest link."""
    computing = max(work.rounds * work.flops / (cluster.peak_tflops * 1e12 * cluster.utilisation), cluster.least_ms / 1e3)
    link = cluster.node_gbytes if gpus <= cluster.node_gpus else min(cluster.node_gbytes, cluster.network_gbytes)
    sent = ring_bytes(work.gradients, gpus)
    reducing = sent / (link * 1e9)
    return Pace(computing, reducing, computing + reducing - min(reducing, cluster.overlap * computing), sent)


def sharded(*, weights: float, gradients: float, optimizer: float, activations: float, context: float, gpus: int) -> float:
    """Least bytes on a GPU under FSDP's full shard: (weights + gradients + states of the optimiser) / n + activations + context.

    What is gathered at a time comes on top: one block with an `auto_wrap_policy`, else the whole model. No averages. It sends half as much
    again as DDP: weights are gathered forward and backward, gradients reduced once.
    """
    return (weights + gradients + optimizer) / gpus + activations + context
