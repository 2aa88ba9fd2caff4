"""Training step of GPT-2 small over the paper's window of 2224 positions: ours against transformers' GPT-2 with a 2560-way head.

    python benchmarks/training_step.py [--threads 1 2] [--runs 5] [--steps 2] [--dropout 0.1] [--clock wall]
    python benchmarks/training_step.py --device cuda --precision bf16 --batch 8 --threads 4 --steps 20

A step is forward, backward and fused AdamW, SDPA attention, the same dropout on both sides, .1 as both configs have it; bf16 is autocast.
Every run is a process of its own, so that its peak memory is its own; the sides take turns; the first step of a process does not count. Our
logits are 512 for each of the 1920 drawn tokens, theirs 2560 at each position. Rows: tokens a second, the same with our blocks compiled, peak
memory in MB.
"""

import argparse
import json
import statistics
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from _measure import CLOCKS, own_process, peak_megabytes, print_row
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW = 2224
SIDES = ("ours", "compiled", "transformers")


def our_loss(batch: int, dropout: float, *, compiled: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
    """The motion GPT and its loss on a random window."""
    from _windows import SMALL

    from xdancer.motion_gpt.model import MotionGPT
    from xdancer.planning.examples import random_segment

    gpt = MotionGPT(replace(SMALL, dropout=dropout)).train()
    window = random_segment(gpt, batch)
    if compiled:
        gpt.transformer.compile()
    return gpt, lambda: F.cross_entropy(gpt(window).flatten(0, 3), window.motion.flatten())


def their_loss(batch: int, dropout: float) -> tuple[nn.Module, Callable[[], Tensor]]:
    """The reference and its loss."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=2560, n_positions=WINDOW, n_layer=12, n_head=12, n_embd=768, attn_implementation="sdpa", use_cache=False,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model, ids = GPT2LMHeadModel(config).train(), torch.randint(2560, (batch, WINDOW))
    return model, lambda: model(ids, labels=ids).loss


def work(side: str, *, steps: int, dropout: float, clock: str, batch: int, device: str, precision: str) -> None:
    """One process: print the seconds of its steps and its peak memory, on a GPU the GPU's."""
    torch.manual_seed(0)
    torch.set_default_device(device)
    model, loss = their_loss(batch, dropout) if side == "transformers" else our_loss(batch, dropout, compiled=side == "compiled")
    optimizer, seconds = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True), []
    cuda = device == "cuda"
    for _ in range(steps + 1):
        begin = CLOCKS[clock]()
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            value = loss()
        value.backward()
        optimizer.step()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(CLOCKS[clock]() - begin)
    print(json.dumps({"seconds": seconds[1:], "megabytes": peak_megabytes(device)}))


def measure(*, threads: int, runs: int, sides: list[str], **shared: Any) -> None:
    """The rows of one number of threads; `shared` are the options of `work`."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    megabytes: dict[str, float] = {}
    for _ in range(runs):
        for side in sides:
            options = {"side": side, "threads": threads, **shared}
            found = own_process(__file__, options)
            seconds[side] += found["seconds"]
            megabytes[side] = max(megabytes.get(side, 0.0), found["megabytes"])
    rate = {side: shared["batch"] * WINDOW / statistics.median(values) for side, values in seconds.items()}
    setting = ", ".join([f"{name} {shared[name]}" for name in ("batch", "dropout", "device", "precision")] + [f"{threads} thread(s)"])
    theirs, what = rate["transformers"], f"GPT-2 small, training step, window {WINDOW}, {setting}"
    for side, target in (("ours", 1.1), ("compiled", 1.2)):
        if side in sides:
            print_row(
                f"{what}, {side}: tokens a second", ours=rate[side], reference=theirs, ratio=rate[side] / theirs, target=target, runs=runs
            )
    most, own = megabytes["transformers"], megabytes["ours"]
    print_row(f"{what}: peak memory, MB", ours=own, reference=most, ratio=most / own, target=1 / 0.9, share=own / most)


def main() -> None:
    """All rows, or one process's part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps of a process behind its first")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: on a busy machine, with one thread")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if not {"ours", "transformers"} <= set(arguments.sides):
        parser.error("--sides: ours and transformers are what the rows compare; name both")
    shared = {name: getattr(arguments, name) for name in ("steps", "dropout", "clock", "batch", "device", "precision")}
    for threads in arguments.threads:
        if arguments.side:
            torch.set_num_threads(threads)
            work(arguments.side, **shared)
        else:
            measure(threads=threads, runs=arguments.runs, sides=arguments.sides, **shared)


if __name__ == "__main__":
    main()
