"""3D-ResNet-50 on Kinetics, the network of FID-VID, from `resnet-50-kinetics.pth` of Hara et al. (3D-ResNets-PyTorch, MIT), as DisCo uses it.

Names as in that file (`conv1.weight`, `layer1.0.conv1.weight`, `layer1.0.downsample.0.weight`, …), alone or under `state_dict`, with or without
`module.` in front. The classifier `fc.*` may lie there and is not used: features are the 2048 pooled maps before it.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from xdancer.metrics.networks.weights import VALUE_RANGE, check_windows, digest_of, load_strictly
from xdancer.tensors import read_tensors

MEAN = (114.7748, 107.7354, 99.4750)
"""Of red, green and blue on the scale 0–255, subtracted; nothing is divided (training of the file, DisCo's evaluation)."""
BLOCKS = (3, 4, 6, 3)


class Bottleneck(nn.Module):
    """1×1×1, 3×3×3, 1×1×1 beside a shortcut, which is projected where the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(4 * width)
        projected = stride != 1 or inputs != 4 * width
        self.downsample = (
            nn.Sequential(nn.Conv3d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm3d(4 * width)) if projected else nn.Identity()
        )

    def forward(self, value: Float[Tensor, "batch _ _ _ _"]) -> Float[Tensor, "batch _ _ _ _"]:
        inner = functional.relu(self.bn1(self.conv1(value)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(self.bn3(self.conv3(inner)) + self.downsample(value))


class ResNet3D50(nn.Module):
    """Pooled maps of a window of RGB around zero: 16 frames of 112×112 become maps of 1×4×4, averaged.

    Args:
        width: channels of the first layer; 64, or fewer for tests.
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, width, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        inputs = width
        for index, count in enumerate(BLOCKS):
            inner = width << index
            sizes = [inputs] + [4 * inner] * (count - 1)
            blocks = [Bottleneck(size, inner, 2 if index and not block else 1) for block, size in enumerate(sizes)]
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
            inputs = 4 * inner

    def forward(self, video: Float[Tensor, "batch 3 frame height width"]) -> Float[Tensor, "batch feature"]:
        value = functional.max_pool3d(functional.relu(self.bn1(self.conv1(video))), 3, stride=2, padding=1)
        for index in range(len(BLOCKS)):
            value = self.get_submodule(f"layer{index + 1}")(value)
        return value.mean(dim=(2, 3, 4))


class ResNet3D50Features:
    """`resnet3d50`: 2048 pooled features over 16 frames of 112×112.

    Args:
        network: in evaluation mode, on its device.
        digest: of its file.
        size: side of the pictures; other than 112 for tests only.
    """

    name = "resnet3d50"
    window = 16
    value_range = VALUE_RANGE

    def __init__(self, network: ResNet3D50, *, digest: str, size: int = 112) -> None:
        self.network, self.digest, self.size = network, digest, size
        self.width = 32 * network.conv1.out_channels

    @torch.no_grad()
    def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]:
        check_windows(windows, name=self.name, window=self.window, size=self.size)
        device = self.network.conv1.weight.device
        mean = torch.tensor(MEAN, device=device)[:, None, None]
        pictures = (windows.to(device, torch.float32) + 1) * 127.5 - mean
        return self.network(pictures.transpose(1, 2).contiguous())


def load_resnet3d50(path: Path, *, device: torch.device | str = "cpu") -> ResNet3D50Features:
    """The features of `resnet-50-kinetics.pth`.

    Raises:
        CheckpointError: missing, damaged, or weights that do not fit.
    """
    network = ResNet3D50()
    state = read_tensors(path, folder_of="3D-ResNet-50", files=("resnet-50-kinetics.pth",))
    load_strictly(network, state, source=path, kind="3D-ResNet-50", left_out=("fc.",))
    return ResNet3D50Features(network.to(device).eval().requires_grad_(False), digest=digest_of([path]))
