"""The shipped AlexNet: LPIPS distance, and the trunk whose features `frechet` reads."""

import functools

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from xdancer.weights import weights_path

WEIGHTS = "lpips_alex_v0.1_fp16.safetensors"
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class AlexNetLPIPS(nn.Module):
    """LPIPS v0.1 with the AlexNet trunk (Zhang et al. 2018; https://github.com/richzhang/PerceptualSimilarity, BSD).

    Pictures are RGB in **[-1, 1]**; fed [0, 1] the distance is silently wrong. Computes in fp32.
    """

    shift: Tensor
    scale: Tensor

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
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)

    def features(self, pictures: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch channel _ _"]]:
        """The five rectified layers, each scaled to unit length over its channels."""
        value = (pictures.float() - self.shift) / self.scale
        layers = []
        for index, convolution in enumerate(self.convolutions):
            if index in (1, 2):
                value = functional.max_pool2d(value, 3, stride=2)
            value = functional.relu(convolution(value))
            layers.append(value / (value.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return layers

    def forward(
        self, predicted: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """LPIPS of each pair of pictures, 0 = same."""
        pairs = zip(self.heads, self.features(predicted), self.features(target), strict=True)
        return torch.stack([head((a - b).square()).mean(dim=(1, 2, 3)) for head, a, b in pairs]).sum(dim=0)


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
