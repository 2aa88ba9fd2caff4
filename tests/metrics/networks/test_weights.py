"""Which bytes a network is, and weights that fit it one by one."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from xdancer.errors import CheckpointError
from xdancer.metrics.networks import weights


def test_a_digest_is_the_sha256_of_the_bytes_whatever_the_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    assert weights.digest_of([tmp_path / "a"]) == hashlib.sha256(b"one").hexdigest()[:12]
    assert weights.digest_of([tmp_path / "a", tmp_path / "b"]) == hashlib.sha256(b"onetwo").hexdigest()[:12]


def test_every_weight_must_fit_and_the_message_names_what_does_not() -> None:
    layer = nn.Linear(2, 3)
    network = nn.Sequential(layer, nn.BatchNorm1d(3))
    good = {name: torch.full_like(value, 0.5) for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    weights.load_strictly(network, good | {"fc.weight": torch.zeros(1)}, source=Path("w.pt"), kind="a net", left_out=("fc.",))
    assert layer.weight.eq(0.5).all()
    wrong = {name: value for name, value in good.items() if name != "1.bias"} | {"fc.weight": torch.zeros(1), "0.weight": torch.zeros(3, 4)}
    with pytest.raises(CheckpointError) as error:
        weights.load_strictly(network, wrong, source=Path("w.pt"), kind="a net")
    assert "w.pt does not hold the weights of a net: 1 missing (1.bias); 1 unknown (fc.weight)" in str(error.value)
    assert "1 of another shape (0.weight is (3, 4), needed (3, 2))" in str(error.value)


def test_windows_of_another_size_are_refused() -> None:
    weights.check_windows(torch.zeros(2, 16, 3, 8, 8), name="net", window=16, size=8)
    with pytest.raises(ValueError, match="net reads windows of 16 frames of 8×8, got 4 of 8×9"):
        weights.check_windows(torch.zeros(2, 4, 3, 8, 9), name="net", window=16, size=8)
