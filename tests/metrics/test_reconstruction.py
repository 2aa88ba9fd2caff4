"""PSNR, LPIPS, person region, null rows and clothes against closed forms and LPIPS's own examples."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from xdancer import skeleton as sk
from xdancer.metrics import reconstruction as rec


def test_psnr_of_a_known_error() -> None:
    target = torch.zeros(2, 3, 8, 8)
    assert rec.psnr(target + 0.2, target) == pytest.approx(20.0)  # (0.2 / 2)² = 10⁻²
    region = torch.zeros(2, 8, 8, dtype=torch.bool)
    region[:, :4] = True
    predicted = target.clone()
    predicted[:, :, :4] += 0.02
    assert rec.psnr(predicted, target, region) == pytest.approx(40.0)
    assert rec.psnr(predicted, target, ~region) == float("inf")
    assert np.isnan(rec.psnr(predicted, target, torch.zeros_like(region)))


def test_psnr_is_that_of_torchmetrics() -> None:
    from torchmetrics.image import PeakSignalNoiseRatio

    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 3, 16, 20, generator=generator) * 2 - 1
    predicted = (target + 0.3 * torch.randn(target.shape, generator=generator)).clamp(-1, 1)
    assert rec.psnr(predicted, target) == pytest.approx(float(PeakSignalNoiseRatio(data_range=2.0)(predicted, target)), rel=1e-5)


def test_person_region_is_the_union_grown_by_two_pixels() -> None:
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[0, 4, 4] = True
    reference = torch.zeros(16, 16, dtype=torch.bool)
    reference[12, 12] = True
    region = rec.person_region(masks, reference)
    assert region.sum() == 2 * 25
    assert region[0, 2:7, 2:7].all()
    assert region[0, 10:15, 10:15].all()


def test_null_rows() -> None:
    target = torch.rand(2, 3, 8, 8)
    region = torch.zeros(2, 8, 8, dtype=torch.bool)
    region[:, 2:5] = True
    rows = rec.null_rows(target[0], target, region, training_mean=torch.zeros(3, 8, 8))
    assert rec.psnr(rows["grey"], target, ~region) == float("inf")
    assert rows["grey"].permute(0, 2, 3, 1)[region].eq(0).all()
    assert rec.psnr(rows["copy"][:1], target[:1]) == float("inf")
    assert set(rows) == {"copy", "grey", "mean"}


def test_lpips_is_zero_for_the_same_picture_and_symmetric() -> None:
    a, b = torch.rand(2, 1, 3, 64, 64) * 2 - 1
    assert rec.lpips(a, a).item() == 0
    assert rec.lpips(a, b).item() == pytest.approx(rec.lpips(b, a).item())
    assert rec.lpips(a, b).item() > 0.01


def test_lpips_of_its_authors_examples(shared: Path) -> None:
    from PIL import Image

    def picture(name: str) -> torch.Tensor:
        return rec.unit_pictures(np.asarray(Image.open(shared / "weights" / f"ex_{name}.png").convert("RGB"))[None])

    assert rec.lpips(picture("ref"), picture("p0")).item() == pytest.approx(0.722, abs=0.002)
    assert rec.lpips(picture("ref"), picture("p1")).item() == pytest.approx(0.138, abs=0.002)


def dressed(top: tuple[int, int, int], trousers: tuple[int, int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One 64×64 picture of a person, upper half in one colour, lower half in another, and the pose in it."""
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    frame[:, :32, 20:44] = top
    frame[:, 32:, 20:44] = trousers
    pose = np.ones((1, 60, 3), np.float32)
    for point, place in {
        sk.RIGHT_SHOULDER: (-0.3, -0.6), sk.LEFT_SHOULDER: (0.3, -0.6), sk.RIGHT_HIP: (-0.2, 0.0), sk.LEFT_HIP: (0.2, 0.0),
        sk.RIGHT_KNEE: (-0.2, 0.5), sk.LEFT_KNEE: (0.2, 0.5),
    }.items():  # fmt: skip
        pose[:, point, :2] = place
    return frame, pose


def test_clothes_colours_are_those_worn() -> None:
    colours = rec.clothes_colours(*dressed((255, 0, 0), (0, 0, 255)))
    np.testing.assert_allclose(colours, [1, 0, 0, 0, 0, 1])
    frame, pose = dressed((255, 0, 0), (0, 0, 255))
    pose[..., 2] = 0
    assert np.isnan(rec.clothes_colours(frame, pose)).all()


def test_clothes_find_their_own_portrait() -> None:
    portraits = [rec.clothes_colours(*dressed((10 * i, 0, 0), (0, 10 * i, 0))) for i in range(20)]
    names = [str(i) for i in range(20)]
    assert rec.clothes_ranks(portraits, portraits, names) == [0] * 20
    ranks = rec.clothes_ranks(portraits[::-1], portraits, names)
    assert np.mean([rank == 0 for rank in ranks]) < 0.3
    assert max(ranks) <= 15
    assert rec.clothes_ranks([portraits[0]] * 20, [portraits[0]] * 20, names) == [15] * 20


def test_ssim_is_that_of_torchmetrics_on_pictures_in_zero_to_one() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    target = torch.rand(18, 3, 32, 40) * 2 - 1  # more than one piece
    predicted = (target + 0.3 * torch.randn_like(target)).clamp(-1, 1)
    whole = structural_similarity_index_measure((predicted + 1) / 2, (target + 1) / 2, data_range=1.0)
    assert isinstance(whole, torch.Tensor)
    assert rec.ssim(predicted, target) == pytest.approx(float(whole), abs=1e-6)
    assert rec.ssim(target, target) == pytest.approx(1)
    full = structural_similarity_index_measure((predicted + 1) / 2, (target + 1) / 2, data_range=1.0, return_full_image=True)[1]
    region = torch.zeros(18, 32, 40, dtype=torch.bool)
    region[:, 4:9, 7:20] = True
    assert rec.ssim(predicted, target, region) == pytest.approx(float(full[:, :, 4:9, 7:20].mean()), abs=1e-6)
    assert rec.ssim_map(predicted, target).shape == (18, 32, 40)


def test_ssim_of_flat_pictures_is_the_ratio_of_their_means() -> None:
    """Without contrast only the luminance term is left: (2ab + c) / (a² + b² + c) on [0, 1]."""
    dark, bright = torch.full((1, 3, 16, 16), -0.5), torch.full((1, 3, 16, 16), 0.5)
    a, b, c = 0.25, 0.75, 0.01**2
    assert rec.ssim(dark, bright) == pytest.approx((2 * a * b + c) / (a * a + b * b + c), abs=1e-3)


def test_ssim_needs_its_window_and_a_region() -> None:
    target = torch.zeros(2, 3, 10, 40)
    assert np.isnan(rec.ssim(target, target))
    assert rec.ssim_map(target, target).isnan().all()
    large = torch.zeros(2, 3, 12, 12)
    assert np.isnan(rec.ssim(large, large, torch.zeros(2, 12, 12, dtype=torch.bool)))
    assert np.isnan(rec.ssim(large[:0], large[:0]))


def test_decibels() -> None:
    assert rec.decibels(0.04) == pytest.approx(20)
    assert rec.decibels(0.0) == float("inf")


def test_lpips_by_vgg_from_files(vgg_trunk: Path) -> None:
    from xdancer.metrics.perceptual import vgg_lpips

    network = vgg_lpips(vgg_trunk)
    a, b = torch.rand(2, 2, 3, 48, 48) * 2 - 1
    assert network(a, a).eq(0).all()
    assert torch.allclose(network(a, b), network(b, a))
    assert (network(a, b) > 0.01).all()
    assert network(a, a + 0.05 * (b - a)).mean() < network(a, b).mean()


def test_vgg_weights_that_are_missing_or_of_another_network_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xdancer.errors import CheckpointError
    from xdancer.metrics.perceptual import vgg_lpips

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(CheckpointError, match=r"vgg16-397923af\.pth: LPIPS by VGG needs torchvision's VGG16"):
        vgg_lpips()
    torch.save({"features.0.weight": torch.zeros(8, 3, 3, 3), "features.0.bias": torch.zeros(8)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth and the LPIPS heads do not fit VGG16"):
        vgg_lpips(tmp_path / "other.pth")


def test_lpips_by_vgg_equals_torchmetrics(vgg_trunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its network on the same trunk, laid out as torchvision does."""
    from torch import nn
    from torchmetrics.functional.image import lpips as theirs

    from xdancer.metrics.perceptual import vgg_lpips

    layers: list[nn.Module] = []
    inner = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(inner, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        inner = width or inner
    trunk = nn.Sequential(*layers)
    state = torch.load(vgg_trunk, weights_only=True)
    trunk.load_state_dict({name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")})
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda net, pretrained: trunk)
    oracle = theirs._LPIPS(net="vgg")
    a, b = torch.rand(2, 2, 3, 48, 48) * 2 - 1
    found = oracle(a, b)
    assert torch.allclose(vgg_lpips(vgg_trunk)(a, b), found.flatten(), rtol=1e-3, atol=1e-5)
