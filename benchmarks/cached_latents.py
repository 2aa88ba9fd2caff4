"""Training step of phase (b) on cached latents and embeddings against the same step through autoencoder and CLIP.

    python benchmarks/cached_latents.py [--runs 5]                        # every network at an eighth of its width, 256 × 128, CPU
    python benchmarks/cached_latents.py --size paper --device cuda        # SD1.5's and CLIP's shapes, 896 × 512, bf16

Random weights and pictures, spatial weights frozen, gradient checkpointing; forward and backward pass without the optimiser, the two in turns.
Reading videos against reading latents is not counted. One JSON line.
"""

import argparse
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from _measure import interleaved, print_row
from renderer_memory import FRAMES, SMALL, folders, random_batch

from xdancer.types import VideoBatch, VideoLatents
from xdancer.video_diffusion.appearance import ClipEmbedding
from xdancer.video_diffusion.image_space import VAESpace
from xdancer.video_diffusion.model import VideoDiffusionConfig
from xdancer.video_diffusion.module import VideoDiffusionModule
from xdancer.weights import shipped_model


def small_folders(root: Path) -> dict[str, str]:
    """Autoencoder and CLIP at an eighth of their width."""
    from diffusers import AutoencoderKL
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=(16, 32, 64, 64),
        layers_per_block=2, latent_channels=4, norm_num_groups=8,
    ).save_pretrained(root / "vae")  # fmt: skip
    sizes = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 24, "num_attention_heads": 2, "patch_size": 14}
    CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=SMALL.cross_attention_dim, **sizes)).save_pretrained(root / "clip")
    return {"autoencoder": str(root / "vae"), "image_encoder": str(root / "clip")}


@torch.no_grad()
def cached(module: VideoDiffusionModule, batch: VideoBatch) -> VideoBatch:
    """The batch as `data.latents` gives it."""
    space, encoder = module.model.image_space, module.model.appearance
    assert isinstance(space, VAESpace)
    assert isinstance(encoder, ClipEmbedding)
    mean, deviation = (value.unflatten(0, batch.frames.shape[:2]) for value in space.posterior(batch.frames.flatten(0, 1)))
    latents = VideoLatents(space.encode(batch.reference), mean, deviation, encoder.embed(batch.reference))
    return replace(batch, reference=batch.reference[..., :0, :0], frames=batch.frames[..., :0, :0], latents=latents)


def main() -> None:
    """One row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "paper"], default="small")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    changes = {"temporal": True, "gradient_checkpointing": True}
    with tempfile.TemporaryDirectory() as folder:
        networks = folders(Path(folder)) if arguments.size == "paper" else small_folders(Path(folder))
        base = VideoDiffusionConfig() if arguments.size == "paper" else replace(SMALL, patch_size=0, latent_channels=4)
        module = VideoDiffusionModule(replace(base, **changes, **networks), tokenizer=shipped_model(), train_spatial=False)
        torch.set_default_device(arguments.device)
        module = module.to(arguments.device).train()
        module.log = lambda *_, **__: None  # type: ignore[method-assign]
        batch = random_batch(module.model.config, 1, FRAMES)
        known = cached(module, batch)

        def step(given: VideoBatch) -> None:
            module.zero_grad()
            with torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.device == "cuda", cache_enabled=False):
                loss = module.training_step(given, 0)
            loss.backward()
            if arguments.device == "cuda":
                torch.cuda.synchronize()

        seconds = interleaved({"latents": lambda: step(known), "pictures": lambda: step(batch)}, runs=arguments.runs, clock=arguments.clock)
    name = f"training step, phase (b), {arguments.size} size, {arguments.device}: seconds on cached latents against pictures"
    ratio = seconds["pictures"] / seconds["latents"]
    print_row(name, ours=seconds["latents"], reference=seconds["pictures"], ratio=ratio, target=1.2, runs=arguments.runs)


if __name__ == "__main__":
    main()
