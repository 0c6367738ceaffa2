"""Combines the votes about a window: a result, or a conflict for an adjudicator.

Meaning of an answer as a vote:

- "keep" keeps the window except the contaminants that its author marked.
- "reject" for contaminants alone, with at least one region for each of them, locates the faults: the rest was judged,
  too, and found good. It is a vote to keep the window except those segments.
- any other "reject" (without a reason, for a reason that no region can settle, for a contaminant without a region)
  rejects the whole window.
- "unsure" is a vote for neither.

Contaminants are located by annotators who keep, and by others who marked at least one: other answers need not locate
anything. Their shares decide segment by segment (`regions`), independent of the decision.

One voter decides alone. Several are in conflict if the rule cannot decide, if it decides for "unsure", if its
confidence is below `min_confidence`, or if the window is kept with more than `max_contested` seconds of contested
contaminants. An adjudicator's answer has the same meaning and outranks the votes, unless their conflict began only
after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, assert_never, get_args

from manifests.errors import LpseError
from manifests.records import Judgement, LabelledSegment, VerdictMethod
from manifests.time import from_ms, to_ms

from ..tasks.windows import Window
from .regions import SLACK, Contested, WeighedMarks, merged, weigh_marks
from .rules import BETA_PRIOR, Ballots, Gold, VoteResult, dawid_skene, gold_weight, majority, weighted
from .votes import JUDGEMENTS, Vote, Votes

RuleName = Literal["majority", "weighted", "dawid_skene"]
RULES: tuple[RuleName, ...] = get_args(RuleName)
_SHOWN = 3  # contested segments that a cause names


@dataclass(frozen=True)
class ConsensusSettings:
    """Settings of the consensus: the rule, and the limits above which its result is still a conflict.

    `min_confidence`: 0 to 1. `max_contested`, `slack`: seconds (`regions.weigh_marks`). `prior`: of "weighted".
    `smoothing`: of "dawid_skene".
    """

    rule: RuleName = "majority"
    min_confidence: float = 0.6
    max_contested: float = 0.5
    slack: float = SLACK
    prior: tuple[float, float] = BETA_PRIOR
    smoothing: float = 1.0


def rule_named(name: str) -> RuleName:
    """The rule of that name. Raises UnknownRule with the available names."""
    for rule in RULES:
        if rule == name:
            return rule
    raise UnknownRule(f"unknown rule {name!r}; available: {', '.join(RULES)}")


class UnknownRule(LpseError, ValueError):
    """A rule name that does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusResult:
    """The result for a window. `excised` in seconds of the recording; `confidence` None if one person decided.

    `reasons`: those that at least half of the deciding side gave. `voters`: everyone whose answer was used. `made_at`:
    the time of the last change of these answers.
    """

    window: Window
    decision: Judgement
    reasons: tuple[str, ...]
    excised: tuple[LabelledSegment, ...]
    confidence: float | None
    method: VerdictMethod
    voters: tuple[str, ...]
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A window that its votes do not settle, and the cause; `began`: when the votes first disagreed."""

    window: Window
    cause: str
    voters: tuple[str, ...]
    began: datetime


def decide(
    votes: Votes, settings: ConsensusSettings | None = None, gold: Gold | None = None
) -> dict[Window, ConsensusResult | Conflict]:
    """The result or conflict of each window with votes or an adjudicator's answer, in order.

    `gold`: by annotator, right answers and number of gold answers; only the rule "weighted" uses it.
    """
    settings = ConsensusSettings() if settings is None else settings
    gold = {} if gold is None else gold
    ballots = {window: {name: side(vote) for name, vote in by.items()} for window, by in votes.by_window.items()}
    decisions = _decisions(ballots, settings, gold)
    results: dict[Window, ConsensusResult | Conflict] = {}
    for window in sorted({*votes.by_window, *votes.adjudicated}):
        adjudicated = votes.adjudicated.get(window)
        result: ConsensusResult | Conflict | None = None
        if given := votes.by_window.get(window):
            result = _result(window, given, decisions[window], settings, gold)
        if adjudicated is not None and not (isinstance(result, Conflict) and adjudicated.made_at < result.began):
            result = _alone(window, adjudicated, "adjudicator")
        if result is not None:
            results[window] = result
    return results


def side(vote: Vote) -> Judgement:
    """The side that the answer votes for: a "reject" that locates its faults is a vote to keep the rest."""
    return "keep" if vote.judgement == "reject" and _localises(vote) else vote.judgement


def _localises(vote: Vote) -> bool:
    return bool(vote.reasons) and all(reason in vote.marks for reason in vote.reasons)  # marks are of contaminants


def _decisions(ballots: Ballots, settings: ConsensusSettings, gold: Gold) -> dict[Window, VoteResult]:
    match settings.rule:
        case "majority":
            return majority(ballots)
        case "weighted":
            return weighted(ballots, gold, settings.prior)
        case "dawid_skene":
            return dawid_skene(ballots, settings.smoothing)
        case other:
            assert_never(other)


def _result(
    window: Window, votes: Mapping[str, Vote], decision: VoteResult, settings: ConsensusSettings, gold: Gold
) -> ConsensusResult | Conflict:
    if len(votes) == 1:
        return _alone(window, next(iter(votes.values())), "single")
    locating = {name: vote.marks for name, vote in votes.items() if vote.judgement == "keep" or vote.marks}
    weights = None
    if settings.rule == "weighted":
        # an annotator who is usually wrong gets weight 0: with a negative one, not marking would act as a mark
        weights = {name: max(gold_weight(gold, name, settings.prior), 0.0) for name in locating}
    marked = weigh_marks(locating, weights, settings.slack)
    if cause := _cause(votes, decision, marked, len(locating), settings):
        return Conflict(window=window, cause=cause, voters=tuple(sorted(votes)), began=_began(votes.values()))
    assert decision.judgement is not None
    return ConsensusResult(
        window=window,
        decision=decision.judgement,
        reasons=_reasons([votes[name] for name in decision.by]),
        excised=_excised(marked),
        confidence=decision.confidence,
        method=settings.rule,
        voters=tuple(sorted(votes)),
        made_at=max(vote.made_at for vote in votes.values()),
    )


def _alone(window: Window, vote: Vote, method: VerdictMethod) -> ConsensusResult:
    """The result if one answer decides."""
    return ConsensusResult(
        window=window,
        decision=side(vote),
        reasons=vote.reasons,
        excised=_excised(weigh_marks({vote.annotator: vote.marks})),
        confidence=None,
        method=method,
        voters=(vote.annotator,),
        made_at=vote.made_at,
    )


def _cause(
    votes: Mapping[str, Vote], decision: VoteResult, marked: WeighedMarks, locating: int, settings: ConsensusSettings
) -> str | None:
    """The cause of a conflict, or None if the votes settle the window."""
    sides = [side(vote) for vote in votes.values()]
    counted = ", ".join(f"{sides.count(one)} {one}" for one in JUDGEMENTS if one in sides)
    if decision.judgement is None or decision.judgement == "unsure":
        return counted
    if decision.confidence < settings.min_confidence:
        return (
            f"{counted}: {decision.judgement} with confidence {decision.confidence:.2f} < {settings.min_confidence:.2f}"
        )
    spans = merged((one.start_ms, one.end_ms) for one in marked.contested)
    if decision.judgement == "keep" and sum(end - start for start, end in spans) > to_ms(settings.max_contested):
        return _contested(marked.contested, locating)
    return None


def _contested(segments: tuple[Contested, ...], locating: int) -> str:
    longest = sorted(segments, key=lambda one: (one.start_ms - one.end_ms, one.start_ms, one.label))[:_SHOWN]
    shown = [
        f"{one.label} at {from_ms(one.start_ms):.1f} to {from_ms(one.end_ms):.1f} s marked by {one.most} of {locating}"
        for one in sorted(longest, key=lambda one: (one.start_ms, one.end_ms, one.label))
    ]
    more = len(segments) - len(shown)
    return "; ".join([*shown, f"{more} more"] if more else shown)


def _began(votes: Iterable[Vote]) -> datetime:
    """The time of the first vote for the second side; with one side only, the time of the second annotator's answer."""
    first: dict[Judgement, datetime] = {}
    times = []
    for vote in votes:
        times.append(vote.made_at)
        first[side(vote)] = min(vote.made_at, first.get(side(vote), vote.made_at))
    return sorted(first.values() if len(first) > 1 else times)[1]


def _reasons(deciding: list[Vote]) -> tuple[str, ...]:
    given = [reason for vote in deciding for reason in vote.reasons]
    return tuple(sorted(reason for reason in set(given) if 2 * given.count(reason) >= len(deciding)))


def _excised(marked: WeighedMarks) -> tuple[LabelledSegment, ...]:
    spans = sorted((start, end, label) for label, spans in marked.agreed.items() for start, end in spans)
    return tuple(LabelledSegment(start=from_ms(start), end=from_ms(end), label=label) for start, end, label in spans)
