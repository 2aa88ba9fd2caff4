"""I3D: its structure, TensorFlow's padding, and both file layouts."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from xdancer.errors import CheckpointError
from xdancer.metrics.networks import i3d


class Scripted(nn.Module):
    """The interface of StyleGAN-V's file."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, outputs)

    def forward(self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False) -> Tensor:
        if rescale or resize or not return_features:
            raise RuntimeError("called otherwise than the file of StyleGAN-V wants")
        return self.head(x.mean(dim=[2, 3, 4]))


class Other(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def write_script(path: Path, module: nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=DeprecationWarning)  # torch 2.9 on
        torch.jit.script(module).save(str(path))
    return path


def randomised(network: nn.Module) -> nn.Module:
    """With weights that let signals through, and statistics of batch norms that are not the identity."""
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.copy_(0.1 * torch.randn(value.shape, generator=generator))
        elif name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return network.eval()


def test_the_structure_is_inception_v1_inflated() -> None:
    with torch.device("meta"):
        network = i3d.I3D()
        shapes: dict[str, tuple[int, ...]] = {}
        for name, block in network.named_children():

            def note(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
                shapes[name] = tuple(output.shape[1:])

            block.register_forward_hook(note)
        assert network(torch.zeros(2, 3, 16, 224, 224)).shape == (2, 400)
    assert shapes == {
        "Conv3d_1a_7x7": (64, 8, 112, 112), "Conv3d_2b_1x1": (64, 8, 56, 56), "Conv3d_2c_3x3": (192, 8, 56, 56),
        "Mixed_3b": (256, 8, 28, 28), "Mixed_3c": (480, 8, 28, 28),
        "Mixed_4b": (512, 4, 14, 14), "Mixed_4c": (512, 4, 14, 14), "Mixed_4d": (512, 4, 14, 14), "Mixed_4e": (528, 4, 14, 14),
        "Mixed_4f": (832, 4, 14, 14), "Mixed_5b": (832, 2, 7, 7), "Mixed_5c": (1024, 2, 7, 7), "logits": (400, 1, 1, 1),
    }  # fmt: skip
    counts = {name: value.numel() for name, value in network.named_parameters()}
    assert sum(count for name, count in counts.items() if not name.startswith("logits")) == 12_287_264
    assert counts["logits.conv3d.weight"] + counts["logits.conv3d.bias"] == 1024 * 400 + 400
    assert network.get_submodule("Mixed_4e.b2b.bn").eps == 1e-3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [(224, 7, 2, [2, 3]), (112, 3, 2, [0, 1]), (113, 3, 2, [1, 1]), (8, 3, 1, [1, 1]), (4, 2, 2, [0, 0]), (7, 2, 2, [0, 1]), (5, 1, 2, [0, 0])],
)
def test_padding_is_tensorflows_with_the_odd_zero_behind(size: int, kernel: int, stride: int, pads: list[int]) -> None:
    assert i3d.same_padding((1, 1, size), (1, 1, kernel), (1, 1, stride)) == [*pads, 0, 0, 0, 0]
    assert (size + sum(pads) - kernel) // stride + 1 == -(-size // stride)


def test_the_first_convolution_looks_one_pixel_ahead_on_even_sizes() -> None:
    unit = i3d.Unit(1, 1, 7, 2)
    unit.bn = None
    nn.init.zeros_(unit.conv3d.weight)
    with torch.no_grad():
        unit.conv3d.weight[0, 0, 3, 3, 3] = 1
        video = torch.arange(8.0)[None, None, None, None].expand(1, 1, 8, 8, 8)
        assert unit(video)[0, 0, 0, 0].tolist() == [1, 3, 5, 7]  # 2i + 3 − 2 zeros in front


def test_the_state_dict_layout_loads_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = randomised(i3d.I3D(divide=8))
    monkeypatch.setattr(i3d, "I3D", lambda: type(network)(divide=8))
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "i3d_pretrained_400.pt")
    features = i3d.load_i3d(tmp_path / "i3d_pretrained_400.pt")
    assert (features.name, features.window, features.width, features.size, len(features.digest)) == ("i3d", 16, 400, 224, 12)
    assert all(torch.equal(value, features.network.state_dict()[name]) for name, value in state.items())
    small = i3d.I3DFeatures(features.network, digest=features.digest, size=32)
    windows = torch.rand(1, 16, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(small(windows), network(windows.transpose(1, 2)), atol=1e-5)
    with pytest.raises(ValueError, match="i3d reads windows of 16 frames of 224×224, got 16 of 32×32"):
        features(windows)
    del state["Mixed_3b.b0.conv3d.weight"]
    state |= {"Mixed_9z.weight": torch.zeros(1), "logits.conv3d.bias": torch.zeros(600)}
    torch.save(state, tmp_path / "wrong.pt")
    with pytest.raises(CheckpointError) as error:
        i3d.load_i3d(tmp_path / "wrong.pt")
    assert "1 missing (Mixed_3b.b0.conv3d.weight); 1 unknown (Mixed_9z.weight)" in str(error.value)
    assert "logits.conv3d.bias is (600,), needed (400,)" in str(error.value)


def test_one_network_at_any_width_gives_400_logits() -> None:
    network = randomised(i3d.I3D(divide=8))
    with torch.no_grad():
        first, second = network(torch.zeros(1, 3, 16, 48, 32)), network(torch.ones(1, 3, 16, 48, 32))
        longer = network(torch.zeros(1, 3, 32, 32, 32))
    assert first.shape == longer.shape == (1, 400)
    assert (first - second).norm() > 1e-3


def test_the_torchscript_layout_is_found_by_content_and_called_as_its_authors_do(tmp_path: Path) -> None:
    path = write_script(tmp_path / "renamed.bin", Scripted(400))
    assert i3d.is_torchscript(path)
    features = i3d.load_i3d(path)
    head = features.network.head
    assert isinstance(head, nn.Module)
    small = i3d.I3DFeatures(features.network, digest=features.digest, size=8)
    windows = torch.rand(2, 16, 3, 8, 8)
    assert torch.allclose(small(windows), head(windows.mean(dim=(1, 3, 4))), atol=1e-6)


def test_torchscript_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"called with \(x\), needed rescale, resize, return_features"):
        i3d.load_i3d(write_script(tmp_path / "other.pt", Other()))
    narrow = i3d.load_i3d(write_script(tmp_path / "narrow.pt", Scripted(7)))
    with pytest.raises(CheckpointError, match=r"gives \(2, 7\) for 2 windows, needed 400 logits each"):
        i3d.I3DFeatures(narrow.network, digest="", size=8)(torch.zeros(2, 16, 3, 8, 8))
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(CheckpointError, match=r"text\.pt does not load as plain tensors"):
        i3d.load_i3d(tmp_path / "text.pt")
    with pytest.raises(CheckpointError, match=r"nothing\.pt: no such file"):
        i3d.load_i3d(tmp_path / "nothing.pt")
    content = bytearray((tmp_path / "narrow.pt").read_bytes())
    content[40:200] = bytes(160)
    (tmp_path / "damaged.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged\.pt does not load as TorchScript: damaged"):
        i3d.load_i3d(tmp_path / "damaged.pt")
