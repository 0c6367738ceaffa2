"""The histograms of the report: every item counted, the recipe's bounds in their place."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from app.display.histograms import NOTHING, quality_bars
from app.display.measures import MEASURES
from manifests.recipe import MeasureName, load_recipe
from manifests.records import Cut, CutDecision, Recording

RECIPE = load_recipe("packaged")
HONEST = Recording(recording_id="r", uri="m:a", duration=60, sample_rate=48_000, has_video=True, status="ok")


def cut(number: int, decision: CutDecision, **measures: float) -> Cut:
    return Cut(
        cut_id=f"c{number}",
        recording_id="r",
        start=60.0 * number,
        end=60.0 * number + 60,
        decision=decision,
        risk=0.1,
        recipe_hash="h",
        **measures,  # type: ignore[arg-type]
    )


def test_distributions_count_every_cut_and_show_the_bounds() -> None:
    cuts = [
        cut(0, "accept", clipped=0.0),
        cut(1, "accept", clipped=0.004),
        cut(2, "review", clipped=0.02),
        cut(3, "accept"),
    ]
    lost = replace(HONEST, recording_id="lost", loudness_lufs=-30.0, clipped=0.02)
    bars = {one.title: one for one in quality_bars(cuts, [HONEST, lost], RECIPE)}
    clipped = bars["Clipped samples"]
    assert (clipped.first, clipped.last, clipped.unmeasured) == ("0.00%", "2.00%", 1)
    assert clipped.counts[0] == {"accept": 1} and clipped.counts[-1] == {"review": 1, NOTHING: 1}
    assert sum(sum(bin.values()) for bin in clipped.counts) == 4
    ((place, text),) = clipped.marks  # none at 0: nothing lies under it
    assert place == pytest.approx(0.5) and text == "1.00%"
    loudness = bars["Loudness"]
    assert (loudness.first, loudness.last) == ("-60.0 LUFS", "0.0 LUFS")
    assert loudness.counts[len(loudness.counts) // 2] == {NOTHING: 1} and loudness.unmeasured == 4
    assert [place for place, _ in loudness.marks] == [0.0]
    assert "Scene cuts per minute" not in bars
    assert set(bars) <= {text.title for text in MEASURES.values()}


def test_every_measure_is_shown() -> None:
    assert set(MEASURES) == set(get_args(MeasureName))
