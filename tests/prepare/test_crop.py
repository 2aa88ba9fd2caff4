"""The window of a clip."""

import numpy as np
import pytest

from xdancer.prepare.crop import Crop, choose_crop, union_box

ASPECT = 512 / 896


def test_the_union_covers_the_seen_keypoints_inside_the_picture() -> None:
    pixels = np.zeros((50, 60, 3), np.float32)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 100, 200, 1
    pixels[10:20, 3, 0], pixels[30:40, 10, 1] = -30, 390
    pixels[:, 5] = (0, 0, 0.1)  # not seen
    pixels[25] = 0  # nobody
    left, top, right, bottom = union_box(pixels, 320, 400)
    assert (left, right) == (0, 100)
    assert (top, bottom) == pytest.approx((200, 390))


def box_of(*values: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(float, values)
    return left, top, right, bottom


@pytest.mark.parametrize("box", [box_of(300, 200, 420, 620), box_of(10, 10, 130, 430), box_of(900, 300, 1270, 700)])
def test_the_window_has_the_aspect_and_stays_inside(box: tuple[float, float, float, float]) -> None:
    crop = choose_crop(box, width=1280, height=720, aspect=ASPECT, margin=0.08)
    assert crop.width / crop.height == pytest.approx(ASPECT)
    assert crop.left <= box[0] <= box[2] <= crop.left + crop.width
    assert crop.top <= box[1] <= box[3] <= crop.top + crop.height
    assert crop.left >= 0
    assert crop.left + crop.width <= 1280
    assert crop.outside(1280, 720) == pytest.approx(0 if crop.height <= 720 else 1 - 720 / crop.height)


def test_margins_shrink_before_the_window_leaves_the_picture() -> None:
    box = box_of(20, 30, 500, 740)  # nearly the whole height: full margins would stick out
    crop = choose_crop(box_of(160, 30, 400, 740), width=512, height=758, aspect=ASPECT, margin=0.08)
    assert crop.height == pytest.approx(758)
    assert crop.outside(512, 758) == pytest.approx(0, abs=1e-9)
    wide = choose_crop(box, width=512, height=758, aspect=ASPECT, margin=0.08)
    assert wide.width >= 480
    assert wide.outside(512, 758) > 0


def test_pixels_and_picture_agree() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[60:64, 120:124] = 255
    crop = Crop(left=100.0, top=40.0, width=40.0, height=80.0)  # 20 rows below the picture
    cropped = crop.picture(picture, (80, 160))
    assert cropped.shape == (160, 80, 3)
    rows, columns = np.nonzero(cropped[..., 0] > 128)
    point = np.zeros((1, 60, 3), np.float32)
    point[..., :2] = (122, 62)
    np.testing.assert_allclose(crop.pixels(point, (80, 160))[0, 0, :2], (columns.mean() + 0.5, rows.mean() + 0.5), atol=0.5)


def test_beyond_the_picture_the_border_is_repeated_or_black() -> None:
    picture = np.full((50, 50), 200, np.uint8)
    crop = Crop(left=-10.0, top=-10.0, width=70.0, height=70.0)
    assert (crop.picture(picture, (70, 70)) == 200).all()
    black = crop.picture(picture, (70, 70), edge=False)
    assert black[0, 0] == 0
    assert black[35, 35] == 200
    assert crop.outside(50, 50) == pytest.approx(1 - 2500 / 4900)
