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
