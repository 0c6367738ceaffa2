"""Alpha, AC1 and kappa against published examples, their definitions in exact fractions, and other libraries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annotation.agreement.ac1 import ac1, observed
from annotation.agreement.alpha import NO_PAIR, ONE_CATEGORY, Scale, alpha, coincidences
from annotation.agreement.bootstrap import Bootstrap
from annotation.agreement.pairs import count_matrix, kappas

pytest.importorskip("sklearn", reason="the extra `labelstudio` is not installed")

FEW = Bootstrap(draws=40)
# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: 4 observers, 12 units, missing data
KRIPPENDORFF = {
    "A": (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    "B": (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    "C": (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    "D": (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
}

Table = Mapping[str, Mapping[str, Any]]


def by_unit(rows: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Rows of values, one for each person, as ratings by unit."""
    length = len(next(iter(rows.values())))
    return {f"{n:04d}": {who: row[n] for who, row in rows.items() if row[n] is not None} for n in range(length)}


def from_square(square: Sequence[Sequence[int]], names: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Two people's ratings with these counts (first person, second person)."""
    cells = [
        (a, b) for a, row in zip(names, square, strict=True) for b, n in zip(names, row, strict=True) for _ in range(n)
    ]
    return by_unit({"one": [a for a, _ in cells], "two": [b for _, b in cells]})


# ---- the definitions, in fractions: pairs of people, no matrices ----


def alpha_by_definition(ratings: Table, distance: Callable[[Any, Any, Counter[Any]], Fraction]) -> Fraction:
    """1 - D_o / D_e: the mean squared difference inside units, against that of any two values of all units."""
    units = [list(given.values()) for given in ratings.values() if len(given) >= 2]
    values = [value for unit in units for value in unit]
    margins = Counter(values)
    inside = sum(
        (Fraction(distance(a, b, margins), len(unit) - 1) for unit in units for a, b in permutations(unit, 2)),
        Fraction(0),
    ) / len(values)
    anyhow = sum((distance(a, b, margins) for a, b in permutations(values, 2)), Fraction(0))
    return 1 - inside / (anyhow / (len(values) * (len(values) - 1)))


def nominal(a: Any, b: Any, margins: Counter[Any]) -> Fraction:
    return Fraction(a != b)


def ordinal(a: int, b: int, margins: Counter[int]) -> Fraction:
    low, high = sorted((a, b))
    between = sum(margins[value] for value in range(low, high + 1))
    return (between - Fraction(margins[a] + margins[b], 2)) ** 2


def ac1_by_definition(ratings: Table, categories: Sequence[Any]) -> tuple[Fraction, Fraction]:
    """AC1 and observed agreement, from the pairs of people of each unit."""
    judged = [list(given.values()) for given in ratings.values() if given]
    paired = [unit for unit in judged if len(unit) >= 2]
    agreeing = [Fraction(sum(a == b for a, b in combinations(u, 2)), len(u) * (len(u) - 1) // 2) for u in paired]
    together = sum(agreeing, Fraction(0)) / len(agreeing)
    shares = [sum((Fraction(u.count(c), len(u)) for u in judged), Fraction(0)) / len(judged) for c in categories]
    chance = sum((p * (1 - p) for p in shares), Fraction(0)) / (len(categories) - 1)
    return (together - chance) / (1 - chance), together


def kappa_by_definition(square: Sequence[Sequence[int]]) -> Fraction:
    total = sum(map(sum, square))
    same = Fraction(sum(square[n][n] for n in range(len(square))), total)
    columns = [sum(row[n] for row in square) for n in range(len(square))]
    chance = sum(
        (Fraction(sum(row) * column, total**2) for row, column in zip(square, columns, strict=True)), Fraction(0)
    )
    return (same - chance) / (1 - chance)


# ---- published examples ----


@pytest.mark.parametrize(("scale", "distance", "published"), [("nominal", nominal, 0.743), ("ordinal", ordinal, 0.815)])
def test_krippendorffs_example(scale: Scale, distance: Any, published: float) -> None:
    ratings = by_unit(KRIPPENDORFF)
    found = alpha(count_matrix(ratings, (1, 2, 3, 4, 5)), scale, FEW)
    assert found.value == pytest.approx(published, abs=5e-4)
    assert found.value == pytest.approx(float(alpha_by_definition(ratings, distance)), abs=1e-12)
    assert found.units == 11  # the twelfth was judged once


def test_krippendorffs_coincidence_matrix() -> None:
    """As printed there."""
    counts = count_matrix(by_unit(KRIPPENDORFF), (1, 2, 3, 4, 5))[:11]
    third = 1 / 3
    assert coincidences(counts).sum(axis=0) == pytest.approx(
        np.array(
            [
                [7, 4 * third, third, third, 0],
                [4 * third, 10, 4 * third, third, 0],
                [third, 4 * third, 8, third, 0],
                [third, third, third, 4, 0],
                [0, 0, 0, 0, 3],
            ]
        )
    )


def test_gwets_example_with_missing_values() -> None:
    """The same ratings in Gwet's Handbook of Inter-Rater Reliability: AC1 0.77544, observed agreement 0.81818."""
    ratings = by_unit(KRIPPENDORFF)
    counts = count_matrix(ratings, (1, 2, 3, 4, 5))
    exact, together = ac1_by_definition(ratings, (1, 2, 3, 4, 5))
    found = ac1(counts, FEW)
    assert found.value == pytest.approx(0.77544, abs=5e-6)
    assert found.value == pytest.approx(float(exact), abs=1e-12)
    assert observed(counts, FEW).value == pytest.approx(float(together), abs=1e-12) == pytest.approx(0.81818, abs=5e-6)


def test_gwets_example_of_high_agreement() -> None:
    """Kappa is below 0 though they agree on 118 of 125 cases: Gwet (2002), "Kappa statistic is not satisfactory"."""
    ratings = from_square([[118, 5], [2, 0]], ("yes", "no"))
    assert ac1(count_matrix(ratings, ("yes", "no")), FEW).value == pytest.approx(0.9408, abs=5e-5)
    (kappa,) = kappas(ratings).values()
    assert kappa.value == pytest.approx(-0.0234, abs=5e-5)


def test_cohens_example() -> None:
    """J. Cohen, "A coefficient of agreement for nominal scales" (1960), table 1 for 200 cases: 0.492."""
    square = [[88, 10, 2], [14, 40, 6], [18, 10, 12]]
    (found,) = kappas(from_square(square, ("a", "b", "c"))).values()
    assert found.value == pytest.approx(float(kappa_by_definition(square)), abs=1e-12)
    assert found.value == pytest.approx(0.492, abs=5e-4)
    assert found.units == 200


# ---- any ratings ----

tables = st.lists(st.lists(st.none() | st.integers(1, 5), min_size=4, max_size=4), min_size=2, max_size=12).map(
    lambda rows: {f"{n:04d}": {f"p{m}": v for m, v in enumerate(row) if v is not None} for n, row in enumerate(rows)}
)


def values_in_pairs(ratings: Table) -> set[Any]:
    return {value for given in ratings.values() if len(given) >= 2 for value in given.values()}


@given(tables)
@settings(deadline=None)
def test_alpha_is_its_definition(ratings: Table) -> None:
    assume(len(values_in_pairs(ratings)) >= 2)
    counts = count_matrix(ratings, (1, 2, 3, 4, 5))
    scales: list[tuple[Scale, Any]] = [("nominal", nominal), ("ordinal", ordinal)]
    for scale, distance in scales:
        assert alpha(counts, scale, FEW).value == pytest.approx(float(alpha_by_definition(ratings, distance)), abs=1e-9)


@given(tables)
@settings(deadline=None)
def test_alpha_is_that_of_another_library(ratings: Table) -> None:
    agreement = pytest.importorskip("nltk.metrics.agreement")
    assume(len(values_in_pairs(ratings)) >= 2)
    triples = [(who, unit, value) for unit, given in ratings.items() for who, value in given.items()]
    found = alpha(count_matrix(ratings, (1, 2, 3, 4, 5)), "nominal", FEW)
    assert found.value == pytest.approx(agreement.AnnotationTask(triples).alpha(), abs=1e-9)


@given(tables)
@settings(deadline=None)
def test_ac1_is_its_definition(ratings: Table) -> None:
    assume(any(len(given) >= 2 for given in ratings.values()))
    assume(len({value for given in ratings.values() for value in given.values()}) >= 2)
    counts = count_matrix(ratings, (1, 2, 3, 4, 5))
    exact, together = ac1_by_definition(ratings, (1, 2, 3, 4, 5))
    assert ac1(counts, FEW).value == pytest.approx(float(exact), abs=1e-9)
    assert observed(counts, FEW).value == pytest.approx(float(together), abs=1e-9)


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=3, max_size=3))
@settings(deadline=None)
def test_kappa_is_its_definition(square: list[list[int]]) -> None:
    ratings = from_square(square, ("keep", "reject", "unsure")) if any(map(sum, square)) else {}
    used = values_in_pairs(ratings)
    for found in kappas(ratings).values():
        exact = None if len(used) < 2 else float(kappa_by_definition(square))
        assert found.value == (None if exact is None else pytest.approx(exact, abs=1e-9))


@given(tables, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_neither_people_nor_units_have_an_order(ratings: Table, random: Any) -> None:
    units, people = list(ratings), ["p0", "p1", "p2", "p3"]
    random.shuffle(people)
    names = dict(zip(("p0", "p1", "p2", "p3"), people, strict=True))
    random.shuffle(units)
    shuffled = {unit: {names[who]: value for who, value in ratings[unit].items()} for unit in units}
    first, second = (count_matrix(one, (1, 2, 3, 4, 5)) for one in (ratings, shuffled))
    scales: list[Scale] = ["nominal", "ordinal"]
    assert [alpha(first, scale, FEW) for scale in scales] == [alpha(second, scale, FEW) for scale in scales]
    assert ac1(first, FEW) == ac1(second, FEW) and observed(first, FEW) == observed(second, FEW)


def test_perfect_agreement_is_one() -> None:
    counts = count_matrix(by_unit(dict.fromkeys("ABC", (1, 2, 3, 2))), (1, 2, 3))
    for found in (
        alpha(counts, "nominal", FEW),
        alpha(counts, "ordinal", FEW),
        ac1(counts, FEW),
        observed(counts, FEW),
    ):
        assert found.value == 1.0


def test_disagreement_throughout_is_below_nothing() -> None:
    ratings = by_unit({"A": (1, 2, 1, 2), "B": (2, 1, 2, 1)})
    counts = count_matrix(ratings, (1, 2))
    assert alpha(counts, "nominal", FEW).value == pytest.approx(-0.75)  # 1 - (8 - 1) * 8 / (2 * 4 * 4)
    assert ac1(counts, FEW).value == pytest.approx(-1)
    assert kappas(ratings)["A", "B"].value == pytest.approx(-1)
    assert observed(counts, FEW).value == 0.0


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ({"A": (1, 2, 3)}, NO_PAIR),
        ({"A": (1, 2, None), "B": (None, None, 3)}, NO_PAIR),
        ({"A": (2, 2, 2), "B": (2, 2, 2)}, ONE_CATEGORY),
    ],
    ids=["one person", "nothing shared", "one category"],
)
def test_what_cannot_be_said_is_not_said(rows: Mapping[str, Sequence[Any]], note: str) -> None:
    counts = count_matrix(by_unit(rows), (1, 2, 3))
    for found in (alpha(counts, "nominal", FEW), alpha(counts, "ordinal", FEW), ac1(counts, FEW)):
        assert (found.value, found.low, found.high, found.note) == (None, None, None, note)
    assert {kappa.value for kappa in kappas(by_unit(rows)).values()} <= {None}


def test_the_value_of_a_lone_answer_changes_ac1_and_not_alpha() -> None:
    without = by_unit({"A": (1, 2, 1), "B": (1, 1, None)})
    other = by_unit({"A": (1, 2, 2), "B": (1, 1, None)})
    one, two = (count_matrix(ratings, (1, 2)) for ratings in (without, other))
    assert alpha(one, "nominal", FEW) == alpha(two, "nominal", FEW)
    assert ac1(one, FEW).value != ac1(two, FEW).value


# ---- the bootstrap ----


def test_the_same_seed_gives_the_same_interval() -> None:
    counts = count_matrix(by_unit(KRIPPENDORFF), (1, 2, 3, 4, 5))
    first, again, other = (alpha(counts, "nominal", Bootstrap(500, seed)) for seed in (0, 0, 1))
    assert first == again and (first.low, first.high) != (other.low, other.high)
    assert first.low is not None and first.value is not None and first.high is not None
    assert first.low < first.value < first.high


def test_a_draw_is_the_measure_of_the_units_drawn() -> None:
    """Against units copied one by one, as often as the generator says."""
    counts = count_matrix(by_unit(KRIPPENDORFF), (1, 2, 3, 4, 5))[:11]
    scales: list[Scale] = ["nominal", "ordinal"]
    for scale in scales:
        found = alpha(counts, scale, Bootstrap(200, 7))
        picks = np.random.default_rng(7).integers(0, 11, (200, 11))
        one_by_one = [alpha(counts[pick], scale, Bootstrap(1)).value for pick in picks]
        assert None not in one_by_one
        assert [found.low, found.high] == pytest.approx(np.quantile(np.array(one_by_one, float), [0.025, 0.975]))


def test_large_tables_are_drawn_in_blocks_with_the_same_sums() -> None:
    rng = np.random.default_rng(0)
    terms = rng.random((30_000, 2))
    sums = Bootstrap(150).sums(np.hstack([terms, np.ones((30_000, 1))]))
    assert sums.shape == (150, 3)
    assert np.all(sums[:, 2] == 30_000)
    # the spread of a sum of n draws is that of one times the root of n
    assert sums[:, 0].std() == pytest.approx(terms[:, 0].std() * 30_000**0.5, rel=0.2)
    assert len(np.unique(sums[:, 0])) == 150


def test_nine_of_ten_intervals_hold_the_truth() -> None:
    """Two people who err independently in one of eight binary answers: what they agree on is known."""
    rng, inside, rounds = np.random.default_rng(3), 0, 200
    both_right = 0.875**2 + 0.125**2
    for _ in range(rounds):
        truth = rng.random(80) < 0.5
        said = [truth ^ (rng.random(80) < 0.125) for _ in range(2)]
        ratings = by_unit({"A": said[0].tolist(), "B": said[1].tolist()})
        found = alpha(count_matrix(ratings, (False, True)), "nominal", Bootstrap(400))
        assert found.low is not None and found.high is not None
        inside += found.low <= 1 - (1 - both_right) / 0.5 <= found.high
    assert 0.9 <= inside / rounds <= 0.99


def test_more_units_make_a_narrower_interval() -> None:
    widths = []
    for copies in (1, 4, 16):
        found = alpha(
            np.tile(count_matrix(by_unit(KRIPPENDORFF), (1, 2, 3, 4, 5)), (copies, 1)), "nominal", Bootstrap()
        )
        assert found.low is not None and found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.2) and widths[1] / widths[2] == pytest.approx(2, rel=0.2)


def test_an_answer_too_rare_for_draws_has_no_interval() -> None:
    ratings = by_unit({"A": (1,) * 20 + (2,), "B": (1,) * 21})
    found = alpha(count_matrix(ratings, (1, 2)), "nominal", Bootstrap(300))
    assert found.value is not None and found.low is None and found.high is None
    assert found.note is not None and "undefined in" in found.note


def test_one_unit_has_no_interval() -> None:
    found = alpha(count_matrix(by_unit({"A": (1,), "B": (2,)}), (1, 2)), "nominal", FEW)
    assert (found.value, found.low, found.units, found.note) == (0.0, None, 1, "one task alone has no interval")


def test_units_that_are_all_alike_have_no_interval() -> None:
    found = alpha(count_matrix(by_unit(dict.fromkeys(("A", "B"), (1, 2, 1, 2, 1, 2, 1, 2))), (1, 2)), "nominal", FEW)
    assert (found.value, found.low, found.high) == (1.0, None, None)
    assert found.note == "no interval: all draws are equal"


def test_a_pair_has_one_name() -> None:
    one, other = {"Bo": 1, "Ann": 2}, {"Ann": 1, "Bo": 1}
    assert list(kappas({"t": one, "u": other})) == [("Ann", "Bo")]


def test_no_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="draws is 0, must be 1 or more"):
        Bootstrap(0)
