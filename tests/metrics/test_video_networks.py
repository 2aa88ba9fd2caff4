"""Networks by name."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from xdancer.errors import XDancerError
from xdancer.metrics.frechet import AlexWindowFeatures
from xdancer.metrics.networks.weights import digest_of
from xdancer.metrics.video_networks import NETWORKS, Alex16, make_features
from xdancer.weights import weights_path


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 400)

    def forward(self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False) -> Tensor:
        return self.head(x.mean(dim=[2, 3, 4]))


def test_the_shipped_network_is_unchanged_and_names_its_weights() -> None:
    features = make_features("alex16")
    windows = torch.rand(1, 16, 3, 24, 24) * 2 - 1
    assert torch.equal(features(windows), AlexWindowFeatures()(windows))
    assert (features.name, features.window, features.width, features.size, features.value_range) == ("alex16", 16, 64, 128, (-1.0, 1.0))
    assert features.digest == digest_of([weights_path("lpips_alex_v0.1_fp16.safetensors")])
    assert isinstance(features, Alex16)


@pytest.mark.parametrize("name", ["i3d", "videomae", "resnet3d50"])
def test_a_network_without_its_weights_says_which_and_where_from(name: str) -> None:
    with pytest.raises(XDancerError) as error:
        make_features(name)
    assert str(error.value).startswith(f"{name} needs weights that are not shipped: {NETWORKS[name].weights}")
    with pytest.raises(XDancerError, match=r"no such file|is no VideoMAE folder"):
        make_features(name, weights=Path("nowhere.pt"))


def test_unknown_names_and_superfluous_weights_are_refused() -> None:
    with pytest.raises(XDancerError, match=r"vgg: unknown video network\. Choose alex16, i3d, videomae, resnet3d50"):
        make_features("vgg")
    with pytest.raises(XDancerError, match=r"alex16 ships with the package and takes no weights, got w\.pt"):
        make_features("alex16", weights=Path("w.pt"))


def test_a_named_network_is_filled_from_its_file(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=DeprecationWarning)  # torch 2.9 on
        torch.jit.script(Scripted()).save(str(tmp_path / "i3d_torchscript.pt"))
    features = make_features("i3d", weights=tmp_path / "i3d_torchscript.pt", device="cpu")
    assert (features.name, features.size, features.digest) == ("i3d", 224, digest_of([tmp_path / "i3d_torchscript.pt"]))
