"""Cached decoding at GPT-2 small's shape against transformers' `generate`, its share of what the memory allows; small models as they are used.

    python benchmarks/decoding.py [--threads 1 2] [--batch 1 8] [--runs 5] [--tokens 16] [--clock wall]

A window is 304 positions of music and context and 1920 drawn tokens. Blocks of some tokens are timed at five lengths of the cache from 304
to 2208, the sides in turn, medians of the runs; a side's figure is their mean over the window's positions (trapezoids). Both caches are
filled with random numbers before a block, so that neither side pays for its prompt. `generate` is greedy with vocabulary 2560 and never
stops early; ours is greedy over each part's 512 codes.

The floor of a step is what it must read: the blocks' weights, one part's head, the keys and values so far, at the speed of `torch.mv` on a
matrix of 400 MB, timed between the runs. One JSON line per row; times in milliseconds per step.
"""

import argparse
import warnings
from collections.abc import Callable

import torch
from _measure import CLOCKS, interleaved, print_row
from _windows import SMALL
from torch.nn import functional as F
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from xdancer.motion_gpt.decoding import Decoder
from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig
from xdancer.motion_gpt.sampling import SamplingConfig, sample_segment
from xdancer.pipelines.motion import MotionPipeline
from xdancer.planning.examples import random_segment
from xdancer.weights import shipped_model

LENGTHS = (304, 780, 1256, 1732, 2208)
DEMO = MotionGPTConfig(
    layers=4, heads=4, width=128, frames=32, context_frames=4, overlap_frames=8, slots=2, music_features={"librosa": 35},
    music_lookahead_frames=8, previous_frames=2, parallel_slots=True, relative_positions=True,
)  # fmt: skip
DRAWN = SamplingConfig(top_p=0.985)
"""As the demo draws."""


def our_block(decoder: Decoder, length: int, tokens: int) -> Callable[[], None]:
    """Read position `length - 1` and draw, `tokens` times."""
    layout, codes = decoder.gpt.layout, decoder.gpt.config.codes

    def run() -> None:
        decoder.filled = length - 1
        for stop in range(length, length + tokens):
            token = decoder.logits(stop).argmax(-1) + layout.part(stop) * codes
            decoder.row[:, layout.segment_column + stop - layout.motion_start] = token

    return run


def their_block(model: GPT2LMHeadModel, batch: int, length: int, tokens: int) -> Callable[[], None]:
    """The same positions by transformers."""
    cache, ids = DynamicCache(config=model.config), torch.randint(2560, (batch, length))
    heads, width = model.config.n_head, model.config.n_embd // model.config.n_head
    for layer in range(model.config.n_layer):
        cache.update(torch.randn(batch, heads, length - 1, width), torch.randn(batch, heads, length - 1, width), layer)
    mask = torch.ones_like(ids)

    def run() -> None:
        if surplus := cache.get_seq_length() - (length - 1):
            cache.crop(-surplus)
        model.generate(ids, attention_mask=mask, past_key_values=cache, max_new_tokens=tokens, do_sample=False, pad_token_id=0)

    return run


def decoders(batch: int) -> dict[str, Decoder]:
    """Ours with weights of 32 and of 16 bit."""
    gpt = MotionGPT(SMALL).eval()
    made = {"fp32": Decoder(gpt), "16 bit": Decoder(gpt, half=True)}
    for decoder in made.values():
        decoder.begin(random_segment(gpt, batch))
        decoder.cache.normal_()
    return made


def over_the_window(figures: list[float]) -> float:
    """Mean over the window's positions of figures at `LENGTHS`."""
    values = torch.tensor(figures)
    return float((values[1:] + values[:-1]).mean() / 2)


def compare(batch: int, *, threads: int, runs: int, clock: str, tokens: int) -> None:
    """The rows of one batch size: against transformers, share of the floor, 16-bit weights."""
    own = decoders(batch)
    config = GPT2Config(vocab_size=2560, n_positions=2224, n_layer=12, n_head=12, n_embd=768, bos_token_id=None, eos_token_id=None)
    theirs = GPT2LMHeadModel(config).eval()
    blocks = own["fp32"].gpt.transformer.h
    weights = 4 * (sum(parameter.numel() for parameter in blocks.parameters()) + SMALL.codes * SMALL.width)
    matrix, vector = torch.randn(10_240, 10_240), torch.randn(10_240)
    found: dict[str, list[float]] = {"transformers": [], "fp32": [], "16 bit": [], "floor": []}
    for length in LENGTHS:
        sides: dict[str, Callable[[], object]] = {
            "transformers": their_block(theirs, batch, length, tokens),
            "mv": lambda: torch.mv(matrix, vector),
        }
        sides |= {name: our_block(decoder, length, tokens) for name, decoder in own.items()}
        seconds = interleaved(sides, runs=runs, clock=clock)
        bandwidth = 4 * matrix.numel() / seconds.pop("mv")
        found["floor"].append(1e3 * (weights + 8 * batch * SMALL.layers * SMALL.width * (length + tokens / 2)) / bandwidth)
        for name, value in seconds.items():
            found[name].append(1e3 * value / tokens)
    mean = {name: over_the_window(values) for name, values in found.items()}
    lengths = {f"{name} at {', '.join(map(str, LENGTHS))}": [round(value, 2) for value in values] for name, values in found.items()}
    what = f"GPT-2 small, batch {batch}, positions 304 … 2223, {threads} thread(s), ms a step"
    print_row(
        f"{what}: against transformers' generate", ours=mean["fp32"], reference=mean["transformers"],
        ratio=mean["transformers"] / mean["fp32"], target=1.5 if batch == 1 else 3.0, **lengths,
    )  # fmt: skip
    if batch == 1:
        print_row(
            f"{what}: share of the floor", ours=mean["fp32"], reference=mean["floor"], ratio=mean["floor"] / mean["fp32"], target=0.6
        )  # fmt: skip
    print_row(
        f"{what}: weights of 16 bit against fp32", ours=mean["16 bit"], reference=mean["fp32"], ratio=mean["fp32"] / mean["16 bit"], target=1.0,
        against_transformers=mean["transformers"] / mean["16 bit"],
    )  # fmt: skip


def half_weights(name: str, gpt: MotionGPT, *, frames: int) -> None:
    """Change of the teacher-forced cross-entropy by 16-bit weights, on dances that the fp32 model draws."""
    window = random_segment(gpt, 2)
    motion = sample_segment(gpt, window, given=0, frames=frames, sampling=SamplingConfig())
    window.motion[:, :frames] = motion
    config, layout = gpt.config, gpt.layout
    labels = motion.reshape(2, -1, config.group)
    loss = {}
    for bits, half in ((32, False), (16, True)):
        decoder = Decoder(gpt, half=half)
        decoder.begin(window)
        logits = torch.stack([decoder.logits(layout.motion_start + step) for step in range(labels.shape[1])], dim=1)
        loss[bits] = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none")
    change = loss[16] - loss[32]
    print_row(
        f"{name}: cross-entropy with weights of 16 bit", ours=float(loss[16].mean()), reference=float(loss[32].mean()),
        ratio=float(loss[32].mean() / loss[16].mean()), target=1.0, mean_change=float(change.mean()),
        mean_absolute_change_of_a_token=float(change.abs().mean()), tokens=labels.numel(),
    )  # fmt: skip


def small(name: str, gpt: MotionGPT, *, threads: int, runs: int, clock: str) -> None:
    """A whole segment through the path that dances take, drawing included."""
    config = gpt.config
    window, drawn = random_segment(gpt, 1), (config.frames - 1) * config.parts * config.slots
    sides = {"ours": lambda: sample_segment(gpt, window, given=1, frames=config.frames, sampling=DRAWN)}
    rate, live = drawn / interleaved(sides, runs=runs, clock=clock)["ours"], 30.0 * config.parts * config.slots
    print_row(
        f"{name}: {config.layers} layers, width {config.width}, batch 1, top-p, {threads} thread(s), tokens a second; reference = live at "
        "30 frames a second", ours=rate, reference=live, ratio=rate / live, target=1.0, frames_a_second=30 * rate / live,
    )  # fmt: skip


def main() -> None:
    """All rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=16, help="steps of a block")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: on a busy machine, with one thread")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # transformers renames past_key_values
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shipped = MotionPipeline.from_pretrained(shipped_model()).gpt
    half_weights("GPT-2 small, fresh", MotionGPT(SMALL).eval(), frames=4)
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name, gpt in (("demo's model, fresh", MotionGPT(DEMO).eval()), ("shipped model", shipped)):
            small(name, gpt, threads=threads, runs=arguments.runs, clock=arguments.clock)
        for batch in arguments.batch:
            compare(batch, threads=threads, runs=arguments.runs, clock=arguments.clock, tokens=arguments.tokens)


if __name__ == "__main__":
    main()
