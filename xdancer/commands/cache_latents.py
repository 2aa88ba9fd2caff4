"""`xdancer cache-latents`: what the autoencoder and the image encoder make of the videos of shards, for stage 3."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdancer.errors import XDancerError

if TYPE_CHECKING:
    from xdancer.data.latents import Frozen
    from xdancer.video_diffusion.config import VideoDiffusionConfig


def cache_latents(
    shards: Path, *, configs: list[Path], out: Path | None = None, device: str = "auto", batch_size: int = 8, overwrite: bool = False
) -> None:
    """Write the latents and image embeddings of every picture once, so that training (data.latents) needs neither videos nor these networks.

    They lie beside the split, in 16 bits: 16 numbers for every 8 × 8 pixels are mean and deviation, 112 kB a picture of 896 × 512. A
    stopped run continues.

    Args:
        shards: one split, such as data/train, or a folder of splits, such as data.
        configs: the training's, as for train.py: --config A --config B.
        out: folder for a folder of latents per split, such as DIR/train; beside each split, such as data/train.latents, by default.
        device: auto, cpu, cuda or mps.
        batch_size: pictures at a time.
        overwrite: replace what comes from other networks, another size or other shards.

    Raises:
        ShardError: no shards, or others' latents in the way.
        XDancerError: configs without an autoencoder, or of another stage.
        CheckpointError: a network's folder is missing or does not fit.
    """
    from xdancer.data.derived import derived_of
    from xdancer.data.latents import SUFFIX, FrozenMaker, weights_name, write_rows
    from xdancer.data.manifest import splits_in
    from xdancer.data.shards import ShardReader
    from xdancer.progress import Steps

    if batch_size < 1:
        raise XDancerError(f"--batch-size {batch_size}: at least 1 picture at a time.")
    splits, place, config = splits_in(shards), SUFFIX if out is None else str(out.absolute()), _renderer(configs)
    size = (config.height, config.width)
    for member, folder, row, network in _networks(config, device):
        maker = FrozenMaker(weights_name(folder), size, row)
        for split in splits:
            target, reader = Path(derived_of(split, place)) / Path(member).stem, ShardReader(split)
            with Steps() as steps:
                fresh = write_rows(
                    reader, target, member, maker, network, batch=batch_size, overwrite=overwrite,
                    progress=lambda done, total, name=f"{split.name}, {Path(member).stem}": steps(name, done, total),
                )  # fmt: skip
            print(f"{target}: {len(reader)} clips, {size[0]}×{size[1]}, by {folder}" + ("" if fresh else ", stand already"))
    print(f"Train stage 3 on them: python train.py fit … --data.init_args.latents {place}")


def _renderer(configs: list[Path]) -> "VideoDiffusionConfig":
    """The renderer that a training config describes."""
    from xdancer.commands.plan import merged
    from xdancer.planning.budget import read_plan
    from xdancer.video_diffusion.config import VideoDiffusionConfig

    config = read_plan(merged(configs), gpus=1).run.model
    if not isinstance(config, VideoDiffusionConfig) or not config.autoencoder:
        raise XDancerError(
            f"--config {' '.join(map(str, configs))}: no renderer with an autoencoder, so there is nothing to compute once. Give stage 3's, "
            "such as configs/video_image.yaml."
        )
    return config


def _networks(config: "VideoDiffusionConfig", device: str) -> "list[tuple[str, str, tuple[int, ...], Frozen]]":
    """Of each frozen network: the member that holds its rows, its folder, their shape, and itself."""
    import torch

    from xdancer.data.members import EMBEDDING, LATENTS
    from xdancer.device import select_device
    from xdancer.pipelines.dance import to_tensor
    from xdancer.video_diffusion.appearance import ClipEmbedding
    from xdancer.video_diffusion.image_space import VAESpace

    place = select_device(device)  # pyright: ignore[reportArgumentType]  # any text may come from the command line
    space = VAESpace(config.autoencoder)

    def on_device(pictures: Any) -> torch.Tensor:
        return to_tensor(pictures).to(place)

    def latents(pictures: Any) -> Any:
        return torch.cat(space.posterior(on_device(pictures)), dim=1).cpu().numpy()

    space.load()
    found: list[tuple[str, str, tuple[int, ...], Frozen]] = [
        (LATENTS, config.autoencoder, (2 * config.latent_channels, *config.latent_size), latents)
    ]
    if config.image_encoder:
        encoder = ClipEmbedding(config.image_encoder, config.cross_attention_dim)
        encoder.load()
        row = (config.cross_attention_dim,)
        found.append((EMBEDDING, config.image_encoder, row, lambda pictures: encoder.embed(on_device(pictures)).cpu().numpy()))
    return found
