"""Rules that combine votes into one judgement: majority, weighted by gold answers, and Dawid and Skene's model.

A rule takes the ballots of all windows and gives each its decision. `outcome` defines the meaning of answers as votes,
and the consequences of a decision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from manifests.records import Judgement

from ..tasks.windows import Window
from .em import fit_dawid_skene
from .votes import JUDGEMENTS

Ballots = Mapping[Window, Mapping[str, Judgement]]
"""The votes, by window and annotator."""
Gold = Mapping[str, tuple[int, int]]
"""By annotator, the number of right answers to tasks with a gold answer, and of all their answers to them."""

BETA_PRIOR = (4.0, 1.0)
"""As if every annotator had got four of five gold answers right before the first one."""
_SAME = 1e-9  # smaller differences are a tie: sums of floats depend on their order


@dataclass(frozen=True, slots=True)
class VoteResult:
    """The result of a vote.

    `judgement`: None if the rule cannot decide. `confidence`: 0 to 1, of the best. `by`: the annotators who voted for
    it.
    """

    judgement: Judgement | None
    confidence: float
    by: tuple[str, ...]


def majority(ballots: Ballots) -> dict[Window, VoteResult]:
    """The judgement with most votes; "unsure" is a vote like others; a tie decides nothing. Confidence: its share."""
    return {
        window: _decision(votes, {judgement: count / len(votes) for judgement, count in _counts(votes).items()})
        for window, votes in ballots.items()
    }


def weighted(ballots: Ballots, gold: Gold, prior: tuple[float, float] = BETA_PRIOR) -> dict[Window, VoteResult]:
    """The judgement with the largest sum of weights (`gold_weight`); a tie, or a sum of 0 or less, decides nothing.

    Confidence: e to the sums, as shares of all three judgements. If errors are independent and two judgements are
    possible, that is the probability of the decision (S. Nitzan and J. Paroush, "Optimal Decision Rules in Uncertain
    Dichotomous Choice Situations", 1982); with the third judgement, possibly without votes, it is less.
    """
    decisions = {}
    for window, votes in ballots.items():
        sums = {
            judgement: math.fsum(gold_weight(gold, name, prior) for name, vote in votes.items() if vote == judgement)
            for judgement in JUDGEMENTS
        }
        top = max(sums.values())
        shares = {judgement: math.exp(total - top) for judgement, total in sums.items()}
        whole = math.fsum(shares.values())
        decision = _decision(votes, {judgement: share / whole for judgement, share in shares.items()})
        decisions[window] = decision if top > _SAME else replace(decision, judgement=None, by=())
    return decisions


def gold_weight(gold: Gold, annotator: str, prior: tuple[float, float] = BETA_PRIOR) -> float:
    """The log-odds that the annotator is right, from the posterior mean under a Beta prior of (right, wrong) answers.

    Negative for annotators who are usually wrong: their vote is evidence for the contrary. An annotator without gold
    answers gets the prior's. Raises ValueError for impossible counts or an impossible prior.
    """
    right, of = gold.get(annotator, (0, 0))
    if not 0 <= right <= of:
        raise ValueError(f"{annotator}: {right} right answers of {of}, must be from 0 to {of}")
    if not min(prior) > 0:
        raise ValueError(f"Beta prior is {prior}, both numbers must be above 0")
    return math.log(right + prior[0]) - math.log(of - right + prior[1])


def dawid_skene(ballots: Ballots, smoothing: float = 1.0) -> dict[Window, VoteResult]:
    """The judgement that is most probable under the model of `fit_dawid_skene`, fitted on all ballots.

    Confidence: that probability. A tie decides nothing. The model estimates error rates from agreement alone: it needs
    dozens of windows with several annotators; with few, maximum likelihood (`smoothing` 0) is far too certain.
    """
    votes = [(window, name, vote) for window, by in sorted(ballots.items()) for name, vote in sorted(by.items())]
    if not votes:
        return {}
    fit = fit_dawid_skene(votes, JUDGEMENTS, smoothing=smoothing)
    rows = dict(zip(fit.items, fit.posteriors.tolist(), strict=True))
    return {
        window: _decision(by, dict(zip(JUDGEMENTS, rows[window], strict=True))) for window, by in ballots.items() if by
    }


def _counts(votes: Mapping[str, Judgement]) -> dict[Judgement, int]:
    return {judgement: sum(vote == judgement for vote in votes.values()) for judgement in JUDGEMENTS}


def _decision(votes: Mapping[str, Judgement], shares: Mapping[Judgement, float]) -> VoteResult:
    """The judgement with the largest share. A judgement without votes is never decided, at any probability."""
    confidence = max(shares.values())
    best = [judgement for judgement, share in shares.items() if share >= confidence - _SAME]
    by = tuple(sorted(name for name, vote in votes.items() if vote == best[0]))
    if len(best) > 1 or not by:
        return VoteResult(None, confidence, ())
    return VoteResult(best[0], min(confidence, 1.0), by)
