"""Networks that turn a picture of a face into a vector: the shipped 128-d ResNet, and ArcFace from an ONNX file.

Both read *chips*: small square pictures in which eyes and nose lie at fixed places (`ChipLayout`); `identity` cuts them by the keypoints.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from lightning_utilities.core.imports import RequirementCache
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from xdancer.errors import CheckpointError, MissingPackageError, XDancerError
from xdancer.weights import weights_path

WEIGHTS = "face_128d_fp16.safetensors"
REQUIREMENT = RequirementCache("onnxruntime>=1.19,<2")
SAME_PERSON = 0.6
"""Two `dlib128` vectors of one person are nearer than this Euclidean distance (the radius that the network was trained with)."""
BATCH = 32
"""Chips that a network sees at once."""


@dataclass(frozen=True)
class ChipLayout:
    """Where a network expects eyes and nose in its square picture, in pixels (x, y). Right and left are the person's."""

    size: int
    nose: tuple[float, float]
    right_eye: tuple[float, float]
    left_eye: tuple[float, float]


@runtime_checkable
class FaceNet(Protocol):
    """A network from chips to vectors whose cosine tells how alike two faces are."""

    name: str
    digest: str
    """First 16 digits of the weights' SHA-256; printed beside every value."""
    layout: ChipLayout

    def __call__(self, chips: Float[Tensor, "face 3 size size"]) -> Float[Tensor, "face feature"]:
        """Chips are RGB in [-1, 1], of the layout's size."""
        ...


def _padded(place: tuple[float, float]) -> tuple[float, float]:
    """A place in dlib's unit square of the face → pixels of its 150 × 150 chip, which shows a quarter of the face more on every side."""
    return (place[0] + 0.25) / 1.5 * 150, (place[1] + 0.25) / 1.5 * 150


DLIB_LAYOUT = ChipLayout(150, _padded((0.490127, 0.515625)), _padded((0.224152, 0.211947)), _padded((0.756101, 0.211947)))
"""Tip of the nose and middles of the eyes of dlib's mean face (the averages of its landmarks 30, 36–41 and 42–47)."""
ARCFACE_LAYOUT = ChipLayout(112, (56.0252, 71.7366), (38.2946, 51.6963), (73.5318, 51.5014))
"""The five points that ArcFace's faces are aligned by, without the corners of the mouth, which our keypoints lack."""


class _Residual(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut; `down` halves the picture, and the shortcut by averaging."""

    def __init__(self, inner: int, width: int, *, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(inner, width, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, value: Float[Tensor, "face inner height width"]) -> Float[Tensor, "face outer _ _"]:
        made = self.conv2(functional.relu(self.conv1(value)))
        shortcut = functional.avg_pool2d(value, 2) if self.down else value
        rows, columns, channels = (shortcut.shape[axis] - made.shape[axis] for axis in (2, 3, 1))
        made = functional.pad(made, (0, columns, 0, rows))  # an even side loses a row without padding; dlib adds it as zeros
        return functional.relu(made + functional.pad(shortcut, (0, 0, 0, 0, 0, -channels)))


_BLOCKS = (
    ("conv32_1", 32, 32), ("conv32_2", 32, 32), ("conv32_3", 32, 32),
    ("conv64_down", 32, 64), ("conv64_1", 64, 64), ("conv64_2", 64, 64), ("conv64_3", 64, 64),
    ("conv128_down", 64, 128), ("conv128_1", 128, 128), ("conv128_2", 128, 128),
    ("conv256_down", 128, 256), ("conv256_1", 256, 256), ("conv256_2", 256, 256), ("conv256_down_out", 256, 256),
)  # fmt: skip
_MEAN = (122.782, 117.001, 104.298)


class Dlib128(nn.Module):
    """dlib's face recognition ResNet with 29 convolutions (Davis King 2017, public domain; 99.38 % on LFW by its author).

    Vectors are about 1.4 long and share a direction: the cosine of strangers is .88–.92, that of one person's frames in a dance clip (eyes 18
    pixels apart) .91–.95, so read it beside that of another identity's portrait. `SAME_PERSON` was found on photographs; between faces of that
    size half of the pairs of strangers lie below it.
    """

    name = "dlib128"
    layout = DLIB_LAYOUT
    mean: Tensor

    def __init__(self, digest: str = "untrained") -> None:
        super().__init__()
        self.digest = digest
        self.conv32_down = nn.Conv2d(3, 32, 7, stride=2)
        self.blocks = nn.ModuleDict({name: _Residual(inner, width, down="down" in name) for name, inner, width in _BLOCKS})
        self.fc = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)

    def forward(self, chips: Float[Tensor, "face 3 size size"]) -> Float[Tensor, "face 128"]:
        """Vectors of chips in [-1, 1], on the network's device."""
        value = ((chips.to(self.mean.device, torch.float32) + 1) * 127.5 - self.mean) / 256  # as dlib does, not 255
        value = functional.max_pool2d(functional.relu(self.conv32_down(value)), 3, stride=2)
        for block in self.blocks.values():
            value = block(value)
        return self.fc(value.mean(dim=(2, 3)))


def dlib_state(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file's tensors under the names of `Dlib128`: the factor and offset of each channel behind a convolution go into it."""
    state, left = {}, dict(stored)
    for name in [name for name in stored if name.endswith("/conv/filters")]:
        base = name.removesuffix("/conv/filters")
        filters, bias, factor, offset = (left.pop(base + part).double() for part in _PARTS)
        target = base.replace("/", ".") if base == "conv32_down" else "blocks." + base.replace("/", ".")
        state[f"{target}.weight"] = (filters * factor[:, None, None, None]).float()
        state[f"{target}.bias"] = (bias * factor + offset).float()
    if "fc" in left:
        state["fc.weight"] = left.pop("fc").float().T.contiguous()
    return state | left


_PARTS = ("/conv/filters", "/conv/bias", "/scale/weights", "/scale/biases")


@functools.lru_cache(maxsize=2)
def dlib128(device: str) -> Dlib128:
    """The network with its shipped weights on a device, frozen, loaded once per process."""
    path = weights_path(WEIGHTS)
    network = Dlib128(file_digest(path))
    network.load_state_dict(dlib_state(load_file(path)))
    return network.eval().requires_grad_(False).to(device)


def file_digest(path: Path) -> str:
    """First 16 digits of a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


class ArcFace:
    """Any ArcFace network as ONNX: input (face, 3, 112, 112) RGB in [-1, 1], that is (x − 127.5) / 127.5; vectors scaled to unit length.

    Args:
        path: the ONNX file, such as `w600k_r50.onnx` or `glintr100.onnx` of InsightFace (their licence admits research only).
        device: "cpu", or "cuda" where the installed onnxruntime has it.

    Raises:
        MissingPackageError: onnxruntime is not installed.
        CheckpointError: no such file, no ONNX, or a network of another shape.
    """

    name = "arcface"
    layout = ARCFACE_LAYOUT

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        if not REQUIREMENT:
            raise MissingPackageError("ArcFace runs by onnxruntime, which is not installed. Install it: pip install 'onnxruntime>=1.19,<2'.")
        if not path.is_file():
            raise CheckpointError(
                f"{path}: no such file. Give ArcFace as an ONNX file, or leave it out for the shipped network ({Dlib128.name})."
            )
        self._session = _open(path, device)
        source = self._session.get_inputs()[0]
        self._input = str(source.name)
        shape = list(source.shape)
        if len(shape) != 4 or any(isinstance(n, int) and n != want for n, want in zip(shape[1:], (3, 112, 112), strict=True)):
            raise CheckpointError(f"{path} reads {shape}, ArcFace reads (face, 3, 112, 112). Use a recognition network, not a detector.")
        self._fixed = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        self._path = path
        self.digest = file_digest(path)

    def __call__(self, chips: Float[Tensor, "face 3 size size"]) -> Float[Tensor, "face feature"]:
        rows = []
        for part in chips.float().cpu().split(self._fixed or BATCH):
            missing = (self._fixed or len(part)) - len(part)
            filled = functional.pad(part, (0, 0, 0, 0, 0, 0, 0, missing)).numpy()
            vectors = self._session.run(None, {self._input: filled})[0]
            if vectors.ndim != 2:
                raise CheckpointError(f"{self._path} gives {vectors.shape}, one vector per face is needed. Use a recognition network.")
            rows.append(torch.from_numpy(vectors[: len(part)]))
        return functional.normalize(torch.cat(rows), dim=1)


def _open(path: Path, device: str) -> Any:
    import onnxruntime

    present = onnxruntime.get_available_providers()
    wanted = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(device.split(":")[0])
    if wanted not in present:
        raise XDancerError(f"ArcFace on {device}: the installed onnxruntime has {', '.join(present)}. Use cpu, or install onnxruntime-gpu.")
    try:
        return onnxruntime.InferenceSession(str(path), providers=[wanted])
    except Exception as error:  # onnxruntime has kinds of its own
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} does not load as ONNX ({line}). Give the .onnx file of an ArcFace network.") from error


def make_face_net(path: Path | None = None, *, device: str = "cpu") -> FaceNet:
    """ArcFace where its file is given, else the shipped network."""
    return dlib128(device) if path is None else ArcFace(path, device=device)
