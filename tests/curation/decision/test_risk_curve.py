"""The risk curve: time adds up by risk, and the mean risk never exceeds the highest."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.decision.risk_curve import RiskPoint, risk_curve


def test_the_curve_adds_up_time_by_risk() -> None:
    assert risk_curve([], []) == ()
    points = risk_curve([0.4, 0.1, 0.4], [60, 100, 40])
    assert [(one.risk, one.seconds) for one in points] == [(0.1, 100.0), (0.4, 200.0)]
    assert [one.mean for one in points] == pytest.approx([0.1, 0.25])


def test_risks_that_float32_made_differ_are_one() -> None:
    risks = np.array([0.3, 0.2], np.float32).astype(float).tolist()
    assert risk_curve([0.2, 0.3, *risks], [1, 1, 1, 1]) == (RiskPoint(0.2, 2.0, 0.2), RiskPoint(0.3, 4.0, 0.25))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 300)), max_size=20))
def test_more_risk_never_gives_less_time_and_the_mean_is_never_above_it(rows: list[tuple[float, float]]) -> None:
    points = risk_curve([risk for risk, _ in rows], [seconds for _, seconds in rows])
    for before, after in pairwise(points):
        assert before.risk < after.risk
        assert before.seconds < after.seconds
    assert all(point.mean <= point.risk + 1e-9 for point in points)
    if rows:
        assert points[-1].seconds == pytest.approx(sum(seconds for _, seconds in rows))


@given(st.integers(1, 400), st.integers(2, 50))
def test_a_thinned_curve_keeps_its_ends_and_lies_on_the_whole(cuts: int, points: int) -> None:
    risks, lengths = np.arange(cuts) / 1000, np.ones(cuts)
    whole, thin = risk_curve(risks, lengths), risk_curve(risks, lengths, points)
    assert (thin[0], thin[-1]) == (whole[0], whole[-1])
    assert len(thin) == min(cuts, points) and set(thin) <= set(whole)
