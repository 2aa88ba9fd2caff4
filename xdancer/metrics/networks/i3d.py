"""I3D on Kinetics-400, the network of FVD, from either of the two files that people have.

The layout is found from the content, never from the name:

- **TorchScript** (`i3d_torchscript.pt` of StyleGAN-V): program and weights of the TF-Hub module in one archive, called as
  `module(video, rescale=False, resize=False, return_features=True)`. `torch.jit.load` unpickles no Python objects; it does run the operators
  that the archive names, some of which reach files, so take it from a source that you trust. The copy that is commonly quoted has the digest
  `bec6519f66ea`.
- **State dict** (`i3d_pretrained_400.pt` of VideoGPT, the names of piergiaj's pytorch-i3d): read as plain tensors into the network below.

Features are the 400 logits. The network is after Carreira and Zisserman (2017, arXiv 1705.07750): Inception-v1 inflated, TensorFlow's padding,
batch norm with ε 1e-3 as in DeepMind's graph and in DisCo. VideoGPT's own code runs the same file with ε 1e-5; values of such pipelines differ.
"""

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from xdancer.errors import CheckpointError
from xdancer.metrics.networks.weights import VALUE_RANGE, check_windows, digest_of, load_strictly
from xdancer.tensors import read_tensors

CLASSES = 400
ARGUMENTS = ("rescale", "resize", "return_features")
"""What a TorchScript file must be callable with."""
Triple = tuple[int, int, int]


def same_padding(sizes: Sequence[int], kernel: Triple, stride: Triple) -> list[int]:
    """TensorFlow's padding `SAME` as `functional.pad` wants it, last axis first: outputs ⌈size / stride⌉, the odd zero behind."""
    pads: list[int] = []
    for size, width, step in reversed(list(zip(sizes, kernel, stride, strict=True))):
        total = max((-(-size // step) - 1) * step + width - size, 0)
        pads += [total // 2, total - total // 2]
    return pads


def _max_pool(value: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Zeros at the border: everything pooled here is rectified, so that they never win over a value."""
    return functional.max_pool3d(functional.pad(value, same_padding(value.shape[2:], kernel, stride)), kernel, stride)


class Unit(nn.Module):
    """Convolution, batch norm, ReLU; the last layer of I3D is the convolution alone, with a bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, last: bool = False) -> None:
        super().__init__()
        self.kernel: Triple = (kernel, kernel, kernel)
        self.stride: Triple = (stride, stride, stride)
        self.conv3d = nn.Conv3d(inputs, outputs, self.kernel, self.stride, bias=last)
        self.bn = None if last else nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, value: Float[Tensor, "batch _ _ _ _"]) -> Float[Tensor, "batch _ _ _ _"]:
        value = self.conv3d(functional.pad(value, same_padding(value.shape[2:], self.kernel, self.stride)))
        return value if self.bn is None else functional.relu(self.bn(value))


class Mixed(nn.Module):
    """An Inception block: 1×1×1, two ways to 3×3×3, and a pooled 1×1×1, side by side."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.b0 = Unit(inputs, widths[0])
        self.b1a = Unit(inputs, widths[1])
        self.b1b = Unit(widths[1], widths[2], 3)
        self.b2a = Unit(inputs, widths[3])
        self.b2b = Unit(widths[3], widths[4], 3)
        self.b3b = Unit(inputs, widths[5])

    def forward(self, value: Float[Tensor, "batch _ time rows columns"]) -> Float[Tensor, "batch _ time rows columns"]:
        pooled = _max_pool(value, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(value), self.b1b(self.b1a(value)), self.b2b(self.b2a(value)), self.b3b(pooled)], dim=1)


MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32), "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64), "Mixed_4c": (160, 112, 224, 24, 64, 64), "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64), "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128), "Mixed_5c": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
"""Channels of each block: b0, b1a, b1b, b2a, b2b, b3b; its output is b0 + b1b + b2b + b3b."""
POOLED = {"Mixed_3b": ((1, 3, 3), (1, 2, 2)), "Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2))}
"""Kernel and stride of the pooling before these blocks."""


class I3D(nn.Module):
    """Logits of a window of RGB in [-1, 1]: 16 frames of 224×224 become maps of 2×7×7, averaged.

    Args:
        divide: all widths are divided by it, for tests; 1, 2, 4 or 8.
    """

    def __init__(self, *, divide: int = 1) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64 // divide, 7, 2)
        self.Conv3d_2b_1x1 = Unit(64 // divide, 64 // divide)
        self.Conv3d_2c_3x3 = Unit(64 // divide, 192 // divide, 3)
        inputs = 192 // divide
        for name, full in MIXED.items():
            b0, b1a, b1b, b2a, b2b, b3b = (width // divide for width in full)
            self.add_module(name, Mixed(inputs, (b0, b1a, b1b, b2a, b2b, b3b)))
            inputs = b0 + b1b + b2b + b3b
        self.logits = Unit(inputs, CLASSES, last=True)

    def forward(self, video: Float[Tensor, "batch 3 frame height width"]) -> Float[Tensor, "batch 400"]:
        value = _max_pool(self.Conv3d_1a_7x7(video), (1, 3, 3), (1, 2, 2))
        value = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(value))
        for name in MIXED:
            value = _max_pool(value, *POOLED[name]) if name in POOLED else value
            value = self.get_submodule(name)(value)
        time, rows, columns = value.shape[2:]
        return self.logits(functional.avg_pool3d(value, (min(2, time), rows, columns), stride=1)).mean(dim=(2, 3, 4))


class I3DFeatures:
    """`i3d`: the 400 logits of I3D over 16 frames of 224×224. Only values on these features are called FVD.

    Args:
        network: in evaluation mode, on its device; an `I3D`, or TorchScript with StyleGAN-V's interface.
        digest: of its file.
        size: side of the pictures; other than 224 for tests only.
    """

    name = "i3d"
    window = 16
    width = CLASSES
    value_range = VALUE_RANGE

    def __init__(self, network: nn.Module, *, digest: str, size: int = 224) -> None:
        self.network, self.digest, self.size = network, digest, size

    @torch.no_grad()
    def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]:
        check_windows(windows, name=self.name, window=self.window, size=self.size)
        device = next(self.network.parameters()).device
        video = windows.to(device, torch.float32).transpose(1, 2).contiguous()
        if not isinstance(self.network, torch.jit.ScriptModule):
            return self.network(video)
        logits = self.network(video, rescale=False, resize=False, return_features=True)
        if logits.shape != (len(windows), CLASSES):
            raise CheckpointError(
                f"The TorchScript of {self.name} gives {tuple(logits.shape)} for {len(windows)} windows, needed {CLASSES} logits each."
            )
        return logits


def load_i3d(path: Path, *, device: torch.device | str = "cpu") -> I3DFeatures:
    """The features of either file.

    Raises:
        CheckpointError: missing, damaged, TorchScript of something else, or weights that do not fit.
    """
    if is_torchscript(path):
        network = _load_torchscript(path, device)
    else:
        network = I3D()
        load_strictly(network, read_tensors(path, folder_of="I3D", files=("i3d_pretrained_400.pt",)), source=path, kind="I3D")
        network = network.to(device)
    for parameter in network.parameters():  # TorchScript knows no requires_grad_ of a whole module
        parameter.requires_grad_(False)
    return I3DFeatures(network.eval(), digest=digest_of([path]))


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with a program in it, which `torch.save` never writes."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in f"/{name}" for name in archive.namelist())


def _load_torchscript(path: Path, device: torch.device | str) -> nn.Module:
    with warnings.catch_warnings():
        # the published file exists in this format alone; torch from 2.9 on advises against writing new ones
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.load.* is (deprecated|not supported).*", category=DeprecationWarning)
        try:
            network = torch.jit.load(str(path), map_location=device)
        except RuntimeError as error:
            raise CheckpointError(f"{path} does not load as TorchScript: damaged, or written by a newer torch. Fetch it again.") from error
    names = [argument.name for argument in network.forward.schema.arguments]  # pyright: ignore[reportFunctionMemberAccess]
    if not set(ARGUMENTS) <= set(names) or next(network.parameters(), None) is None:
        raise CheckpointError(
            f"{path} is TorchScript, but not I3D as StyleGAN-V wrote it: called with ({', '.join(names[1:])}), needed {', '.join(ARGUMENTS)}. "
            f"Give i3d_torchscript.pt or i3d_pretrained_400.pt."
        )
    return network
