"""`xdancer tokenize`: poses of shards → motion tokens beside them, for stage 2."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xdancer.errors import XDancerError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from xdancer.data.tokens import TokenMaker
    from xdancer.vqvae.model import VQVAE


def tokenize(
    shards: Path,
    *,
    vqvae: Path = Path("runs/vqvae/last.ckpt"),
    out: Path | None = None,
    device: str = "auto",
    batch_size: int = 2048,
    overwrite: bool = False,
) -> None:
    """Write the motion tokens of shards once, so that stage 2 need not compute them in every step (data.tokens). A stopped run continues.

    Args:
        shards: one split, such as data/train, or a folder of splits, such as data.
        vqvae: checkpoint or folder of the tokenizer.
        out: folder for a folder of tokens per split, such as DIR/train; beside each split, such as data/train.tokens, by default.
        device: auto, cpu, cuda or mps.
        batch_size: poses at a time.
        overwrite: replace tokens of another tokenizer.

    Raises:
        ShardError: no shards, or tokens of another tokenizer in the way.
        CheckpointError: no such tokenizer.
    """
    from xdancer.data.derived import derived_of
    from xdancer.data.manifest import splits_in
    from xdancer.data.shards import ShardReader
    from xdancer.data.tokens import SUFFIX, write_tokens
    from xdancer.progress import Steps

    if batch_size < 1:
        raise XDancerError(f"--batch-size {batch_size}: at least 1 pose at a time.")
    splits, place = splits_in(shards), SUFFIX if out is None else str(out.absolute())
    maker, encode = load_tokenizer(vqvae, device, batch_size)
    for split in splits:
        folder, reader = Path(derived_of(split, place)), ShardReader(split)
        with Steps() as steps:
            fresh = write_tokens(
                reader, folder, maker, encode, progress=lambda done, total, name=split.name: steps(name, done, total), overwrite=overwrite
            )
        state = f"{int(reader.frames.sum())} frames" if fresh else "stand already"
        print(f"{folder}: tokens of {len(reader)} clips by tokenizer {maker.fingerprint[:12]}, {state}")
    print(f"Train stage 2 on them: python train.py fit --config configs/gpt.yaml --data.init_args.tokens {place}")


def load_tokenizer(path: Path, device: str, batch_size: int) -> "tuple[TokenMaker, Callable[[np.ndarray], np.ndarray]]":
    """A trained tokenizer's description, and its ids (frame, part, slot) of poses (frame, 60, 3)."""
    from dataclasses import asdict

    import torch

    from xdancer.checkpoint import fingerprint, load_model
    from xdancer.data.tokens import TokenMaker
    from xdancer.device import select_device
    from xdancer.vqvae.model import VQVAE

    model = load_model(path, VQVAE)
    config = model.config
    maker = TokenMaker(fingerprint(model), asdict(config), config.parts, config.part_slots, config.codes)
    model.to(select_device(device))  # pyright: ignore[reportArgumentType]  # any text may come from the command line

    def encode(pose: "np.ndarray") -> "np.ndarray":
        parts = torch.from_numpy(pose).tensor_split(-(-len(pose) // batch_size))  # of equal size: a handful of poses is computed otherwise
        with torch.inference_mode():
            return torch.cat([_ids(model, part) for part in parts]).numpy()

    return maker, encode


def _ids(model: "VQVAE", pose: "torch.Tensor") -> "torch.Tensor":
    from xdancer.types import PoseBatch

    pose = pose[:, None].to(next(model.parameters()).device)
    return model.encode(PoseBatch(pose[..., :2], pose[..., 2])).ids[:, 0].cpu()
