"""Progress where there is no terminal: now and then a line with count, rate, time left and a remark."""

import time

import pytest

from xdancer.progress import Steps, duration, per_time


@pytest.mark.parametrize(("rate", "text"), [(0.0, ""), (12.34, "12.3/s"), (0.05, "3.0/min"), (0.001, "3.6/h")])
def test_rates(rate: float, text: str) -> None:
    assert per_time(rate) == text


@pytest.mark.parametrize(("seconds", "text"), [(11.6, "12 s"), (250.0, "4 min 10 s"), (11100.0, "3 h 05 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Steps() as steps:
        for moment, done in ((1000.0, 40), (1001.0, 41), (1010.0, 45), (1012.0, 46), (1120.0, 100)):
            now[0] = moment
            steps("clips", done, 100, "3 left out")
    assert capsys.readouterr().err.splitlines() == [
        "clips 45/100 · 30.0/min · 1 min 50 s left · 3 left out",
        "clips 100/100 · 30.0/min · 3 left out",
    ]
