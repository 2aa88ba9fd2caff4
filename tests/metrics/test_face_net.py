"""The face networks: the shipped one against its file read another way and on real faces, ArcFace's door against a small ONNX network."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from xdancer.errors import CheckpointError, MissingPackageError, XDancerError
from xdancer.metrics import face_net
from xdancer.metrics.face_net import ArcFace, dlib128, make_face_net
from xdancer.weights import weights_path


def by_the_file(chips: Tensor) -> Tensor:
    """The network straight from the stored tensors: factor and offset behind each convolution, blocks by their names."""
    stored = {name: value.float() for name, value in load_file(weights_path(face_net.WEIGHTS)).items()}

    def convolve(value: Tensor, name: str, *, stride: int, padding: int) -> Tensor:
        made = functional.conv2d(value, stored[f"{name}/conv/filters"], stored[f"{name}/conv/bias"], stride=stride, padding=padding)
        return made * stored[f"{name}/scale/weights"][:, None, None] + stored[f"{name}/scale/biases"][:, None, None]

    value = ((chips + 1) * 127.5 - torch.tensor([122.782, 117.001, 104.298])[:, None, None]) / 256
    value = functional.max_pool2d(functional.relu(convolve(value, "conv32_down", stride=2, padding=0)), 3, stride=2)
    for width, blocks in ((32, 3), (64, 3), (128, 2), (256, 2)):
        names = [f"conv{width}_{number}" for number in range(1, blocks + 1)]
        for name in [f"conv{width}_down"] * (width > 32) + names + ["conv256_down_out"] * (width == 256):
            down = "down" in name
            made = functional.relu(convolve(value, f"{name}/conv1", stride=1 + down, padding=1 - down))
            made = convolve(made, f"{name}/conv2", stride=1, padding=1)
            shortcut = functional.avg_pool2d(value, 2) if down else value
            total = torch.zeros(len(value), made.shape[1], *shortcut.shape[2:])
            total[:, :, : made.shape[2], : made.shape[3]] += made
            total[:, : shortcut.shape[1]] += shortcut
            value = functional.relu(total)
    return value.mean(dim=(2, 3)) @ stored["fc"]


def test_the_network_is_its_file() -> None:
    network = dlib128("cpu")
    chips = functional.interpolate(torch.rand(2, 3, 12, 12), size=(150, 150), mode="bilinear") * 2 - 1
    found = network(chips)
    assert found.shape == (2, 128)
    assert torch.allclose(found, by_the_file(chips), rtol=1e-4, atol=1e-5)
    assert network.digest == face_net.file_digest(weights_path(face_net.WEIGHTS))
    assert (network.name, network.layout.size) == ("dlib128", 150)
    assert make_face_net() is network
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_file_with_a_tensor_too_many_or_too_few_does_not_load() -> None:
    stored = load_file(weights_path(face_net.WEIGHTS))
    with pytest.raises(RuntimeError, match="fc2"):
        face_net.Dlib128().load_state_dict(face_net.dlib_state(stored | {"fc2": torch.zeros(1)}))
    del stored["fc"]
    with pytest.raises(RuntimeError, match=r"fc\.weight"):
        face_net.Dlib128().load_state_dict(face_net.dlib_state(stored))


def test_layouts_look_like_faces() -> None:
    for layout in (face_net.DLIB_LAYOUT, face_net.ARCFACE_LAYOUT):
        assert 0 < layout.right_eye[0] < layout.nose[0] < layout.left_eye[0] < layout.size  # the person's right is the picture's left
        assert layout.right_eye[1] == pytest.approx(layout.left_eye[1], abs=0.5)
        assert layout.left_eye[1] < layout.nose[1] < layout.size * 0.7


class Session:
    """Stands for onnxruntime: gives the mean of each channel and its negative, and keeps what it was fed."""

    def __init__(self, shape: list[int | str], outputs: int = 2) -> None:
        self.shape, self.outputs = shape, outputs
        self.fed: list[NDArray[np.float32]] = []

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="data", shape=self.shape)]

    def run(self, names: None, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        self.fed.append(inputs["data"])
        means = inputs["data"].mean(axis=(2, 3))
        return [np.concatenate([means, -means], axis=1) if self.outputs == 2 else inputs["data"]]


def install(monkeypatch: pytest.MonkeyPatch, session: Session) -> None:
    fake = SimpleNamespace(
        get_available_providers=lambda: ["CPUExecutionProvider"], InferenceSession=lambda path, providers: session, __version__="1.20"
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.setattr(face_net, "REQUIREMENT", True)


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    path = tmp_path / "arc.onnx"
    path.write_bytes(b"weights")
    return path


@pytest.mark.parametrize(("batch", "calls"), [("N", [5]), (1, [1] * 5), (2, [2] * 3)])
def test_arcface_is_fed_chips_and_gives_unit_vectors(
    monkeypatch: pytest.MonkeyPatch, onnx_file: Path, batch: int | str, calls: list[int]
) -> None:
    session = Session([batch, 3, 112, 112])
    install(monkeypatch, session)
    network = make_face_net(onnx_file)
    chips = torch.rand(5, 3, 112, 112) * 2 - 1
    found = network(chips)
    assert [len(part) for part in session.fed] == calls
    assert np.allclose(np.concatenate(session.fed)[:5], chips.numpy())
    means = chips.mean(dim=(2, 3))
    assert torch.allclose(found, functional.normalize(torch.cat([means, -means], dim=1), dim=1), atol=1e-5)
    assert torch.allclose(found.norm(dim=1), torch.ones(5))
    assert (network.name, network.digest) == ("arcface", face_net.file_digest(onnx_file))


def test_what_is_no_arcface_is_refused(monkeypatch: pytest.MonkeyPatch, onnx_file: Path, tmp_path: Path) -> None:
    install(monkeypatch, Session([1, 3, 640, 640]))
    with pytest.raises(CheckpointError, match=r"reads \[1, 3, 640, 640\], ArcFace reads \(face, 3, 112, 112\)"):
        ArcFace(onnx_file)
    with pytest.raises(CheckpointError, match=r"none\.onnx: no such file"):
        ArcFace(tmp_path / "none.onnx")
    with pytest.raises(XDancerError, match="ArcFace on cuda: the installed onnxruntime has CPUExecutionProvider"):
        ArcFace(onnx_file, device="cuda")
    install(monkeypatch, Session(["N", 3, 112, 112], outputs=4))
    with pytest.raises(CheckpointError, match=r"gives \(1, 3, 112, 112\), one vector per face"):
        ArcFace(onnx_file)(torch.zeros(1, 3, 112, 112))


def test_without_onnxruntime_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch, onnx_file: Path) -> None:
    monkeypatch.setattr(face_net, "REQUIREMENT", False)
    with pytest.raises(MissingPackageError, match=r"pip install 'onnxruntime>=1\.19,<2'"):
        ArcFace(onnx_file)


def field(number: int, value: bytes | int | str) -> bytes:
    """One field of a protobuf message, shorter than 128 bytes or a small integer."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    content = value.encode() if isinstance(value, str) else value
    size = bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
    return bytes([number << 3 | 2]) + size + content


def small_onnx() -> bytes:
    """ONNX of x → mean over the picture, flat: (N, 3, 112, 112) → (N, 3)."""

    def described(name: str, sizes: list[int | str]) -> bytes:
        dims = b"".join(field(1, field(2, size) if isinstance(size, str) else field(1, size)) for size in sizes)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))

    nodes = [("data", "pooled", "GlobalAveragePool"), ("pooled", "vector", "Flatten")]
    graph = b"".join(field(1, field(1, source) + field(2, target) + field(4, kind)) for source, target, kind in nodes)
    graph += field(2, "small") + field(11, described("data", ["N", 3, 112, 112])) + field(12, described("vector", ["N", 3]))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


def test_arcface_runs_a_real_onnx_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    path = tmp_path / "small.onnx"
    path.write_bytes(small_onnx())
    chips = torch.rand(3, 3, 112, 112) * 2 - 1
    assert torch.allclose(ArcFace(path)(chips), functional.normalize(chips.mean(dim=(2, 3)), dim=1), atol=1e-4)
    path.write_bytes(b"no network")
    with pytest.raises(CheckpointError, match=r"small\.onnx does not load as ONNX"):
        ArcFace(path)
