"""Portraits of any shape in the renderer's pictures."""

import numpy as np
import pytest

from xdancer.pipelines.letterbox import Letterbox, output_size, resized

SHAPES = [((1088, 640), (128, 128)), ((300, 900), (128, 128)), ((100, 100), (896, 512)), ((64, 64), (64, 64)), ((1000, 7), (64, 32))]


@pytest.mark.parametrize(("source", "target"), SHAPES)
def test_the_portrait_is_cut_out_where_it_was_placed(source: tuple[int, int], target: tuple[int, int]) -> None:
    box = Letterbox.fit(source, target)
    picture = np.full((*source, 3), 90, np.uint8)
    picture[: source[0] // 2] = 200
    placed = box.place(picture)
    assert placed.shape == (*target, 3)
    cut = box.cut(placed[None])[0]
    assert cut.shape == (*box.inner, 3)
    assert not box.inner[0] % 2
    assert not box.inner[1] % 2
    assert abs(int(cut[0, 0, 0]) - 200) <= 2
    assert abs(int(cut[-1, 0, 0]) - 90) <= 2


@pytest.mark.parametrize(("source", "target"), SHAPES)
def test_poses_lie_on_the_same_point_of_the_picture(source: tuple[int, int], target: tuple[int, int]) -> None:
    box = Letterbox.fit(source, target)
    corner = np.zeros((1, 60, 3), np.float32)
    corner[..., :2] = [source[1] / source[0], 1.0]  # the lower right corner of the portrait
    inside = box.pose_inside(corner)
    pixels = inside[0, 0, :2] * target[0] / 2 + np.array([target[1], target[0]]) / 2
    assert np.allclose(pixels, np.array([box.corner[1] + box.inner[1], box.corner[0] + box.inner[0]]), atol=1.01)
    assert np.allclose(box.pose_outside(inside), corner, atol=1e-5)


def test_output_sizes_keep_the_proportions() -> None:
    box = Letterbox.fit((1088, 640), (128, 128))
    assert output_size(box) == box.inner
    assert output_size(box, height=512) == (512, 302)
    assert output_size(box, width=320) == (544, 320)
    assert output_size(box, width=302, height=512) == (512, 302)
    with pytest.raises(ValueError, match="512×512 does not have the portrait's proportions"):
        output_size(box, width=512, height=512)
    assert resized(np.zeros((*box.inner, 3), np.uint8), (512, 302)).shape == (512, 302, 3)
