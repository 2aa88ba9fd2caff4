"""A training config on several numbers of GPUs: its batch shared, its steps predicted, and what `scaling` and `storage` make of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xdancer.errors import XDancerError
from xdancer.planning.assumptions import Clips, Cluster
from xdancer.planning.budget import Plan, demand, read_plan
from xdancer.planning.frozen import frozen_flops
from xdancer.planning.scaling import Work, pace, sharded, sharing
from xdancer.planning.step import Step, predict
from xdancer.planning.storage import sample_bytes
from xdancer.video_diffusion.config import VideoDiffusionConfig


@dataclass(frozen=True)
class ScaleRow:
    """A stage on `gpus` GPUs. Seconds and bytes."""

    gpus: int
    used: int
    """Those that can share the batch equally; the others would be idle."""
    batch: int
    """Samples of a GPU at once."""
    rounds: int
    """Accumulated before each step."""
    computing: float
    reducing: float
    step: float
    run: float
    """All steps."""
    memory: float
    """Of a GPU, under DDP from two on."""
    sharded_memory: float
    """Of a GPU under FSDP, at least."""
    sent: float
    """By a GPU in a step, for the gradients."""
    sent_in_all: float
    """By all GPUs in all steps."""
    read: float
    """From the shards for a step, by all GPUs."""
    read_in_all: float

    @property
    def read_rate(self) -> float:
        """Bytes a second from the shards."""
        return self.read / self.step


def scale_rows(config: Mapping[str, Any], gpus: int, numbers: Iterable[int], cluster: Cluster, clips: Clips) -> list[ScaleRow]:
    """The rows of a whole training config, as `train.py fit --print_config` writes it.

    The batch of a step stays the same: global_batch, or without one what `gpus` processes of it take.

    Raises:
        XDancerError: a run without a number of steps, or a model class that is none of the three stages.
    """
    data, trainer = config["data"]["init_args"], config["trainer"]
    steps = trainer.get("max_steps") or -1
    if steps < 1:
        raise XDancerError(f"trainer.max_steps {steps}: how long a stage takes needs its number of steps.")
    total = config.get("global_batch") or data["batch_size"] * (trainer.get("accumulate_grad_batches") or 1) * gpus
    known: dict[str, tuple[Step, int]] = {}
    rows = []
    for number in numbers:
        used = sharing(total, number)
        plan = read_plan({**config, "global_batch": total}, used)
        if (name := repr(plan.run)) not in known:
            known[name] = predict(plan.run), 0 if data.get("latents") else frozen_flops(plan.run)
        rows.append(_row(plan, *known[name], number, total, steps, cluster, _sample_bytes(config, plan, clips)))
    return rows


def _row(plan: Plan, step: Step, frozen: int, number: int, total: int, steps: int, cluster: Cluster, sample: int) -> ScaleRow:
    used, needed = plan.gpus, demand(plan, step)
    rounds = total // (used * plan.run.batch)
    found = pace(Work(float(step.flops + frozen), rounds, float(step.gradients)), used, cluster)
    least = sharded(
        weights=needed.weights, gradients=float(step.gradients), optimizer=needed.optimizer, activations=needed.activations,
        context=needed.context, gpus=used,
    )  # fmt: skip
    return ScaleRow(
        gpus=number, used=used, batch=plan.run.batch, rounds=rounds, computing=found.computing, reducing=found.reducing, step=found.step,
        run=steps * found.step, memory=needed.total, sharded_memory=least, sent=found.sent, sent_in_all=used * steps * found.sent,
        read=float(total * sample), read_in_all=float(steps * total * sample),
    )  # fmt: skip


def _sample_bytes(config: Mapping[str, Any], plan: Plan, clips: Clips) -> int:
    model = plan.run.model
    size = {"height": model.height, "width": model.width} if isinstance(model, VideoDiffusionConfig) else {}
    return sample_bytes(config["data"], clips, **size)
