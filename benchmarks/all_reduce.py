"""What two processes pay for training together: the gradients' all-reduce and the loader, at the demo's sizes, gloo on the CPU.

    python benchmarks/all_reduce.py [--stages vqvae gpt] [--steps 100] [--workers 1]

Two processes of one thread each train the networks of configs/demo/ under torch's DDP on random clips in shards, read by the training loader
with its share of every batch. Steps with the all-reduce and steps without (`no_sync`) take turns, behind a barrier, so that load of the
machine meets both; in stage 1 a third kind leaves out the codebook's sums, too. Medians over the steps of rank 0, the first of each kind left
out, by wall clock and by CPU time of the process. Rows: the step without against the step with; a bare all-reduce of as many bytes beside it,
with its speed by the formula of a ring; the step against waiting for its batch.
"""

import argparse
import json
import os
import socket
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from _measure import CLOCKS, print_row
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from xdancer.application import config_path
from xdancer.data.dances import DanceShape, DanceWindows
from xdancer.data.loader import Position, Share, TrainLoader
from xdancer.data.order import BlockOrder
from xdancer.data.poses import PoseFrames
from xdancer.data.shards import ShardReader, ShardWriter
from xdancer.data.windows import DamageLog
from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig
from xdancer.motion_gpt.reading import read_segment
from xdancer.planning.scaling import ring_bytes
from xdancer.types import ClipSample
from xdancer.vqvae.codebook import Codebook, Ranks
from xdancer.vqvae.loss import vqvae_loss
from xdancer.vqvae.model import VQVAE, VQVAEConfig

WORLD, CLIPS, FRAMES = 2, 120, 240
KINDS = {"vqvae": ("all", "no_sync", "nothing"), "gpt": ("all", "no_sync")}
"""What is shared in a step: everything, not the gradients, nothing."""


class Loss(nn.Module):
    """A stage's loss of a batch, for DDP to wrap."""

    def __init__(self, network: nn.Module, loss: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(batch)


def write(folder: Path) -> None:
    """Random clips of 8 s."""
    random = np.random.default_rng(0)
    with ShardWriter(folder / "train", split="train", features={"librosa": {"width": 35, "version": "random"}}, licence="none") as writer:
        for number in range(CLIPS):
            pose = random.uniform(0, 1, (FRAMES, 60, 3)).astype(np.float32)
            music = {"librosa": random.normal(size=(FRAMES, 35)).astype(np.float32)}
            meta = {"source": "random", "song": f"{number}", "width": 512, "height": 896, "beats": [0.5, 1.0], "tempo": 120.0}
            writer.write(ClipSample(f"clip-{number:06d}", pose, music, meta))


def demo(stage: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Model sizes and data section of the demo's config."""
    content = yaml.safe_load(config_path(f"demo/{stage}.yaml").read_text(encoding="utf-8"))
    return content["model"]["init_args"]["config"], content["data"]["init_args"]


def prepare(stage: str, folder: Path, rank: int, workers: int) -> tuple[Loss, Iterator[Any], Codebook | None]:
    """The stage's loss, the endless batches of this rank, and the codebook that is trained."""
    sizes, data = demo(stage)
    tokenizer, reader = VQVAE(VQVAEConfig(**demo("vqvae")[0])).train(), ShardReader(folder / "train")
    if stage == "vqvae":
        windows: Any = PoseFrames(reader)
        found = Loss(tokenizer, lambda pose: vqvae_loss(tokenizer(pose), target=pose, config=tokenizer.config).total)
    else:
        gpt, frozen = MotionGPT(MotionGPTConfig(**sizes)).train(), tokenizer.eval().requires_grad_(False)
        shape = DanceShape(data["segment_frames"], data["history_frames"], data["context_frames"], data["lookahead_frames"], ("librosa",))
        windows = DanceWindows(reader, shape, training=True)

        def loss(batch: Any) -> Tensor:
            segment = read_segment(batch, gpt, frozen)
            return F.cross_entropy(gpt(segment).flatten(0, 3), segment.motion.flatten())

        found = Loss(gpt, loss)
    loader = TrainLoader(
        windows, BlockOrder(windows.shard_sizes, 0), batch_size=data["batch_size"], share=Share(rank, WORLD), workers=workers,
        position=Position(), damage=DamageLog(reader),
    )  # fmt: skip
    return found, endless(loader), tokenizer.codebook if stage == "vqvae" and isinstance(tokenizer.codebook, Codebook) else None


def endless(loader: TrainLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def summed(value: Tensor) -> Tensor:
    distributed.all_reduce(value)
    return value


def measure(rank: int, stage: str, folder: str, port: int, steps: int, workers: int) -> None:
    """One process; rank 0 leaves its seconds in a file."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    loss, batches, codebook = prepare(stage, Path(folder), rank, workers)
    model = DistributedDataParallel(loss)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    flat = torch.zeros(sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in (*KINDS[stage], "bare", "waiting")}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = [clock() for clock in CLOCKS.values()]
        result = work()
        wall, cpu = (clock() - before for clock, before in zip(CLOCKS.values(), begin, strict=True))
        seconds[name].append((wall, cpu))
        return result

    def step(kind: str, batch: Any) -> None:
        with nullcontext() if kind == "all" else model.no_sync():
            model(batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(steps + 1):
        for kind in KINDS[stage]:
            if codebook is not None:
                codebook.ranks = Ranks() if kind == "nothing" else Ranks(rank, WORLD, summed)
            batch = timed("waiting", lambda: next(batches))
            distributed.barrier()
            timed(kind, lambda kind=kind, batch=batch: step(kind, batch))
        distributed.barrier()
        timed("bare", lambda: distributed.all_reduce(flat))
    if rank == 0:
        columns = {name: zip(*values[1:], strict=True) for name, values in seconds.items()}
        medians = {name: dict(zip(CLOCKS, map(statistics.median, column), strict=True)) for name, column in columns.items()}
        (Path(folder) / f"{stage}.json").write_text(json.dumps({"bytes": flat.nbytes, "medians": medians}))
    distributed.destroy_process_group()


def show(stage: str, found: dict[str, Any], steps: int, workers: int) -> None:
    """The rows of a stage."""
    what, medians, size = f"{stage}, demo's size, {WORLD} processes", found["medians"], found["bytes"]
    for clock in CLOCKS:
        ours, theirs = medians["all"][clock], medians["no_sync"][clock]
        row = {"ours": ours, "reference": theirs, "ratio": theirs / ours, "target": 0.9, "steps": steps}
        print_row(f"{what}: {clock} seconds a step with the gradients' all-reduce, without", **row, gradient_bytes=size)
        if "nothing" in medians:
            row |= {"ours": theirs, "reference": medians["nothing"][clock], "ratio": medians["nothing"][clock] / theirs}
            print_row(f"{what}: {clock} seconds a step with the codebook's sums, without; no gradients reduced", **row)
    bare, extra, waiting = medians["bare"]["wall"], medians["all"]["wall"] - medians["no_sync"]["wall"], medians["waiting"]["wall"]
    print_row(
        f"{what}: seconds of a bare all-reduce, of the one in a step", ours=extra, reference=bare, ratio=bare / extra, target=1, steps=steps,
        bare_gigabytes_per_second=ring_bytes(size, WORLD) / bare / 1e9,
    )  # fmt: skip
    print_row(
        f"{what}: seconds waiting for a batch, a step; {workers} reading threads", ours=waiting, reference=medians["all"]["wall"],
        ratio=medians["all"]["wall"] / waiting, target=20, steps=steps * len(KINDS[stage]),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--steps", type=int, default=100, help="of each kind")
    parser.add_argument("--workers", type=int, default=1, help="threads of a process that read ahead")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for stage in arguments.stages:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            torch.multiprocessing.spawn(measure, (stage, folder, port, arguments.steps, arguments.workers), nprocs=WORLD)
            show(stage, json.loads((Path(folder) / f"{stage}.json").read_text()), arguments.steps, arguments.workers)


if __name__ == "__main__":
    main()
