"""The skeleton on its way into file and window."""

import numpy as np
import pytest

from xdancer.errors import XDancerError
from xdancer.pipelines.preview import Clock, draw_dance, require_display, show_live
from xdancer.pipelines.standing import standing_pose


def test_pictures_come_with_the_poses() -> None:
    asked: list[int] = []
    poses = (asked.append(index) or standing_pose() for index in range(5))
    pictures = draw_dance(poses, size=(64, 36))
    assert next(pictures).shape == (64, 36, 3)
    assert asked == [0]
    assert len(list(pictures)) == 4


def test_the_window_passes_every_picture_on_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda block: None)  # Agg has no window
    monkeypatch.setattr("xdancer.pipelines.preview.WINDOW_EVERY", 0.0)
    pictures = [np.full((8, 8, 3), value, np.uint8) for value in range(4)]
    live = show_live(pictures)
    passed = [next(live)]
    shown = pyplot.figure("xdancer").axes[0].images[0]
    passed.append(next(live))
    assert (np.asarray(shown.get_array()) == 1).all()
    passed += live
    assert all(one is other for one, other in zip(passed, pictures, strict=True))
    assert not pyplot.fignum_exists("xdancer")


def test_no_display_is_said_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matplotlib.pyplot.get_backend", lambda: "agg")
    with pytest.raises(XDancerError, match=r"backend is agg.*Leave --window out"):
        require_display()
    monkeypatch.setattr("matplotlib.pyplot.get_backend", lambda: "QtAgg")
    require_display()


def test_the_clock_counts() -> None:
    clock = Clock()
    assert list(clock.timed(range(7))) == list(range(7))
    assert str(clock).startswith("7 frames in ")
