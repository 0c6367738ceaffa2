"""Thresholds: chosen for the largest yield at a given contaminated share, by the rules that decide about cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Contaminant, Spans
from manifests.time import Segment, Timeline

from ...decision.events import contaminant_events, rejected_events, uncertain_time
from ...decision.fusion import HOP, logit
from ...decision.spans import partition, pure_spans

GRID = tuple(round(float(1 / (1 + np.exp(-odds))), 4) for odds in np.arange(-6.0, 5.01, 0.25))
"""The probabilities that are tried."""
REVIEW = tuple(at for at in GRID if 0.0066 < at < 0.89)
"""Those that are tried as review threshold."""

Probabilities = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Predicted:
    """A recording with the probability of each contaminant on the grid, of models that were not fitted to it."""

    name: str
    duration: float
    probabilities: Probabilities = field(repr=False)
    truth: Mapping[str, Timeline] = field(repr=False)


@dataclass(frozen=True)
class Accepted:
    """Accepted time of recordings: `contaminated` is a share of it, `yielded` the accepted share of the pure time."""

    seconds: float
    contaminated: float
    yielded: float


@dataclass(frozen=True)
class Choice:
    """A contaminant with its thresholds.

    `accepted`: figures under this contaminant alone. `met`: whether the contaminated share is within its limit.
    `precision`: the contaminated share of the time that reaches the reject threshold, 0 if none does. `f1`: of the time
    that reaches the onset.
    """

    contaminant: Contaminant
    accepted: Accepted
    met: bool
    precision: float
    f1: float


def accepted_time(one: Predicted, contaminants: Mapping[str, Contaminant], spans: Spans) -> Timeline:
    """The time of a recording that is accepted as far as these contaminants decide about it."""
    whole = Segment(0.0, one.duration)
    excluded = uncertain = Timeline.EMPTY
    for name, contaminant in contaminants.items():
        track = one.probabilities[name]
        events = contaminant_events(track, contaminant)
        excluded |= rejected_events(track, events, contaminant).pad(contaminant.padding)
        excluded |= Timeline.from_mask(np.isnan(track), HOP)
        uncertain |= uncertain_time(track, contaminant)
    pieces = [
        piece
        for span in pure_spans(whole, excluded.crop(whole), spans.min_duration)
        for piece in partition(span, uncertain.crop(whole), spans.min_duration, spans.discard_weight)
    ]
    return Timeline(piece.segment for piece in pieces if piece.kind == "accept")


def accepted(recordings: Sequence[Predicted], contaminants: Mapping[str, Contaminant], spans: Spans) -> Accepted:
    """The figures over all recordings, by seconds."""
    seconds = bad = pure = 0.0
    for one in recordings:
        whole = Segment(0.0, one.duration)
        dirty = Timeline(part for name in contaminants for part in one.truth[name]).crop(whole)
        time = accepted_time(one, contaminants, spans)
        seconds += time.duration
        bad += (time & dirty).duration
        pure += one.duration - dirty.duration
    return Accepted(seconds, bad / seconds if seconds else 0.0, (seconds - bad) / pure if pure else 0.0)


@dataclass(frozen=True)
class Curve:
    """One contaminant under each review threshold of REVIEW, its other thresholds chosen to fit."""

    choices: tuple[Choice, ...]

    def best(self, contaminated_share: float) -> Choice:
        """The choice with the largest yield within `contaminated_share`; without any, the one with the least share.

        Of equal ones, the choice with the lowest review threshold.
        """
        choices = [replace(one, met=one.accepted.contaminated <= contaminated_share) for one in self.choices]
        met = [one for one in choices if one.met and one.accepted.seconds]
        if met:
            return max(met, key=lambda one: one.accepted.yielded)
        return min(choices, key=lambda one: (not one.accepted.seconds, one.accepted.contaminated))


def threshold_curve(
    recordings: Sequence[Predicted],
    name: str,
    contaminant: Contaminant,
    spans: Spans,
    cells: tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]],
    reject_precision: float,
) -> Curve:
    """The contaminant under each review threshold.

    `cells`: probabilities, labels and weights of (rows,). The reject threshold is the lowest from which a share
    `reject_precision` of the time is contaminated, 1 if it never is; the onset is the one of the best F1, the distance
    of the offset from it in log-odds remains. All are at least the review threshold.
    """
    probability, labels, weights = cells
    precision = {at: _precision(probability >= at, labels, weights) for at in GRID}
    f1 = {at: _f1(probability >= at, labels, weights) for at in GRID}
    reject = next((at for at in GRID if precision[at] >= reject_precision), 1.0)
    onset = max(GRID, key=lambda at: f1[at])
    distance = float(logit(contaminant.offset) - logit(contaminant.onset))
    choices = []
    for review in REVIEW:
        end = max(reject, review)
        begin = min(max(onset, review), end)
        offset = min(begin, round(float(1 / (1 + np.exp(-(logit(begin) + distance)))), 4))
        changed = replace(contaminant, review_threshold=review, onset=begin, offset=offset, reject_threshold=end)
        figures = accepted(recordings, {name: changed}, spans)
        at_end = _precision(probability >= end, labels, weights)
        choices.append(Choice(changed, figures, False, at_end, _f1(probability >= begin, labels, weights)))
    return Curve(tuple(choices))


def _precision(found: NDArray[np.bool_], labels: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    total = float(weights[found].sum())
    return float(weights[found & labels].sum()) / total if total else 0.0


def _f1(found: NDArray[np.bool_], labels: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    total = float(weights[found].sum() + weights[labels].sum())
    return 2 * float(weights[found & labels].sum()) / total if total else 0.0
