"""`xdancer plan`: will this training fit the GPU, and what does it take on many?"""

import subprocess
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdancer.errors import XDancerError
from xdancer.planning.assumptions import Clips, Cluster

if TYPE_CHECKING:
    from xdancer.planning.budget import Plan
    from xdancer.planning.step import Step
    from xdancer.planning.table import ScaleRow

GIB = 2**30


def plan(
    *, configs: list[Path], gpus: int = 1, gpu_memory: float = 24.0, json: bool = False, scale: str = "", cluster: Cluster = Cluster(),
    clips: Clips = Clips(),
) -> None:  # fmt: skip
    """Predict parameters, memory and operations of a training step from its config, and say what to switch on where it does not fit.

    Nothing is trained or loaded: the step is walked through on tensors that have shapes and no numbers. Fused attention is assumed.

    Args:
        configs: as for train.py, --config A --config B, later ones over earlier ones.
        gpus: processes of one GPU each.
        gpu_memory: GiB of one GPU.
        json: print one line of JSON instead of the table.
        scale: numbers of GPUs, such as 1,8,64: time, memory, bytes moved and storage of the whole stage (formulas: docs/scaling.md).
        cluster: speeds for --scale.
        clips: the data set for --scale.

    Raises:
        XDancerError: a config that train.py refuses, or that is none of the three stages; numbers of GPUs that are none.
    """
    from xdancer.planning.budget import demand, read_plan
    from xdancer.planning.step import predict
    from xdancer.planning.storage import storage
    from xdancer.planning.table import scale_rows

    if gpus < 1 or gpu_memory <= 0:
        raise XDancerError(f"--gpus {gpus}, --gpu-memory {gpu_memory:g}: at least one GPU, and more than no memory.")
    numbers = _numbers(scale)
    config = merged(configs)
    asked = read_plan(config, gpus)
    step = predict(asked.run)
    needed = demand(asked, step)
    sizes = {**asdict(needed), "total": needed.total}
    figures = {
        "parameters": step.parameters, "trained": step.trained, "flops": step.flops, "batch": asked.run.batch,
        **{f"{name}_gib": value / GIB for name, value in sizes.items()}, "fits": needed.total <= gpu_memory * GIB,
    }  # fmt: skip
    found = [] if figures["fits"] else _advice(asked, step, gpu_memory * GIB)
    rows = scale_rows(config, gpus, numbers, cluster, clips) if numbers else []
    scaled = {"scale": [asdict(row) for row in rows], "storage": storage(clips), "cluster": asdict(cluster)} if rows else {}
    if json:
        print(dumps(figures | {"advice": [{"change": words, "total_gib": total / GIB} for words, total in found]} | scaled))
        return
    _show(figures, sizes, gpu_memory)
    for number, (words, total) in enumerate(found, start=1):
        print(f"{number}. {words}: {total / GIB:.1f} GiB")
    if found and found[-1][1] > gpu_memory * GIB:
        print("All of this together does not fit either: use a larger GPU or a smaller model.")
    if rows:
        _show_scaled(rows, cluster, bf16=asked.run.bf16)
        _show_storage(storage(clips), clips)


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


def _numbers(scale: str) -> list[int]:
    words = [word.strip() for word in scale.split(",")] if scale else []
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise XDancerError(f"--scale {scale}: numbers of GPUs from 1 on, separated by commas, such as 1,8,64.")
    return [int(word) for word in words]


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


def _show_scaled(rows: "list[ScaleRow]", cluster: Cluster, *, bf16: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    times = Table("GPUs", "that share", "batch × rounds", "computing, ms", "all-reduce", "step", "run, hours")
    places = Table("GPUs", "DDP, GiB", "FSDP, GiB", "a GPU sends a step", "all in all", "read a step", "a second", "in all")
    for row in rows:
        share = "all" if row.used == row.gpus else str(row.used)
        milliseconds = (f"{1e3 * value:.1f}" for value in (row.computing, row.reducing, row.step))
        times.add_row(str(row.gpus), share, f"{row.batch} × {row.rounds}", *milliseconds, f"{row.run / 3600:.3g}")
        moved = map(_decimal, (row.sent, row.sent_in_all, row.read, row.read_rate, row.read_in_all))
        places.add_row(str(row.gpus), f"{row.memory / GIB:.1f}", f"{row.sharded_memory / GIB:.1f}", *moved)
    console = Console()
    console.print(times)
    console.print(places)
    print(
        f"Calculated: {cluster.peak_tflops:g} TFLOP/s a GPU of which {cluster.utilisation:.0%} is reached, at least {cluster.least_ms:g} ms a "
        f"step; {cluster.node_gbytes:g} GB/s inside a node of {cluster.node_gpus}, {cluster.network_gbytes:g} between nodes; "
        f"{cluster.overlap:.0%} of the computing hides the all-reduce. Under FSDP at least."
    )
    if not bf16:
        print("This config computes in 32 bits; an H100's peak is then 67 TFLOP/s: --cluster.peak-tflops 67.")


def _show_storage(sizes: dict[str, int], clips: Clips) -> None:
    from rich.console import Console
    from rich.table import Table

    from xdancer.planning.storage import PREPARED

    prepared = sum(sizes[name] for name in PREPARED)
    table = Table(f"{clips.number} clips of {clips.seconds:g} s", "bytes")
    for name, size in sizes.items():
        table.add_row(name, _decimal(float(size)), end_section=name == PREPARED[-1])
    table.add_section()
    table.add_row("as prepared, without jukebox", _decimal(float(prepared)))
    table.add_row("the same with jukebox", _decimal(float(prepared + sizes["jukebox"])))
    Console().print(table)


def _decimal(size: float) -> str:
    """Bytes in powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} PB"
