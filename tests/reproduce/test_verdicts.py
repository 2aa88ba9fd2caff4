"""What paired differences say of a claim: closed forms."""

import numpy as np
import pytest
from scipy import stats

from xdancer.reproduce.paper_tables import Block, Claim, Column, PaperRow
from xdancer.reproduce.verdicts import bootstrap_difference, difference, judge, judge_all

BLOCK = Block(
    title="two rows",
    columns={"score": Column("gpt/beat_f1", True), "other": Column("video/id_sim", True)},
    rows={"a": PaperRow("motion"), "b": PaperRow("motion"), "later": PaperRow("not built yet")},
    reference="a",
    claims=(Claim("a", "above", "b", "score"), Claim("a", "below", "b", "score"), Claim("a", "above", "later", "score")),
)


def runs(gaps: list[float]) -> dict[str, dict[int, dict[str, float]]]:
    """Rows whose seeds differ by far more than the rows do; a − b is `gaps`."""
    base = [0.2 + 0.1 * seed for seed in range(len(gaps))]
    return {
        "a": {seed: {"gpt/beat_f1": base[seed] + gap} for seed, gap in enumerate(gaps)},
        "b": {seed: {"gpt/beat_f1": base[seed]} for seed in range(len(gaps))},
    }


def seen(gaps: list[float]) -> list[str]:
    return [verdict.seen for verdict in judge_all(BLOCK, runs(gaps))]


def test_an_interval_on_the_claimed_side_shows_the_claim_and_reverses_its_opposite() -> None:
    assert seen([0.02, 0.021, 0.019, 0.02, 0.022]) == ["shown", "reversed", "not built yet"]
    assert seen([-0.02, -0.021, -0.019, -0.02, -0.022]) == ["reversed", "shown", "not built yet"]
    assert seen([0.02, -0.03, 0.01, -0.01, 0.012]) == ["not shown", "not shown", "not built yet"]
    assert seen([0.0] * 5) == ["not shown", "not shown", "not built yet"]


def test_two_seeds_decide_nothing_however_far_apart() -> None:
    assert seen([0.5, 0.5]) == ["too few seeds", "too few seeds", "not built yet"]
    verdict = judge(BLOCK.claims[0], BLOCK, runs([0.5, 0.4]))
    assert verdict.pairs == 2
    assert verdict.difference is not None
    assert verdict.difference.mean == pytest.approx(0.45)
    assert judge(BLOCK.claims[0], BLOCK, {}).pairs == 0


def test_only_seeds_that_both_rows_have_are_compared() -> None:
    found = runs([0.02] * 4)
    del found["b"][1]
    verdict = judge(BLOCK.claims[0], BLOCK, found)
    assert (verdict.seen, verdict.pairs) == ("shown", 3)
    found["b"][2]["gpt/beat_f1"] = None  # type: ignore[assignment]
    assert judge(BLOCK.claims[0], BLOCK, found).seen == "too few seeds"


def test_a_figure_that_no_run_has_is_not_measured() -> None:
    assert judge(Claim("a", "above", "b", "other"), BLOCK, runs([0.1] * 5)).seen == "not measured"


def test_the_interval_is_as_wide_as_students() -> None:
    """The percentile interval alone would be narrower by a third at 5 values."""
    values = np.array([-0.02, -0.01, 0.0, 0.01, 0.02]) + 0.3
    found = bootstrap_difference(values)
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) / np.sqrt(5)
    assert found.mean == pytest.approx(0.3)
    assert found.high - found.mean == pytest.approx(half, rel=0.1)
    assert found.mean - found.low == pytest.approx(half, rel=0.1)


def test_equal_differences_have_an_interval_without_width() -> None:
    found = bootstrap_difference(np.full(3, 0.25))
    assert (found.mean, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert difference({0: {"x": 1.0}}, {0: {"x": 0.5}}, "x") is None
    with pytest.raises(ValueError, match="1 paired differences"):
        bootstrap_difference(np.zeros(1))
