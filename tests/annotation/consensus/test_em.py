"""The model of Dawid and Skene: on their data, against brute force, against loops, and on annotators made up."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.consensus import Fit, fit_dawid_skene

Answers = list[tuple[int, str, str]]

# Table 1 of Dawid and Skene (1979): 45 patients, judged on a scale of 1 to 4 by observer 1 (three times) to 5.
PATIENTS = """
111 1 1 1 1   333 4 3 3 4   112 2 1 2 2   222 3 1 2 1   222 3 2 2 2   222 3 3 2 2   122 2 1 1 1   333 3 4 3 3
222 2 2 2 3   232 2 2 2 3   444 4 4 4 4   222 3 3 4 3   111 1 1 1 1   222 3 2 1 2   121 1 1 1 1   111 2 1 1 1
111 1 1 1 1   111 1 1 1 1   222 2 2 2 1   222 1 3 2 2   222 2 2 2 2   222 2 2 2 1   222 3 2 2 2   221 2 2 2 2
111 1 1 1 1   111 1 1 1 1   232 2 2 2 2   111 1 1 1 1   111 1 1 1 1   112 1 1 2 1   111 1 1 1 1   333 3 2 3 3
111 1 1 1 1   222 2 2 2 2   222 3 2 3 2   433 4 3 4 3   221 2 2 3 2   232 3 2 3 3   333 3 4 3 2   111 1 1 1 1
111 1 1 1 1   121 2 1 1 1   232 2 2 2 2   121 1 1 1 1   222 2 2 2 2
"""


def patients() -> Answers:
    cells = PATIENTS.split()
    assert len(cells) == 45 * 5
    return [(number // 5 + 1, str(number % 5 + 1), answer) for number, cell in enumerate(cells) for answer in cell]


def plain_em(
    answers: Answers, classes: str, rounds: int, smoothing: float = 0.0
) -> tuple[dict[int, list[float]], float]:
    """EM as the paper says it, in loops over Python floats without logs: posteriors and log-likelihood."""
    items = sorted({item for item, _, _ in answers})
    names = sorted({name for _, name, _ in answers})
    of = {item: Counter((name, answer) for other, name, answer in answers if other == item) for item in items}
    truth = {
        item: [sum(n for (_, answer), n in of[item].items() if answer == k) / of[item].total() for k in classes]
        for item in items
    }
    likelihood = math.nan
    for _ in range(rounds):
        priors = [smoothing + sum(truth[item][k] for item in items) for k in range(len(classes))]
        priors = [p / math.fsum(priors) for p in priors]
        confusion: dict[tuple[str, int], dict[str, float]] = {}
        for name in names:
            for k in range(len(classes)):
                row = {
                    answer: smoothing + sum(truth[item][k] * of[item][name, answer] for item in items)
                    for answer in classes
                }
                total = math.fsum(row.values())
                confusion[name, k] = {answer: n / total if total else 1 / len(classes) for answer, n in row.items()}
        likelihood = 0.0
        for item in items:
            joint = [
                priors[k] * math.prod(confusion[name, k][answer] ** n for (name, answer), n in of[item].items())
                for k in range(len(classes))
            ]
            truth[item] = [one / sum(joint) for one in joint]
            likelihood += math.log(sum(joint))
    return truth, likelihood


def posteriors(fit: Fit[int]) -> dict[int, list[float]]:
    return dict(zip(fit.items, fit.posteriors.tolist(), strict=True))


# on published data


def test_the_published_estimates_for_the_anaesthetists() -> None:
    """Class marginals and error rates of observer 1 as printed in the paper, to its two decimals."""
    fit = fit_dawid_skene(patients(), "1234")
    assert fit.converged
    assert fit.priors.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    assert fit.annotators[0] == "1"
    assert fit.confusion[0].round(2).tolist() == [
        [0.89, 0.11, 0.00, 0.00],
        [0.07, 0.88, 0.05, 0.00],
        [0.00, 0.34, 0.66, 0.00],
        [0.00, 0.00, 0.56, 0.44],
    ]


def test_the_anaesthetists_as_loops_have_them() -> None:
    answers = patients()
    for rounds, smoothing in ((1, 0.0), (7, 0.0), (150, 0.0), (60, 0.5)):
        fit = fit_dawid_skene(answers, "1234", smoothing=smoothing, max_rounds=rounds, tolerance=-1.0)
        truth, likelihood = plain_em(answers, "1234", rounds, smoothing)
        assert len(fit.objective) == rounds
        assert posteriors(fit) == {item: pytest.approx(row, abs=1e-9) for item, row in truth.items()}
        if not smoothing:
            assert fit.objective[-1] == pytest.approx(likelihood, abs=1e-9)


# against independent answers

votes = st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abcd"), st.sampled_from("xyz")), min_size=1, max_size=40)
smoothings = st.sampled_from([0.0, 0.0, 0.1, 1.0])


@given(votes, smoothings)
@settings(deadline=None)
def test_any_answers_as_loops_have_them(answers: Answers, smoothing: float) -> None:
    fit = fit_dawid_skene(answers, "xyz", smoothing=smoothing, max_rounds=8, tolerance=-1.0)
    truth, _ = plain_em(answers, "xyz", 8, smoothing)
    assert len(fit.objective) == 8
    assert posteriors(fit) == {item: pytest.approx(row, abs=1e-9) for item, row in truth.items()}


@given(votes, smoothings)
@settings(deadline=None)
def test_the_objective_never_falls_and_all_are_probabilities(answers: Answers, smoothing: float) -> None:
    fit = fit_dawid_skene(answers, "xyz", smoothing=smoothing, max_rounds=60)
    steps = np.diff(fit.objective)
    assert (steps >= -1e-9 * (1 + abs(fit.objective[-1]))).all()
    for shares in (fit.posteriors, fit.priors, fit.confusion):
        assert (shares >= 0).all()
        assert shares.sum(axis=-1) == pytest.approx(1.0)


@given(votes, smoothings, st.permutations("xyz"))
@settings(deadline=None)
def test_class_names_have_no_meaning(answers: Answers, smoothing: float, names: list[str]) -> None:
    renamed = dict(zip("xyz", names, strict=True))
    one = fit_dawid_skene(answers, "xyz", smoothing=smoothing, max_rounds=5, tolerance=-1.0)
    other = fit_dawid_skene(
        [(item, name, renamed[answer]) for item, name, answer in answers],
        names,
        smoothing=smoothing,
        max_rounds=5,
        tolerance=-1.0,
    )
    assert one.posteriors == pytest.approx(other.posteriors, abs=1e-9)
    assert one.confusion == pytest.approx(other.confusion, abs=1e-9)


def test_no_other_parameters_are_more_likely_on_a_tiny_problem() -> None:
    """All priors and confusions on a grid of 1/8: none beats the maximum that EM found, and the best one is near it."""
    answers = [(item, name, answer) for item, row in enumerate(["xx", "xx", "yy", "xy", "yy"]) for name, answer in
               zip("ab", row, strict=True)]  # fmt: skip
    fit = fit_dawid_skene(answers, "xy")
    grid = [step / 8 for step in range(9)]
    rows = Counter(["xx", "xx", "yy", "xy", "yy"])
    best = -math.inf
    for prior, a_x, a_y, b_x, b_y in itertools.product(grid, repeat=5):  # chance of class x; of answer x, by true class
        total = 0.0
        for row, count in rows.items():
            in_x = prior * (a_x if row[0] == "x" else 1 - a_x) * (b_x if row[1] == "x" else 1 - b_x)
            in_y = (1 - prior) * (a_y if row[0] == "x" else 1 - a_y) * (b_y if row[1] == "x" else 1 - b_y)
            if in_x + in_y == 0:
                break
            total += count * math.log(in_x + in_y)
        else:
            best = max(best, total)
    assert best <= fit.objective[-1] + 1e-9
    assert best == pytest.approx(fit.objective[-1], abs=0.06)


# on annotators whose errors are known


def simulated(
    confusions: dict[str, list[list[float]]], priors: list[float], items: int, seed: int
) -> tuple[Answers, list[int]]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(priors), size=items, p=priors).tolist()
    answers = [
        (item, name, "xyz"[rng.choice(3, p=rows[true])])
        for item, true in enumerate(truth)
        for name, rows in confusions.items()
    ]
    return answers, truth


GOOD = [[0.85, 0.10, 0.05], [0.10, 0.80, 0.10], [0.10, 0.10, 0.80]]
BLIND = [[0.50, 0.40, 0.10], [0.50, 0.40, 0.10], [0.50, 0.40, 0.10]]
CONTRARY = [[0.10, 0.85, 0.05], [0.85, 0.10, 0.05], [0.10, 0.10, 0.80]]


def test_known_confusions_are_found_again() -> None:
    confusions = {"ann": GOOD, "bob": GOOD, "cat": BLIND, "dan": CONTRARY, "eve": GOOD}
    priors = [0.5, 0.3, 0.2]
    answers, _ = simulated(confusions, priors, 4000, seed=3)
    fit = fit_dawid_skene(answers, "xyz")
    assert fit.priors.tolist() == pytest.approx(priors, abs=0.04)
    assert fit.annotators == tuple(confusions)
    for found, known in zip(fit.confusion, confusions.values(), strict=True):
        assert found == pytest.approx(np.array(known), abs=0.06)


def test_a_bad_annotator_harms_the_majority_more() -> None:
    confusions = {"ann": GOOD, "bob": GOOD, "con": CONTRARY, "dan": CONTRARY, "eve": GOOD}
    answers, truth = simulated(confusions, [0.4, 0.4, 0.2], 1000, seed=8)
    fit = fit_dawid_skene(answers, "xyz")
    by_item: dict[int, Counter[str]] = defaultdict(Counter)
    for item, _, answer in answers:
        by_item[item][answer] += 1
    most = [by_item[item].most_common(1)[0][0] == "xyz"[true] for item, true in enumerate(truth)]
    model = [int(row.argmax()) == true for row, true in zip(fit.posteriors, truth, strict=True)]
    assert np.mean(most) < 0.82
    assert np.mean(model) > 0.93


# edges


def test_many_answers_about_one_item_do_not_run_into_zero() -> None:
    answers = [(item, "ann", "xy"[item % 2]) for item in range(2) for _ in range(3000)]
    answers += [(0, "ann", "y")] * 1000
    fit = fit_dawid_skene(answers, "xy", smoothing=1.0)
    assert np.isfinite(fit.objective).all()
    assert fit.posteriors == pytest.approx(np.eye(2))


def test_the_same_answers_give_the_same_fit() -> None:
    one, other = (fit_dawid_skene(patients(), "1234") for _ in range(2))
    assert one.objective == other.objective
    assert (one.confusion == other.confusion).all()


def test_an_even_split_stays_even() -> None:
    fit = fit_dawid_skene([(0, "a", "x"), (0, "b", "y")], "xy")
    assert fit.posteriors.tolist() == [[0.5, 0.5]]


def test_smoothing_makes_less_sure() -> None:
    sure = fit_dawid_skene(patients(), "1234").posteriors.max(axis=1)
    smooth = fit_dawid_skene(patients(), "1234", smoothing=1.0).posteriors.max(axis=1)
    assert smooth.mean() < sure.mean()


def test_rounds_run_out() -> None:
    fit = fit_dawid_skene(patients(), "1234", max_rounds=2)
    assert not fit.converged
    assert len(fit.objective) == 2


@pytest.mark.parametrize(
    ("answers", "options", "message"),
    [
        ([], {}, "no answers"),
        ([(0, "a", "q")], {}, "answer 'q' is not among the classes x, y"),
        ([(0, "a", "x")], {"smoothing": -1.0}, "smoothing is -1.0, must be 0 or more"),
        ([(0, "a", "x")], {"smoothing": math.nan}, "smoothing is nan"),
        ([(0, "a", "x")], {"max_rounds": 0}, "max_rounds is 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(answers: Answers, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_dawid_skene(answers, "xy", **options)  # type: ignore[arg-type]
