"""`xdancer plan`: will this training fit the GPU?"""

import subprocess
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdancer.errors import XDancerError

if TYPE_CHECKING:
    from xdancer.planning.budget import Plan
    from xdancer.planning.step import Step

GIB = 2**30


def plan(*, configs: list[Path], gpus: int = 1, gpu_memory: float = 24.0, json: bool = False) -> None:
    """Predict parameters, memory and operations of a training step from its config, and say what to switch on where it does not fit.

    Nothing is trained or loaded: the step is walked through on tensors that have shapes and no numbers. Fused attention is assumed.

    Args:
        configs: as for train.py, --config A --config B, later ones over earlier ones.
        gpus: processes of one GPU each.
        gpu_memory: GiB of one GPU.
        json: print one line of JSON instead of the table.

    Raises:
        XDancerError: a config that train.py refuses, or that is none of the three stages.
    """
    from xdancer.planning.budget import demand, read_plan
    from xdancer.planning.step import predict

    if gpus < 1 or gpu_memory <= 0:
        raise XDancerError(f"--gpus {gpus}, --gpu-memory {gpu_memory:g}: at least one GPU, and more than no memory.")
    asked = read_plan(merged(configs), gpus)
    step = predict(asked.run)
    needed = demand(asked, step)
    sizes = {**asdict(needed), "total": needed.total}
    figures = {
        "parameters": step.parameters, "trained": step.trained, "flops": step.flops, "batch": asked.run.batch,
        **{f"{name}_gib": value / GIB for name, value in sizes.items()}, "fits": needed.total <= gpu_memory * GIB,
    }  # fmt: skip
    found = [] if figures["fits"] else _advice(asked, step, gpu_memory * GIB)
    if json:
        print(dumps(figures | {"advice": [{"change": words, "total_gib": total / GIB} for words, total in found]}))
        return
    _show(figures, sizes, gpu_memory)
    for number, (words, total) in enumerate(found, start=1):
        print(f"{number}. {words}: {total / GIB:.1f} GiB")
    if found and found[-1][1] > gpu_memory * GIB:
        print("All of this together does not fit either: use a larger GPU or a smaller model.")


def merged(configs: list[Path]) -> dict[str, Any]:
    """The whole config that train.py makes of these files.

    Raises:
        XDancerError: what train.py says of them.
    """
    import yaml

    from xdancer.application import find_configs, train_command

    flags = find_configs([word for path in configs for word in ("--config", str(path))])
    for path in flags[1::2]:
        if not Path(path).is_file():
            raise XDancerError(f"--config {path}: no such file, neither here nor among the configs of xdancer.")
    command = train_command("fit", *flags, "--print_config")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise XDancerError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"train.py ended with {done.returncode}")
    return yaml.safe_load(done.stdout)


def _advice(asked: "Plan", step: "Step", limit: float) -> list[tuple[str, float]]:
    """Changes, each on top of those before, until the run fits."""
    from xdancer.planning.budget import demand, remedies
    from xdancer.planning.step import predict

    found, run = list[tuple[str, float]](), asked.run
    for words, changed in remedies(asked):
        if changed.run != run:
            step, run = predict(changed.run), changed.run
        found.append((words, demand(changed, step).total))
        if found[-1][1] <= limit:
            break
    return found


def _show(figures: dict[str, Any], sizes: dict[str, float], gpu_memory: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("one GPU", "GiB")
    for name, value in sizes.items():
        table.add_row(name, f"{value / GIB:.2f}")
    console = Console()
    console.print(table)
    fits = "fits" if figures["fits"] else "does not fit"
    print(
        f"{figures['parameters'] / 1e6:.1f} million parameters, {figures['trained'] / 1e6:.1f} trained; {figures['flops'] / 1e12:.3g} TFLOP "
        f"a step of batch {figures['batch']}; {fits} {gpu_memory:g} GiB."
    )
