"""Style, energy and density: measured as said, heard by the model, absent without a trace."""

from dataclasses import replace

import pytest
import torch

from xdancer.motion_gpt.conditions import dropped, motion_figures
from xdancer.types import PoseBatch


def swinging(*, hertz: float, reach: float, frames: int = 90) -> PoseBatch:
    """A standing body, 1.0 from nose to ankle, whose keypoints all swing sideways."""
    down = torch.linspace(0, 1, 5)
    body = torch.zeros(60, 2)
    for path in ((0, 1, 8, 9, 10), (0, 1, 11, 12, 13)):
        body[list(path), 1] = down
    time = torch.arange(frames) / 30
    places = body.expand(1, frames, 60, 2).clone()
    places[0, :, :, 0] += (reach * torch.sin(2 * torch.pi * hertz * time))[:, None]
    return PoseBatch(places, torch.ones(1, frames, 60))


@pytest.mark.parametrize(("hertz", "reach"), [(1.0, 0.1), (1.5, 0.2)])
def test_figures_of_a_swing(hertz: float, reach: float) -> None:
    """A sine of amplitude a and frequency f moves at 4·a·f on average and stands still twice a cycle."""
    energy, density = motion_figures(swinging(hertz=hertz, reach=reach))[0].tolist()
    assert energy == pytest.approx(4 * reach * hertz, rel=0.03)
    assert density == pytest.approx(2 * hertz, abs=0.4)


def test_figures_ignore_the_distance_of_the_camera() -> None:
    near = swinging(hertz=1.0, reach=0.1)
    far = replace(near, keypoints=near.keypoints * 0.3)
    assert torch.allclose(motion_figures(near), motion_figures(far), atol=1e-4)


def test_an_unseen_body_has_no_figures() -> None:
    pose = swinging(hertz=1.0, reach=0.1)
    assert motion_figures(replace(pose, confidence=pose.confidence * 0.1)).isnan().all()


def test_the_model_hears_style_and_figures_and_absence_equals_none(make_gpt, make_segment) -> None:
    gpt = make_gpt(styles=("wave", "jump"), motion_figures=True)
    segment = make_segment(gpt)
    plain = gpt(segment)
    absent = replace(segment, style=torch.tensor([-1, -1]), figures=torch.full((2, 2), torch.nan))
    assert torch.equal(gpt(absent), plain)
    asked = gpt(replace(absent, style=torch.tensor([1, -1])))
    assert not torch.allclose(asked[0], plain[0])
    assert torch.equal(asked[1], plain[1])
    lively = gpt(replace(absent, figures=torch.tensor([[1.5, torch.nan], [torch.nan, torch.nan]])))
    assert not torch.allclose(lively[0], plain[0])
    assert torch.equal(lively[1], plain[1])


def test_conditions_are_dropped_as_often_as_asked() -> None:
    torch.manual_seed(0)
    style, figures = dropped(torch.zeros(4000, dtype=torch.long), torch.ones(4000, 2), 0.1)
    assert style is not None
    assert figures is not None
    assert float((style < 0).float().mean()) == pytest.approx(0.1, abs=0.02)
    assert figures.isnan().float().mean(0).tolist() == pytest.approx([0.1, 0.1], abs=0.02)


def test_a_style_named_twice_is_refused(make_gpt) -> None:
    with pytest.raises(ValueError, match="a name stands twice"):
        make_gpt(styles=("wave", "wave"))
