"""Fréchet distances against scipy's matrix root, closed forms and laws; full, few, singular and streamed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from model.metrics import Moments, frechet_distance, moments_of

Rows = NDArray[np.float64]


def rows(count: int, dimension: int = 24, seed: int = 1, mixed: bool = True) -> Rows:
    """Vectors whose values hang together, and do not lie about zero."""
    draw = np.random.default_rng(seed)
    found = draw.standard_normal((count, dimension))
    return found @ draw.standard_normal((dimension, dimension)) + draw.standard_normal(dimension) if mixed else found


def by_root(a: Rows, b: Rows, eps: float = 0.0) -> float:
    """The definition, by scipy; eps on both diagonals, under the root only."""
    first, second = (np.cov(x, rowvar=False) for x in (a, b))
    extra = eps * np.eye(a.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of singular matrices, whose root may be inexact
        root = sqrtm((first + extra) @ (second + extra))
    apart = a.mean(axis=0) - b.mean(axis=0)
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * np.trace(root).real)


def distance(a: Rows, b: Rows, eps: float = 0.0) -> float:
    return frechet_distance(moments_of(a), moments_of(b), eps)


@pytest.mark.parametrize(
    ("one", "other"),
    [(200, 300), (25, 400), (24, 24), (12, 9), (2, 3), (24, 25), (10, 300), (300, 10)],
    ids=["full", "barely full", "as many as dimensions", "few", "fewest", "at the border", "few, many", "many, few"],
)
def test_equals_the_definition(one: int, other: int) -> None:
    a, b = rows(one), rows(other, seed=2)
    assert distance(a, b) == pytest.approx(by_root(a, b), rel=1e-6)


def test_values_in_closed_form() -> None:
    draw = np.random.default_rng(5)
    base = np.linalg.qr(draw.standard_normal((400, 4)) - 0)[0]
    base = np.linalg.qr(base - base.mean(axis=0))[0] * np.sqrt(399)  # mean 0, covariance the identity
    a, b = base * [1.0, 2.0, 3.0, 0.5] + [1.0, 0, 0, 0], base * [2.0, 2.0, 1.0, 0.5] + [0, 0, 0, 2.0]
    assert distance(a, b) == pytest.approx(1 + 4 + (1 - 2) ** 2 + (3 - 1) ** 2, rel=1e-9)
    assert distance(a, a) == pytest.approx(0.0, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(2, 40), st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_laws(seed: int, one: int, other: int, dimension: int) -> None:
    a, b = rows(one, dimension, seed), rows(other, dimension, seed + 1)
    found, size = distance(a, b), float(a.var(axis=0).sum() + b.var(axis=0).sum())
    assert found >= 0 and distance(b, a) == pytest.approx(found, rel=1e-6, abs=1e-6 * size)
    assert 0 <= distance(a, a) <= 1e-6 * size
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((dimension, dimension)))[0]
    assert distance(a @ turn, b @ turn) == pytest.approx(found, rel=1e-6, abs=1e-6 * size)
    assert distance(3 * a, 3 * b) == pytest.approx(9 * found, rel=1e-6, abs=1e-5 * size)
    moved = np.zeros(dimension)
    moved[0] = 2.0
    assert distance(a, a + moved) == pytest.approx(4.0, abs=1e-5 * (1 + size))


@pytest.mark.parametrize("count", [300, 20], ids=["many", "few"])
def test_dimensions_that_say_nothing_change_nothing(count: int) -> None:
    a, b = rows(count), rows(count, seed=2)
    # dead in both, dead in one, and a copy of another: singular however many vectors there are
    a[:, 3] = b[:, 3] = 7.0
    b[:, 5] = 1.0
    a[:, 8] = a[:, 9]
    kept = [k for k in range(24) if k != 3]
    assert distance(a, b) == pytest.approx(distance(a[:, kept], b[:, kept]), rel=1e-7)
    assert distance(a, b) == pytest.approx(by_root(a, b), rel=1e-5)


@pytest.mark.parametrize(("one", "other"), [(300, 200), (300, 10), (10, 12)])
def test_eps_goes_where_other_programs_put_it(one: int, other: int) -> None:
    a, b = rows(one), rows(other, seed=2)
    a[:, 3] = 1.0
    for eps in (1e-6, 1e-2):
        assert distance(a, b, eps) == pytest.approx(by_root(a, b, eps), rel=1e-7)
    assert abs(distance(a, b, 1e-2) - distance(a, b)) > 1e-3


@given(st.integers(0, 1000), st.lists(st.integers(0, 30), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_batches_do_not_change_moments(seed: int, sizes: list[int]) -> None:
    every = rows(sum(sizes) + 2, 16, seed)
    moments = Moments(16)
    for part in np.split(every, np.cumsum(sizes)):
        moments.push(part)
    assert moments.count == len(every) and moments.held == (len(every) <= 16)
    assert moments.mean() == pytest.approx(every.mean(axis=0), rel=1e-9, abs=1e-9)
    assert moments.covariance() == pytest.approx(np.cov(every, rowvar=False), rel=1e-9, abs=1e-9)


def test_vectors_are_held_while_there_are_no_more_of_them_than_dimensions() -> None:
    moments = moments_of(rows(15, 16)).push(rows(1, 16))
    assert moments.held and not moments.push(rows(1, 16)).held


def test_a_large_mean_costs_no_digits() -> None:
    a, b = rows(500, 8) + 1e6, rows(400, 8, seed=2) + 1e6
    halves = Moments(8).push(a[:250]).push(a[250:])
    assert frechet_distance(halves, moments_of(b)) == pytest.approx(distance(a - 1e6, b - 1e6), rel=1e-6)


def test_float32_is_summed_in_float64() -> None:
    single = rows(3000, 8, mixed=False).astype(np.float32) + np.float32(100.0)
    found = moments_of(single).covariance()
    assert found.dtype == np.float64
    assert found == pytest.approx(np.cov(single.astype(np.float64), rowvar=False), rel=1e-9, abs=1e-9)


def test_what_is_pushed_is_not_kept_by_reference() -> None:
    batch = rows(5)
    moments = moments_of(batch)
    before = moments.mean()
    batch[:] = 0.0
    assert (moments.mean() == before).all()


def test_a_distance_leaves_its_moments_alone() -> None:
    one, other = moments_of(rows(100)), moments_of(rows(90, seed=2))
    first = frechet_distance(one, other, 1e-2)
    assert frechet_distance(one, other, 1e-2) == first and frechet_distance(other, one, 1e-2) == pytest.approx(first)


def test_bad_input_is_refused_in_one_line() -> None:
    moments = moments_of(rows(3, 4))
    with pytest.raises(ValueError, match=r"^Fréchet distance: vectors of shape \(2, 5\), must be \(n, 4\)$"):
        moments.push(np.zeros((2, 5)))
    bad = np.zeros((3, 4))
    bad[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"^Fréchet distance: vector 4 has NaN or infinity$"):
        moments.push(bad)
    assert moments.count == 3
    with pytest.raises(ValueError, match=r"^Fréchet distance: 4 against 5 dimensions$"):
        frechet_distance(moments, moments_of(rows(3, 5)))
    with pytest.raises(ValueError, match=r"^Fréchet distance: 1 vectors, needs at least 2$"):
        frechet_distance(moments, moments_of(rows(1, 4)))
    with pytest.raises(ValueError, match=r"^Fréchet distance: 0 vectors, needs at least 1$"):
        Moments(4).mean()
    with pytest.raises(ValueError, match=r"^Fréchet distance: 0 dimensions"):
        Moments(0)
