"""The report's page: stands alone, escapes what it is given, equal input gives equal output."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.files import write_text
from xdancer.report import charts, page
from xdancer.report.embed import inline_svg, picture_uri
from xdancer.report.strip import beside, evenly, frame_strip, pose_strip


def test_a_page_is_one_file_with_everything_in_it(tmp_path: Path) -> None:
    picture = picture_uri(np.zeros((4, 6, 3), np.uint8))
    body = page.paragraph("a < b & c") + page.row(page.picture(picture, "two"), page.video("data:video/mp4;base64,AAAA", "three", loop=True))
    write_text(tmp_path / "report.html", page.page("Title", "lead", [page.Section("S & T", body), page.Section("C", page.commands(["x > y"]))]))
    text = (tmp_path / "report.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert "a &lt; b &amp; c" in text
    assert "x &gt; y" in text
    assert "<h2>S &amp; T</h2>" in text
    assert 'src="data:image/png;base64,' in text
    assert "http" not in text


def test_a_figure_stands_beside_its_nulls_n_and_target() -> None:
    rows = [
        page.Row("beat F1", 0.6123, 3, {"null": 0.25, "truth": None}, 40, "≥ .55", True, "note"),
        page.Row("PCK", None, 3, None, 0, "≥ .5", None, "needs a detector"),
    ]
    text = page.metric_table([page.Group("stage", rows)])
    assert "<td>0.612</td><td>null 0.250<br>truth –</td><td>40</td>" in text
    assert "✓" in text
    assert "<td>–</td>" in text
    assert page.number(float("nan"), 2) == "–"


def test_charts_are_equal_for_equal_input() -> None:
    curve = (np.arange(5), np.array([100.0, 10.0, 5.0, 2.0, 1.0]))
    first, second = (inline_svg(charts.loss_chart({"stage 1": {"train/loss": curve}, "empty": {}})) for _ in range(2))
    assert first == second
    assert first.startswith("<svg")
    assert "stage 1" in first
    counts = np.array([[5, 0, 1, 2], [1, 1, 1, 1]])
    assert "left hand: 4" in inline_svg(charts.codebook_chart(counts, ["head", "left_hand"]))
    assert inline_svg(charts.speed_chart({"true": np.ones(30)}, [0.5, 1.0], fps=30.0)).count("<svg") == 1


def test_perplexity_counts_evenly_used_codes() -> None:
    assert charts.perplexity(np.array([3, 3, 3, 0])) == pytest.approx(3)
    assert charts.perplexity(np.array([9, 0])) == pytest.approx(1)
    assert charts.perplexity(np.zeros(4, np.int64)) == 0


def test_curves_of_a_run_are_read_without_its_gaps(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,train/loss,val/loss\n0,9,2.5,\n0,19,1.5,\n0,20,,1.7\n")
    curves = charts.read_curves(tmp_path / "metrics.csv")
    assert curves["train/loss"][0].tolist() == [9, 19]
    assert curves["val/loss"][1].tolist() == [1.7]
    assert charts.read_curves(tmp_path / "none.csv") == {}


def test_strips_show_the_first_and_the_last() -> None:
    assert evenly(100, 5).tolist() == [0, 25, 50, 74, 99]
    assert evenly(2, 12).tolist() == [0, 1]
    frames = np.zeros((9, 10, 6, 3), np.uint8)
    assert frame_strip(frames, count=3, height=20).shape == (20, 36, 3)
    assert pose_strip(np.zeros((5, 60, 3), np.float32), count=2, height=16).shape == (16, 32, 3)
    assert beside([frames[0], frames[1]], gap=2).shape == (10, 14, 3)
    assert beside([]).shape == (1, 1, 3)
