"""The shipped AlexNet: LPIPS distance, and the trunk whose features `frechet` reads. LPIPS by VGG where its weights are at hand."""

import functools
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from xdancer.errors import CheckpointError
from xdancer.integrity import file_sha256
from xdancer.tensors import read_tensors
from xdancer.weights import weights_path

WEIGHTS = "lpips_alex_v0.1_fp16.safetensors"
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


def unit_length(layer: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
    """The layer with its channels scaled to unit length at every place."""
    return layer / (layer.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


class LPIPSNetwork(nn.Module):
    """What the two LPIPS networks share; a subclass gives `features` (layers of unit length) and `heads`, one for each layer."""

    shift: Tensor
    scale: Tensor
    heads: nn.ModuleList

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)

    def scaled(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [-1, 1] as the trunks read them."""
        return (pictures.float() - self.shift) / self.scale

    def features(self, pictures: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch channel _ _"]]:
        """Layers of the trunk."""
        raise NotImplementedError

    def forward(
        self, predicted: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """LPIPS of each pair of pictures, 0 = same."""
        pairs = zip(self.heads, self.features(predicted), self.features(target), strict=True)
        return torch.stack([head((a - b).square()).mean(dim=(1, 2, 3)) for head, a, b in pairs]).sum(dim=0)


class AlexNetLPIPS(LPIPSNetwork):
    """LPIPS v0.1 with the AlexNet trunk (Zhang et al. 2018; https://github.com/richzhang/PerceptualSimilarity, BSD).

    Pictures are RGB in **[-1, 1]**; fed [0, 1] the distance is silently wrong. Computes in fp32.
    """

    def __init__(self) -> None:
        super().__init__()
        convolutions = [
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.Conv2d(256, 256, 3, padding=1),
        ]
        self.convolutions = nn.ModuleList(convolutions)
        self.heads = nn.ModuleList(nn.Conv2d(layer.out_channels, 1, 1, bias=False) for layer in convolutions)

    def features(self, pictures: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch channel _ _"]]:
        """The five rectified layers, each scaled to unit length over its channels."""
        value = self.scaled(pictures)
        layers = []
        for index, convolution in enumerate(self.convolutions):
            if index in (1, 2):
                value = functional.max_pool2d(value, 3, stride=2)
            value = functional.relu(convolution(value))
            layers.append(unit_length(value))
        return layers


@functools.lru_cache(maxsize=2)
def alexnet_lpips(device: str = "cpu") -> AlexNetLPIPS:
    """The network with its shipped weights on a device, frozen, loaded once per process."""
    stored = load_file(weights_path(WEIGHTS))
    names = {"conv": "convolutions", "lin": "heads"}
    state = {}
    for name, value in stored.items():
        layer, field = name.split(".")
        state[f"{names[layer[:-1]]}.{layer[-1]}.{field}"] = value.float()
    network = AlexNetLPIPS()
    network.load_state_dict(state)
    return network.eval().requires_grad_(False).to(device)


def lpips(predicted: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
    """LPIPS of pictures in [-1, 1] on their own device, in pieces of 64."""
    network = alexnet_lpips(str(predicted.device))
    with torch.no_grad():
        return torch.cat([network(a, b) for a, b in zip(predicted.split(64), target.split(64), strict=True)])


VGG_TRUNK = "vgg16-397923af.pth"
"""torchvision's name for VGG16 with ImageNet weights, as torch hub stores it."""
_VGG_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGGLPIPS(LPIPSNetwork):
    """LPIPS v0.1 with the VGG16 trunk, the variant that papers on video synthesis often print. Pictures are RGB in **[-1, 1]**; fp32."""

    name = "lpips_vgg"
    digest = ""
    """First 12 digits of the SHA-256 of the trunk's file."""

    def __init__(self) -> None:
        super().__init__()
        inner, stages = 3, []
        for widths in _VGG_STAGES:
            layers = []
            for width in widths:
                layers.append(nn.Conv2d(inner, width, 3, padding=1))
                inner = width
            stages.append(nn.ModuleList(layers))
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ModuleList(nn.Conv2d(widths[-1], 1, 1, bias=False) for widths in _VGG_STAGES)

    def features(self, pictures: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch channel _ _"]]:
        """The last rectified layer before each pooling, scaled to unit length over its channels."""
        value = self.scaled(pictures)
        layers = []
        for number, stage in enumerate(self.stages):
            value = functional.max_pool2d(value, 2) if number else value
            for convolution in cast(nn.ModuleList, stage):
                value = functional.relu(convolution(value))
            layers.append(unit_length(value))
        return layers


def vgg_lpips(trunk: Path | None = None, heads: Path | None = None, *, device: str = "cpu") -> VGGLPIPS:
    """The VGG network, frozen, on a device.

    Args:
        trunk: torchvision's VGG16 (`vgg16-397923af.pth`, or the same as safetensors); by default the one in torch hub's cache, where
            torchvision puts it. Nothing is downloaded.
        heads: LPIPS v0.1's `vgg.pth`; by default the copy that torchmetrics carries.
        device: where it computes.

    Raises:
        CheckpointError: a file that is missing, damaged, or of another network.
    """
    trunk = Path(torch.hub.get_dir()) / "checkpoints" / VGG_TRUNK if trunk is None else trunk
    if not trunk.is_file():
        raise CheckpointError(
            f"{trunk}: LPIPS by VGG needs torchvision's VGG16, which is not there. Fetch https://download.pytorch.org/models/{VGG_TRUNK} "
            "(528 MB) and put it there or name its file; the shipped AlexNet (`lpips`) needs nothing."
        )
    found = {name: value for name, value in read_tensors(trunk, folder_of="VGG16").items() if name.startswith("features.")}
    layers = [f"features.{place}." for place in sorted({int(name.split(".")[1]) for name in found})]
    places = [f"stages.{stage}.{layer}." for stage, widths in enumerate(_VGG_STAGES) for layer in range(len(widths))]
    renamed = dict(zip(layers, places, strict=False))
    state = {renamed.get(name.rpartition(".")[0] + ".", name) + name.rpartition(".")[2]: value.float() for name, value in found.items()}
    stored = read_tensors(_bundled_heads() if heads is None else heads, folder_of="LPIPS")
    state |= {f"heads.{name.split('.')[0].removeprefix('lin')}.weight": value.float() for name, value in stored.items()}
    network = VGGLPIPS()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{trunk} and the LPIPS heads do not fit VGG16 ({str(error).splitlines()[1].strip()}). Use {VGG_TRUNK}."
        ) from error
    network.digest = file_sha256(trunk)[:12]
    return network.eval().requires_grad_(False).to(device)


def _bundled_heads() -> Path:
    import torchmetrics

    return Path(torchmetrics.__file__).parent / "functional/image/lpips_models/vgg.pth"
