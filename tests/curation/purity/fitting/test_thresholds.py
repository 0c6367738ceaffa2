"""Accepted time, the choice of thresholds, and calibration, of probabilities with known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curation.decision.fusion import HOP, cell_count
from curation.purity.fitting.calibration import calibration
from curation.purity.fitting.thresholds import GRID, Predicted, accepted, accepted_time, threshold_curve
from manifests.recipe import load_recipe
from manifests.time import Segment, Timeline

RECIPE = load_recipe("packaged")
MUSIC = RECIPE.contaminants["music"]
SPANS = RECIPE.spans


def predicted(
    name: str, seconds: float, *parts: tuple[float, float, float], truth: tuple[float, float] | None
) -> Predicted:
    track = np.full(cell_count(seconds), 0.005, np.float32)
    for start, end, value in parts:
        track[round(start / HOP) : round(end / HOP)] = value
    return Predicted(name, seconds, {"music": track}, {"music": Timeline([Segment(*truth)] if truth else [])})


def test_accepted_time_is_what_a_recipe_accepts() -> None:
    one = predicted(
        "a", 300.0, (100.0, 120.0, 0.95), (200.0, 200.4, 0.5), (240.0, 241.0, float("nan")), truth=(100, 120)
    )
    time = accepted_time(one, {"music": MUSIC}, replace(SPANS, min_duration=30.0))
    padding, review = MUSIC.padding, MUSIC.review_padding
    assert [(round(s.start, 2), round(s.end, 2)) for s in time] == [
        (0.0, 100.0 - padding),
        (120.0 + padding, 200.0 - review),
        (200.4 + 0.5, 240.0),
        (241.0, 300.0),
    ]
    figures = accepted([one], {"music": replace(MUSIC, review_threshold=0.4)}, SPANS)
    assert figures.contaminated == 0.0 and figures.yielded == pytest.approx((100.0 - padding) / 280)
    blind = replace(MUSIC, review_threshold=0.99, onset=0.99, reject_threshold=0.99)
    whole = accepted(
        [replace(one, probabilities={"music": np.zeros_like(one.probabilities["music"])})], {"music": blind}, SPANS
    )
    assert whole.seconds == pytest.approx(300) and whole.contaminated == pytest.approx(20 / 300)
    assert whole.yielded == pytest.approx(1.0)


def curve_of(recordings: list[Predicted], reject_precision: float = 0.95):  # type: ignore[no-untyped-def]
    probability = np.concatenate([one.probabilities["music"] for one in recordings]).astype(np.float64)
    labels = np.concatenate([one.truth["music"].mask(HOP, len(one.probabilities["music"])) for one in recordings])
    cells = probability, labels, np.ones(len(labels))
    return threshold_curve(recordings, "music", MUSIC, SPANS, cells, reject_precision)


def test_the_thresholds_separate_what_can_be_separated() -> None:
    recordings = [
        predicted("faint", 300.0, (100.0, 160.0, 0.12), truth=(100, 160)),
        predicted("clear", 300.0, (0.0, 80.0, 0.8), truth=(0, 80)),
        predicted("animal", 300.0, (200.0, 260.0, 0.08), truth=None),
    ]
    best = curve_of(recordings).best(0.003)
    chosen = best.contaminant
    assert best.met and best.accepted.contaminated == 0.0
    assert 0.08 < chosen.review_threshold <= 0.12, "the animal is accepted, the faint music is not"
    assert best.accepted.yielded > 0.95
    assert 0.08 < chosen.reject_threshold <= 0.12 and best.precision == 1.0 and best.f1 == 1.0
    assert chosen.offset <= chosen.onset <= chosen.reject_threshold
    ends = (MUSIC.offset, MUSIC.onset)
    before, now = (
        np.diff(np.log(np.array(pair)) - np.log1p(-np.array(pair)))[0] for pair in (ends, (chosen.offset, chosen.onset))
    )
    assert now == pytest.approx(before, abs=0.02), "the distance of the offset in log-odds stays"


def test_what_cannot_be_separated_is_reviewed_or_named() -> None:
    mixed = [predicted("a", 300.0, (100.0, 160.0, 0.3), truth=(130, 160)), predicted("b", 200.0, truth=None)]
    best = curve_of(mixed).best(0.003)
    assert best.met and best.contaminant.reject_threshold == 1.0 and best.precision == 0.0
    assert best.contaminant.review_threshold <= 0.3
    unseen = [predicted("a", 300.0, truth=(130, 160))]
    lost = curve_of(unseen).best(0.003)
    assert not lost.met and lost.accepted.contaminated == pytest.approx(0.1)
    assert curve_of(unseen).best(0.2).met
    assert min(GRID) > 0 and max(GRID) < 1 and list(GRID) == sorted(set(GRID))


def test_calibration_of_known_probabilities() -> None:
    probability = np.array([0.03] * 100 + [0.6] * 10)
    labels = np.array([True] * 3 + [False] * 97 + [True] * 5 + [False] * 5)
    found = calibration(probability, labels, np.ones(110))
    low, high = found.bins
    assert (low.low, low.high, high.low, high.high) == (0.02, 0.05, 0.5, 0.7)
    assert low.share == pytest.approx(100 / 110) and low.predicted == pytest.approx(low.observed) == pytest.approx(0.03)
    assert high.predicted == pytest.approx(0.6) and high.observed == pytest.approx(0.5)
    assert found.brier == pytest.approx(np.mean((probability - labels) ** 2))
    assert found.base_rate == pytest.approx(8 / 110)
    assert found.log_loss < found.base_log_loss
    sure = calibration(np.array([0.0, 1.0]), np.array([False, True]), np.ones(2))
    assert sure.brier == 0.0 and sure.log_loss == pytest.approx(0.0, abs=1e-8)
    half = calibration(np.array([0.2, 0.9]), np.array([True, True]), np.array([1.0, 0.0]))
    assert [one.share for one in half.bins] == [1.0], "a row of weight 0 is in no bin"
