"""The HTML report of a run: counts by reason, pictures that can be decoded, distributions with thresholds; bounded however many clips."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xdancer.errors import XDancerError
from xdancer.prepare import PrepareSettings, page, prepare_videos
from xdancer.prepare.cache import ClipCache, Rejection
from xdancer.prepare.job import CutRecord, VideoRecord
from xdancer.prepare.page import Gallery, reason_kind, write_page
from xdancer.prepare.report import PrepareReport, VideoReport
from xdancer.types import ClipSample

SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=1.0, min_person=50, features=("librosa",), shot_threshold=0.0)


def sample(key: str, quality: dict[str, Any]) -> ClipSample:
    return ClipSample(key, np.zeros((30, 60, 3), np.float32), {}, {"tempo": 120.0, "quality": quality})


def report(*videos: VideoReport) -> PrepareReport:
    return PrepareReport(videos, "red 1", "cpu", "fp32", {"width": 64, "features": ["librosa"]}, "0", {"train": 1}, 1.0)


def pictures(text: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r'data:image/jpeg;base64,([^"]+)', text)]


def test_a_run_in_one_page(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    video("good.mp4", 2.0)
    folder = video("nobody.mp4", 2.0, absent=(0.0, 9.0)).parent
    prepare_videos(folder, tmp_path / "out", SETTINGS, detector=detector)
    text = (tmp_path / "out/report.html").read_text()
    assert "1 of 2 videos accepted: 2 clips, 2 s. Poses by red 1 on cpu." in text
    assert "<td>no person was found</td><td>2</td><td>nobody.mp4: no person was found (0–1 s)</td>" in text
    shown = pictures(text)
    assert [picture.height for picture in shown] == [160] * 4
    accepted, left_out = np.asarray(shown[0], int), np.asarray(shown[2], int)
    assert np.ptp(accepted.reshape(-1, 3), axis=0).max() > 150  # the dancer and the skeleton
    assert np.ptp(left_out.reshape(-1, 3), axis=0).max() < 20  # nobody
    for name in ("seconds", "tempo", "body_seen", "native_fps"):
        assert f">{name}</text>" in text
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_a_run_that_accepts_nothing_has_a_page_too(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    folder = video("nobody.mp4", 2.0, absent=(0.0, 9.0)).parent
    with pytest.raises(XDancerError, match=re.escape(f"{tmp_path / 'out/report.html'}")):
        prepare_videos(folder, tmp_path / "out", SETTINGS, detector=detector)
    text = (tmp_path / "out/report.html").read_text()
    assert "0 of 1 videos accepted: 0 clips" in text
    assert "<td>no person was found</td><td>2</td>" in text
    assert len(pictures(text)) == 2


def test_figures_of_nested_tables_and_no_others() -> None:
    gallery = Gallery(["a"])
    quality = {"beats": {"f1": 0.5, "null": 0.25}, "flag": True, "name": "x", "odd": float("nan"), "sharpness": 3}
    for _ in range(2):  # in --split frames a clip comes three times
        gallery.add(sample("a", quality))
    assert gallery.figures == {"seconds": [1.0], "tempo": [120.0], "beats f1": [0.5], "beats null": [0.25], "sharpness": [3.0]}


def test_filters_count_what_passed_and_what_did_not(tmp_path: Path) -> None:
    gallery, cache = Gallery(["a", "b"]), ClipCache(tmp_path, "0")
    for key, value in (("a", 5.0), ("b", 9.0)):
        gallery.add(sample(key, {"filters": {"sharpness": {"value": value, "threshold": 4.0, "passed": True}}}))
    blurred = {"filters": {"sharpness": {"value": 1.0, "threshold": 4.0, "passed": False}}}
    cache.store("c", Rejection("blurred: 1.0", figures=blurred, picture="YWJj"))
    gallery.add_rejected(VideoRecord("c.mp4", (CutRecord("c", 0.0, 1.0, reason="blurred: 1.0"), CutRecord("d", 1.0, 2.0, frames=30))), cache)
    write_page(tmp_path, report(VideoReport("c.mp4", "c", reasons=("blurred: 1.0",))), gallery)
    text = (tmp_path / "report.html").read_text()
    assert "<td>sharpness</td><td>3</td><td>2</td><td>4</td><td>5</td>" in text
    assert "c.mp4 (0–1 s): blurred: 1.0" in text


def test_left_out_pictures_show_every_kind_of_reason_first(tmp_path: Path) -> None:
    gallery, cache = Gallery([]), ClipCache(tmp_path, "0")
    for number in range(60):
        reason = "no person was found" if number else f"blurred: {number}.5"
        cache.store(f"k{number}", Rejection(reason, picture="YWJj"))
        gallery.add_rejected(VideoRecord(f"{number}.mp4", (CutRecord(f"k{number}", 0.0, 1.0, reason=reason),)), cache)
    shown = gallery.shown_rejected()
    assert len(shown) == page.SHOWN
    assert ["blurred" in figure for figure in shown[:3]] == [True, False, False]


def test_equal_reasons_are_one_kind() -> None:
    kinds = {reason_kind(text) for text in ("the person is only 80 pixels high (0–5 s)", "the person is only 81.5 pixels high (10–15 s)")}
    assert kinds == {"the person is only … pixels high"}


def test_many_videos_make_a_bounded_page(tmp_path: Path) -> None:
    videos = [VideoReport(f"{number}.mp4", "s", reasons=("no sound",)) for number in range(2000)]
    gallery = Gallery([f"k{number}" for number in range(5000)])
    assert len(gallery.chosen) == page.SHOWN
    write_page(tmp_path, report(*videos, VideoReport("bad.mp4", "s", quarantined="crashed <b>")), gallery)
    text = (tmp_path / "report.html").read_text()
    assert len(text) < 200_000
    assert "<td>no sound</td><td>2000</td>" in text
    assert "1501 more videos are in report.json" in text
    assert "quarantined: crashed &lt;b&gt;" in text
    assert replace(report(*videos)).lines()[200] == "… and 1800 more videos: report.json"
