"""3D-ResNet-50: its structure, its range of values and its file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from xdancer.errors import CheckpointError
from xdancer.metrics.networks import resnet3d


def test_the_structure_is_hara_et_als() -> None:
    with torch.device("meta"):
        network = resnet3d.ResNet3D50()
        shapes: dict[str, tuple[int, ...]] = {}
        for name, block in network.named_children():

            def note(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
                shapes[name] = tuple(output.shape[1:])

            block.register_forward_hook(note)
        assert network(torch.zeros(2, 3, 16, 112, 112)).shape == (2, 2048)
    assert shapes == {
        "conv1": (64, 16, 56, 56), "bn1": (64, 16, 56, 56), "layer1": (256, 8, 28, 28), "layer2": (512, 4, 14, 14),
        "layer3": (1024, 2, 7, 7), "layer4": (2048, 1, 4, 4),
    }  # fmt: skip
    assert sum(value.numel() for value in network.parameters()) == 46_198_976
    names = set(network.state_dict())
    assert {"layer1.0.conv1.weight", "layer1.0.downsample.0.weight", "layer4.2.bn3.running_var", "layer3.5.conv2.weight"} <= names
    assert "layer1.1.downsample.0.weight" not in names


def test_pictures_are_brought_to_0_255_around_the_training_mean() -> None:
    seen = []
    network = resnet3d.ResNet3D50(width=2).eval()
    network.conv1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    features = resnet3d.ResNet3D50Features(network, digest="", size=16)
    assert features(torch.full((2, 16, 3, 16, 16), -1.0)).shape == (2, features.width)
    assert seen[0].shape == (2, 3, 16, 16, 16)
    assert torch.allclose(seen[0][0, :, 0, 0, 0], -torch.tensor(resnet3d.MEAN))


def test_the_file_loads_strictly_with_wrapper_prefix_and_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = resnet3d.ResNet3D50(width=2)
    monkeypatch.setattr(resnet3d, "ResNet3D50", lambda: type(small)(width=2))
    state = {f"module.{name}": value for name, value in small.state_dict().items()}
    state |= {"module.fc.weight": torch.zeros(400, 64), "module.fc.bias": torch.zeros(400)}
    torch.save({"epoch": 3, "arch": "resnet-50", "state_dict": state}, tmp_path / "resnet-50-kinetics.pth")
    features = resnet3d.load_resnet3d50(tmp_path / "resnet-50-kinetics.pth")
    assert torch.equal(features.network.conv1.weight, small.conv1.weight)
    assert (features.name, features.window, features.width, features.size) == ("resnet3d50", 16, 64, 112)
    plain = {name.removeprefix("module."): value for name, value in state.items() if ".fc." not in name}
    torch.save(plain, tmp_path / "plain.pth")
    assert resnet3d.load_resnet3d50(tmp_path / "plain.pth").digest != features.digest
    plain["layer1.0.conv1.weight"] = torch.zeros(3, 3)
    del plain["bn1.weight"]
    torch.save(plain | {"layer9.weight": torch.zeros(1)}, tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError) as error:
        resnet3d.load_resnet3d50(tmp_path / "wrong.pth")
    assert "1 missing (bn1.weight); 1 unknown (layer9.weight)" in str(error.value)
    assert "layer1.0.conv1.weight is (3, 3), needed (2, 2, 1, 1, 1)" in str(error.value)
