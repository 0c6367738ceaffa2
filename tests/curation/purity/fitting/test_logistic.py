"""Logistic regression with weights of at least 0: known weights, the conditions of an optimum, odd features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.purity.fitting.logistic import ROWS, Logistic, fit_logistic


def drawn(
    rows: int, weights: list[float], intercept: float, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features of the standard deviations 1, 2, 3, ... and labels that follow the weights."""
    chance = np.random.default_rng(seed)
    features = chance.normal(1.0, np.arange(1, len(weights) + 1), (rows, len(weights))).astype(np.float32)
    odds = features @ np.array(weights) + intercept
    return features, chance.random(rows) < 1 / (1 + np.exp(-odds))


def test_known_weights_are_found_and_negative_ones_are_0() -> None:
    features, labels = drawn(3 * ROWS, [1.0, 0.4, 0.0, -0.3], -1.0)
    found = fit_logistic(features[:, :3], labels, np.ones(len(labels)), 1e-6)
    assert found.intercept == pytest.approx(
        fit_logistic(features[:, :3], labels, np.ones(len(labels)), 0.0).intercept, abs=0.01
    )
    honest, known = drawn(3 * ROWS, [1.0, 0.4, 0.0], -1.0)
    found = fit_logistic(honest, known, np.ones(len(known)), 1e-6)
    assert found.weights == pytest.approx([1.0, 0.4, 0.0], abs=0.05)
    assert found.intercept == pytest.approx(-1.0, abs=0.06)
    assert fit_logistic(features, labels, np.ones(len(labels)), 1e-6).weights[3] == 0.0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 6), st.sampled_from([1e-4, 1e-2, 1.0]))
def test_no_other_weights_have_less_loss(seed: int, columns: int, l2: float) -> None:
    chance = np.random.default_rng(seed)
    features = chance.normal(0, 1, (60, columns)).astype(np.float32)
    features[:, -1] = features[:, 0] + 0.01 * features[:, -1]  # nearly the same feature twice
    labels = features @ chance.normal(0, 1, columns) + chance.normal(0, 1, 60) > 0
    labels[:2] = [True, False]
    share = chance.uniform(0, 1, 60)
    found = fit_logistic(features, labels, share, l2)
    probability = 1 / (1 + np.exp(-found.log_odds(features)))
    wrong = share / share.sum() * (probability - labels)
    gradient = wrong @ features / found.spread + l2 * found.weights * found.spread
    assert abs(wrong.sum()) < 1e-5, "the intercept"
    inner = found.weights > 0
    assert (found.weights >= 0).all()
    # the mean is subtracted from the features: that moves the intercept alone, whose gradient is 0
    assert np.abs(gradient[inner]).max(initial=0.0) < 1e-5 and (gradient[~inner] > -1e-5).all()


def test_scale_rows_without_weight_and_a_near_start_change_nothing() -> None:
    features, labels = drawn(4000, [0.8, 0.3], -0.5)
    ones = np.ones(len(labels))
    found = fit_logistic(features, labels, ones, 1e-3)
    scaled = fit_logistic(features * np.float32(1000), labels, 7 * ones, 1e-3)
    assert scaled.weights * 1000 == pytest.approx(found.weights, rel=1e-3)
    more = fit_logistic(
        np.tile(features, (2, 1)), np.tile(labels, 2) ^ (np.arange(8000) >= 4000), np.repeat([1.0, 0.0], 4000), 1e-3
    )
    assert more.weights == pytest.approx(found.weights, rel=1e-6)
    again = fit_logistic(features, labels, ones, 1e-3, Logistic(np.array([3.0, 0.0]), 2.0, found.spread))
    assert again.weights == pytest.approx(found.weights, rel=1e-3)
    assert again.intercept == pytest.approx(found.intercept, abs=1e-3)


def test_a_constant_feature_has_no_weight_and_one_class_is_refused() -> None:
    features, labels = drawn(2000, [0.8, 0.3], -0.5)
    features[:, 1] = 5.0
    found = fit_logistic(features, labels, np.ones(2000), 1e-3)
    assert found.weights[1] == 0.0 and found.weights[0] > 0.5
    with pytest.raises(ValueError, match="0 of 3 rows are positive"):
        fit_logistic(features[:3], np.zeros(3, bool), np.ones(3), 1e-3)
