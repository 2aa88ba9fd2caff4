"""One guided denoising step of 16 frames against a straightforward AnimateAnyone loop from the same networks.

    python benchmarks/denoising_step.py [--runs 5]                        # SD1.5's depth at an eighth of its width, 256 × 128, CPU
    python benchmarks/denoising_step.py --size paper --device cuda        # SD1.5's size, 896 × 512, bf16

The loop: at every step the ReferenceNet and the pose guider run again, every frame projects the portrait's keys and values for itself, and the
two branches of guidance are passes of their own with all of this. Ours: the portrait is encoded once per video and the motion of a clip of one
window once for both branches, so that their cost is shared by the steps (--steps); keys and values are projected once per portrait and step;
the unconditional branch reads eight keys for a portrait of zeros. `flops` is the loop's multiplications by ours without those eight keys, so
what caching saves, attention counted; `all_flops` is with them; `gain_reached` is (measured ratio - 1) / (flops - 1), wanted .9. Both give
equal numbers (checked on the CPU). One JSON line.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from _measure import interleaved, print_row
from renderer_memory import SMALL
from torch import Tensor

from xdancer.planning.examples import random_poses
from xdancer.planning.watch import StepWatch
from xdancer.video_diffusion import reference
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig

FRAMES = 16


class EveryFrame(reference.ReferenceReader):
    """The loop's attention: the portrait's features are repeated for all frames and projected for each."""

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, reference: Any = None, **_: Any) -> Tensor:
        from xdancer.video_diffusion.reference import _attend

        joined = hidden_states
        if reference is not None and self.name in reference:
            features = reference[self.name]
            joined = torch.cat([hidden_states, features.repeat_interleave(len(hidden_states) // len(features), 0)], dim=1)
        return _attend(attn, attn.to_q(hidden_states), attn.to_k(joined), attn.to_v(joined))


def sides(model: VideoDiffusion, loop: VideoDiffusion, *, steps: int) -> dict[str, Callable[[], Tensor]]:
    """A video's window in `steps` guided predictions, ours and the loop's; both return the last one."""
    config = model.config
    picture, pose = torch.rand(1, 3, config.height, config.width) * 2 - 1, random_poses(1, 1)
    codes, noisy = torch.rand(1, FRAMES, config.codes_width), torch.randn(1, FRAMES, config.latent_channels, *config.latent_size)
    dance = random_poses(1, FRAMES)
    time = torch.tensor([500])

    def mixed(conditional: Tensor, unconditional: Tensor) -> Tensor:
        return unconditional + 3.5 * (conditional - unconditional)

    def ours(*, zeros: bool = False) -> Tensor:
        portrait = model.encode_portrait(picture, pose)
        absent, motion = model.drop(portrait), model.encode_motion(portrait, codes, dance)
        if zeros:  # all the keys of a portrait of zeros
            absent = replace(absent, features={name: value for name, value in absent.features.items() if name != reference.ALL_ZERO})
        other = model.encode_motion(absent, codes, dance, known=motion)
        for _ in range(steps):
            result = mixed(model(noisy, time, portrait, motion), model(noisy, time, absent, other))
        return result

    def theirs() -> Tensor:
        for _ in range(steps):
            portrait = loop.encode_portrait(picture, pose)
            conditional = loop(noisy, time, portrait, loop.encode_motion(portrait, codes, dance))
            absent = loop.drop(loop.encode_portrait(picture, pose))
            result = mixed(conditional, loop(noisy, time, absent, loop.encode_motion(absent, codes, dance)))
        return result

    return {"ours": ours, "loop": theirs, "cached alone": partial(ours, zeros=True)}


def flops(work: Callable[[], object]) -> int:
    """Multiplications and additions of a call."""
    with StepWatch() as watch:
        work()
    return watch.flops


def main() -> None:
    """One row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "paper"], default="small")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--steps", type=int, default=4, help="denoising steps that share what is encoded once")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_default_device(arguments.device)
    torch.manual_seed(0)
    base = VideoDiffusionConfig(patch_size=8) if arguments.size == "paper" else SMALL
    models = [
        VideoDiffusion(replace(base, temporal=True, motion_decoder=False, pose_guider=True)).eval().requires_grad_(False) for _ in range(2)
    ]
    models[1].load_state_dict(models[0].state_dict())
    kept = dict(models[1].unet.attn_processors)
    models[1].unet.set_attn_processor(
        {name: EveryFrame(name) if isinstance(processor, reference.ReferenceReader) else processor for name, processor in kept.items()}
    )
    work = sides(models[0], models[1], steps=arguments.steps)

    def timed(side: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            side()
            if arguments.device == "cuda":
                torch.cuda.synchronize()

        return run

    with torch.no_grad(), torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.device == "cuda"):
        if arguments.device == "cpu":
            torch.testing.assert_close(work["ours"](), work["loop"](), rtol=1e-3, atol=1e-4)
        counted = {name: flops(side) for name, side in work.items()}
        saved = counted["loop"] / counted["cached alone"]
        seconds = interleaved({name: timed(work[name]) for name in ("ours", "loop")}, runs=arguments.runs, clock=arguments.clock)
    ratio = seconds["loop"] / seconds["ours"]
    print_row(
        f"guided denoising of {FRAMES} frames, {arguments.size} size, {arguments.device}, {arguments.steps} steps: seconds",
        ours=seconds["ours"], reference=seconds["loop"], ratio=ratio, target=1 + 0.9 * (saved - 1), flops=saved,
        all_flops=counted["loop"] / counted["ours"], gain_reached=(ratio - 1) / (saved - 1), runs=arguments.runs,
    )  # fmt: skip


if __name__ == "__main__":
    main()
