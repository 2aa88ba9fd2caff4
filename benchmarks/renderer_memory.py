"""Peak memory and time of stage 3's training steps: checkpointing and frozen spatial weights against the plain step of phase (b).

    python benchmarks/renderer_memory.py                                   # SD1.5's depth at an eighth of its width, 256 × 128, CPU
    python benchmarks/renderer_memory.py --size paper --device cuda        # the paper's size, 896 × 512, bf16

Random weights, random pictures; fused AdamW with states in fp32, no averages. Every side is a process of its own, so that its peak is its own;
the first step of a process does not count in the time. Memory is counted from the model on, as a GPU counts it; what Python and its libraries
take before stands beside it. At the paper's size pictures go through an autoencoder and CLIP of SD1.5's shape.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from _measure import own_process, peak_megabytes, print_row

from xdancer.planning.examples import random_poses
from xdancer.types import VideoBatch
from xdancer.video_diffusion.model import VideoDiffusionConfig
from xdancer.video_diffusion.module import VideoDiffusionModule
from xdancer.weights import shipped_model

FRAMES = 16
SMALL = VideoDiffusionConfig(
    height=256, width=128, patch_size=8, latent_channels=16, block_out_channels=(40, 80, 160, 160), motion_channels=(40, 80, 160, 160),
    motion_map=(4, 2), motion_width=64, motion_heads=2, cross_attention_dim=96, norm_groups=8,
)  # fmt: skip
SIDES = {
    "phase (a), checkpointing": ({"motion_decoder": False, "gradient_checkpointing": True}, 2, 1, True),
    "phase (b), plain": ({"temporal": True}, 1, FRAMES, True),
    "phase (b), checkpointing": ({"temporal": True, "gradient_checkpointing": True}, 1, FRAMES, True),
    "phase (b), checkpointing, spatial weights frozen": ({"temporal": True, "gradient_checkpointing": True}, 1, FRAMES, False),
}
"""Name → changes of the config, batch, frames, whether spatial weights train."""


def folders(root: Path) -> dict[str, str]:
    """Random weights of SD1.5's autoencoder and CLIP ViT-L/14 on disk."""
    from diffusers import AutoencoderKL
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    made = {"autoencoder": root / "vae", "image_encoder": root / "clip"}
    if not made["autoencoder"].exists():
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=(128, 256, 512, 512),
            layers_per_block=2, latent_channels=4,
        ).save_pretrained(made["autoencoder"])  # fmt: skip
        CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=1024, intermediate_size=4096, projection_dim=768, num_hidden_layers=24, num_attention_heads=16, patch_size=14
            )
        ).save_pretrained(made["image_encoder"])
    return {name: str(path) for name, path in made.items()}


def random_batch(config: VideoDiffusionConfig, batch: int, frames: int) -> VideoBatch:
    """Pictures and poses of the default device."""
    size = (3, config.height, config.width)
    return VideoBatch(
        reference=torch.rand(batch, *size) * 2 - 1, reference_pose=random_poses(batch, 1), frames=torch.rand(batch, frames, *size) * 2 - 1,
        pose=random_poses(batch, FRAMES), frame_index=torch.arange(frames).expand(batch, -1),
    )  # fmt: skip


def work(side: str, *, size: str, device: str, steps: int, root: Path) -> None:
    """One process: print the seconds of its steps and its peak memory, on a GPU the GPU's."""
    changes, batch, frames, spatial = SIDES[side]
    libraries = peak_megabytes(device)
    torch.manual_seed(0)
    torch.set_default_device(device)
    config = replace(SMALL if size == "small" else VideoDiffusionConfig(**folders(root)), **changes)
    module = VideoDiffusionModule(config, tokenizer=shipped_model(), train_spatial=spatial).to(device).train()
    trained = [parameter for parameter in module.model.parameters() if parameter.requires_grad]
    optimizer, example, seconds = torch.optim.AdamW(trained, lr=1e-5, fused=True), random_batch(config, batch, frames), []
    for step in range(steps + 1):
        begin = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = module.training_step(example, step)
        loss.backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    row = {"seconds": statistics.median(seconds[1:]), "megabytes": peak_megabytes(device) - libraries, "libraries": libraries}
    print(json.dumps(row | {"millions": sum(p.numel() for p in trained) / 1e6}))


def main() -> None:
    """All rows, or one process's part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "paper"], default="small")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--steps", type=int, default=3, help="steps of a process behind its first")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.side:
        work(arguments.side, size=arguments.size, device=arguments.device, steps=arguments.steps, root=arguments.root)
        return
    found = {}
    with tempfile.TemporaryDirectory() as root:
        for side in SIDES:
            options = {"side": side, "size": arguments.size, "device": arguments.device, "steps": arguments.steps, "root": root}
            found[side] = own_process(__file__, options)
    plain = found["phase (b), plain"]
    for side, row in found.items():
        print_row(
            f"stage 3, {arguments.size} size, {arguments.device}, {side}: peak memory, MB", ours=row["megabytes"], reference=plain["megabytes"],
            ratio=plain["megabytes"] / row["megabytes"], target=2.0, share=row["megabytes"] / plain["megabytes"],
            seconds_a_step=row["seconds"], millions_trained=row["millions"], libraries=row["libraries"],
        )  # fmt: skip


if __name__ == "__main__":
    main()
