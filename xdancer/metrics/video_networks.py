"""Networks that video distances can be taken on, by name: one ships with the package, the others are fetched by whoever wants their numbers."""

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from xdancer.errors import XDancerError
from xdancer.metrics.frechet import AlexWindowFeatures, VideoFeatures
from xdancer.metrics.networks.weights import VALUE_RANGE, digest_of
from xdancer.metrics.perceptual import WEIGHTS
from xdancer.weights import weights_path


@runtime_checkable
class VideoNetwork(VideoFeatures, Protocol):
    """Video features that say which weights they are, so that a value can be printed with them."""

    digest: str
    """First 12 digits of the SHA-256 of the weights."""
    size: int
    """Side of the square pictures that it reads."""
    value_range: tuple[float, float]
    """Of the pictures that it is called with."""


@dataclass(frozen=True)
class NetworkFile:
    """What a network is and where its weights come from."""

    features: str
    weights: str
    """File or folder, and its source; empty for a shipped network."""


NETWORKS = MappingProxyType(
    {
        "alex16": NetworkFile("64 numbers of the shipped AlexNet", ""),
        "i3d": NetworkFile(
            "400 logits of I3D on Kinetics-400",
            "i3d_torchscript.pt (StyleGAN-V, universome/stylegan-v) or i3d_pretrained_400.pt (VideoGPT, wilson1yan/VideoGPT)",
        ),
        "videomae": NetworkFile(
            "mean token of VideoMAE", "a folder of transformers, such as MCG-NJU/videomae-base-finetuned-ssv2 from Hugging Face"
        ),
        "resnet3d50": NetworkFile(
            "2048 pooled features of 3D-ResNet-50 on Kinetics", "resnet-50-kinetics.pth (kenshohara/3D-ResNets-PyTorch, as DisCo uses it)"
        ),
    }
)
"""Network by name."""


class Alex16(AlexWindowFeatures):
    """`alex16` with its digest; the features are `AlexWindowFeatures`' own.

    Args:
        device: where it computes.
    """

    size = AlexWindowFeatures._SIZE
    value_range = VALUE_RANGE

    def __init__(self, *, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.device = torch.device(device)
        self.digest = digest_of([weights_path(WEIGHTS)])

    def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]:
        return super().__call__(windows.to(self.device))


def make_features(name: str, *, weights: Path | None = None, device: torch.device | str = "cpu") -> VideoNetwork:
    """A network by name, filled and on its device.

    Args:
        name: key of NETWORKS.
        weights: its file or folder; none for `alex16`.
        device: where it computes.

    Raises:
        XDancerError: an unknown name, weights given to the shipped network, or none given to another.
        CheckpointError: weights that do not load or do not fit.
    """
    if name not in NETWORKS:
        raise XDancerError(f"{name}: unknown video network. Choose {', '.join(NETWORKS)}.")
    wanted = NETWORKS[name].weights
    if not wanted:
        if weights is not None:
            raise XDancerError(f"{name} ships with the package and takes no weights, got {weights}. Leave it out, or name another network.")
        return Alex16(device=device)
    if weights is None:
        raise XDancerError(
            f"{name} needs weights that are not shipped: {wanted}. Fetch them (--network-weights), or choose --protocol xdancer16."
        )
    if name == "i3d":
        from xdancer.metrics.networks.i3d import load_i3d

        return load_i3d(weights, device=device)
    if name == "videomae":
        from xdancer.metrics.networks.videomae import load_videomae

        return load_videomae(weights, device=device)
    from xdancer.metrics.networks.resnet3d import load_resnet3d50

    return load_resnet3d50(weights, device=device)
