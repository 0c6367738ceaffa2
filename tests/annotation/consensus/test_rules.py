"""The rules over keep, reject and unsure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.consensus import VoteResult, Window, dawid_skene, gold_weight, majority, weighted
from manifests.records import Judgement

W = Window("r", 0, 1000)
SHORT: Mapping[str, Judgement] = {"k": "keep", "r": "reject", "u": "unsure"}


def ballot(letters: str) -> dict[Window, dict[str, Judgement]]:
    """`kkr`: a and b keep, c rejects."""
    return {W: {name: SHORT[letter] for name, letter in zip("abcdefgh", letters, strict=False)}}


def assert_decides(
    decisions: Mapping[Window, VoteResult], judgement: Judgement | None, confidence: float, by: str
) -> None:
    assert decisions == {W: VoteResult(judgement, decisions[W].confidence, tuple(by))}
    assert decisions[W].confidence == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("letters", "judgement", "confidence", "by"),
    [
        ("k", "keep", 1.0, "a"),
        ("kk", "keep", 1.0, "ab"),
        ("kkr", "keep", 2 / 3, "ab"),
        ("rkr", "reject", 2 / 3, "ac"),
        ("kr", None, 0.5, ""),
        ("kru", None, 1 / 3, ""),
        ("uuk", "unsure", 2 / 3, "ab"),
        ("kkru", "keep", 0.5, "ab"),
        ("kkrru", None, 0.4, ""),
    ],
)
def test_majority(letters: str, judgement: Judgement | None, confidence: float, by: str) -> None:
    assert_decides(majority(ballot(letters)), judgement, confidence, by)


# weights


def test_a_weight_is_the_log_odds_of_the_posterior_mean() -> None:
    assert gold_weight({"a": (18, 20)}, "a", (4, 1)) == pytest.approx(math.log(22 / 3))
    assert gold_weight({}, "a", (4, 1)) == pytest.approx(math.log(4))
    assert gold_weight({"a": (1, 9)}, "a", (1, 1)) == pytest.approx(math.log(2 / 9))


@pytest.mark.parametrize("gold", [(3, 2), (-1, 2)])
def test_counts_that_cannot_be_are_refused(gold: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"a: {gold[0]} right answers of 2"):
        gold_weight({"a": gold}, "a")


@pytest.mark.parametrize("prior", [(0.0, 1.0), (1.0, 0.0), (-1.0, 2.0)])
def test_a_prior_that_cannot_be_is_refused(prior: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="Beta prior is"):
        gold_weight({}, "a", prior)


def test_the_one_who_is_right_more_often_outweighs_two() -> None:
    gold = {"a": (99, 100), "b": (60, 100), "c": (60, 100)}
    one, other = math.log(103 / 2), 2 * math.log(64 / 41)
    confidence = math.exp(one) / (math.exp(one) + math.exp(other) + 1)
    assert_decides(weighted(ballot("krr"), gold), "keep", confidence, "a")


def test_without_known_answers_all_weigh_the_same() -> None:
    assert_decides(weighted(ballot("kkr"), {}), "keep", 16 / 21, "ab")
    assert weighted(ballot("kr"), {})[W].judgement is None


def test_whoever_is_mostly_wrong_decides_nothing() -> None:
    bad = dict.fromkeys("abcdef", (0, 20))
    for letters in ("k", "kk", "kru", "kkru", "krruuu"):
        assert weighted(ballot(letters), bad)[W].judgement is None
        assert weighted(ballot(letters), bad)[W].by == ()


def test_the_vote_of_one_who_is_mostly_wrong_counts_against_itself() -> None:
    gold = {"c": (1, 20)}
    with_c, without_c = weighted(ballot("kkk"), gold)[W], weighted(ballot("kk"), gold)[W]
    assert with_c.judgement == "keep"
    assert with_c.confidence < without_c.confidence


@given(
    st.lists(st.sampled_from("kr"), min_size=1, max_size=7),
    st.lists(st.integers(0, 10), min_size=7, max_size=7),
)
def test_weights_give_the_odds_of_independent_errors(letters: list[str], right: list[int]) -> None:
    """Between keep and reject, the confidences are as Bayes has it with even odds before the votes."""
    gold = {name: (count, 10) for name, count in zip("abcdefg", right, strict=True)}
    chance = {name: (count + 4) / 15 for name, (count, _) in gold.items()}
    votes = ballot("".join(letters))
    probability = {
        truth: math.prod(chance[name] if vote == truth else 1 - chance[name] for name, vote in votes[W].items())
        for truth in ("keep", "reject")
    }
    decision = weighted(votes, gold)[W]
    if decision.judgement is not None:
        best = max(probability, key=lambda truth: probability[truth])
        assert decision.judgement == best
        assert decision.confidence <= probability[best] / sum(probability.values()) + 1e-9


# Dawid and Skene


def test_no_ballots_no_decisions() -> None:
    assert dawid_skene({}) == {}
    assert majority({}) == {}
    assert weighted({}, {}) == {}


def test_the_model_finds_out_whom_to_trust() -> None:
    """c and d answer at random, a, b and e err in a tenth: where c and d outvote, the model knows better."""
    rng = np.random.default_rng(5)
    truths: list[Judgement] = ["keep" if rng.random() < 0.6 else "reject" for _ in range(400)]
    ballots: dict[Window, dict[str, Judgement]] = {}
    for number, truth in enumerate(truths):
        other: Judgement = "reject" if truth == "keep" else "keep"
        ballots[Window("r", number, number + 1)] = {
            name: truth if rng.random() < skill else other
            for name, skill in {"a": 0.9, "b": 0.9, "c": 0.35, "d": 0.35, "e": 0.9}.items()
        }
    model, most = dawid_skene(ballots), majority(ballots)
    right = [model[window].judgement == truth for window, truth in zip(ballots, truths, strict=True)]
    right_by_majority = [most[window].judgement == truth for window, truth in zip(ballots, truths, strict=True)]
    assert np.mean(right) > np.mean(right_by_majority) + 0.05
    sure = [model[window].confidence for window in ballots]
    assert np.mean(sure) == pytest.approx(np.mean(right), abs=0.03)  # as sure as it is right


def test_what_the_model_knows_better_than_all_voters_is_not_decided() -> None:
    """c always says the contrary: their "keep" alone means "reject", for which nobody voted."""
    ballots = {Window("r", n, n + 1): ballot("kkr" if n % 2 else "rrk")[W] for n in range(60)}
    alone: dict[str, Judgement] = {"c": "keep"}
    decision = dawid_skene({**ballots, W: alone})[W]
    assert (decision.judgement, decision.by) == (None, ())
    assert decision.confidence > 0.9


def test_a_tie_under_the_model_decides_nothing() -> None:
    assert dawid_skene(ballot("kr"))[W].judgement is None


@given(
    st.lists(st.text("kru", min_size=1, max_size=4), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=50)
def test_no_rule_depends_on_order(rows: list[str], rng: object) -> None:
    ballots = {Window("r", n, n + 1): ballot(letters)[W] for n, letters in enumerate(rows)}
    turned = {window: dict(reversed(votes.items())) for window, votes in reversed(ballots.items())}
    gold = {"a": (3, 9), "b": (9, 9)}
    assert majority(ballots) == majority(turned)
    assert weighted(ballots, gold) == weighted(turned, gold)
    assert dawid_skene(ballots) == dawid_skene(turned)


@given(st.lists(st.text("kru", min_size=1, max_size=4), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_what_nobody_voted_for_is_never_decided(rows: list[str]) -> None:
    ballots = {Window("r", n, n + 1): ballot(letters)[W] for n, letters in enumerate(rows)}
    for decisions in (majority(ballots), weighted(ballots, {"a": (0, 9)}), dawid_skene(ballots, smoothing=0.0)):
        assert decisions.keys() == ballots.keys()
        for window, decision in decisions.items():
            deciding = {name for name, vote in ballots[window].items() if vote == decision.judgement}
            assert set(decision.by) == deciding
            assert (decision.judgement is None) == (not decision.by)
            assert 0 <= decision.confidence <= 1
