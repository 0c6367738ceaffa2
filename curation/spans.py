"""Span salvage: from a recording, the most sound that can be kept in pieces that are long enough.

Three questions in order: which maximal spans are pure; within one, which pieces can be accepted and which need a listener;
and where to split what is longer than a cut may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manifests.time import Segment, Timeline


@dataclass(frozen=True)
class Piece:
    """A part of a pure span; `doubtful` when it holds a doubt that a person has to settle."""

    segment: Segment
    doubtful: bool


def pure_spans(within: Segment, excluded: Timeline, min_duration: float) -> Timeline:
    """The maximal spans of `within` that touch nothing excluded, of at least `min_duration` seconds."""
    return excluded.gaps(within).at_least(min_duration)


def partition(span: Segment, doubts: Timeline, min_duration: float) -> list[Piece]:
    """`span` (at least `min_duration` long) as accepted and doubtful pieces, in order, without loss or overlap.

    Every doubt lies inside one doubtful piece, every piece lasts at least `min_duration`, and the doubtful ones are as
    short in total as that allows.

    A doubtful piece holds a run of consecutive doubts. Between two of them, and at the span's ends, lies an accepted
    piece of at least `min_duration` or nothing. Dynamic programme over the doubts in time order: a state is (seconds
    of doubt so far, end of the last doubtful piece); of two states after the same doubt, one that costs no more and
    ends no later makes the other useless.
    """
    # an accepted piece between two doubts is at least min_duration long: nearer ones share their piece in any case
    inside = list(doubts.crop(span).bridge(min_duration - 1e-6))
    if not inside:
        return [Piece(span, doubtful=False)]
    states: list[list[_State]] = []  # after each doubt, those that no other makes useless
    for last in range(len(inside)):
        candidates: list[_State] = []
        for first in range(last + 1):
            need = Segment(inside[first].start, inside[last].end)
            origins = [_State(0.0, span.start, ())] if first == 0 else states[first - 1]
            for origin in origins:
                candidates += [
                    _State(origin.cost + place.duration, place.end, (*origin.doubtful, place))
                    for place in _placements(origin.end, need, span, min_duration, is_first=first == 0)
                ]
        states.append(_undominated(candidates))
    best = min(_closed(state, span, min_duration) for state in states[-1])
    doubtful = Timeline(best.doubtful)
    pieces = [Piece(segment, True) for segment in doubtful] + [
        Piece(segment, False) for segment in doubtful.gaps(span)
    ]
    return sorted(pieces, key=lambda piece: piece.segment)


@dataclass(frozen=True, order=True)
class _State:
    cost: float
    end: float
    doubtful: tuple[Segment, ...]


def _placements(
    after: float, need: Segment, span: Segment, min_duration: float, *, is_first: bool
) -> Iterator[Segment]:
    """The doubtful pieces over `need` worth trying, given that the one before ends at `after`."""
    if is_first:  # from the span's beginning, with no accepted piece before it
        yield Segment(span.start, max(need.end, span.start + min_duration))
    earliest = after + min_duration
    if earliest > need.start:
        return
    length = max(min_duration, need.duration)
    start = max(earliest, need.end - length)
    if (
        start + length <= span.end
    ):  # as short as it may be, and as early: it leaves most room for what follows
        yield Segment(start, start + length)
    if earliest <= span.end - length:  # up to the span's end, with no accepted piece after it
        yield Segment(min(need.start, span.end - min_duration), span.end)


def _undominated(states: Sequence[_State]) -> list[_State]:
    kept: list[_State] = []
    for state in sorted(states):
        if all(state.end < other.end for other in kept):
            kept.append(state)
    return kept


def _closed(state: _State, span: Segment, min_duration: float) -> _State:
    """The last doubtful piece reaches the span's end when what follows is too short to stand alone."""
    rest = span.end - state.end
    if rest <= 0 or rest >= min_duration:
        return state
    stretched = (*state.doubtful[:-1], Segment(state.doubtful[-1].start, span.end))
    return _State(state.cost + rest, span.end, stretched)


def split_at_quiet(
    segment: Segment, loudness: NDArray[np.float32], hop: float, *, min_duration: float, max_duration: float
) -> list[Segment]:
    """`segment` in parts of `min_duration` to `max_duration` seconds, split where it is quietest.

    `loudness` in dBFS on cells of `hop` seconds from 0. Each second offers its quietest cell; a dynamic programme takes
    the splits whose levels above the floor add up to least, so that a needless split is never worth it.
    """
    if segment.duration <= max_duration:
        return [segment]
    seconds = np.arange(np.ceil(segment.start + min_duration), np.floor(segment.end - min_duration) + 1)
    cells = max(1, round(1 / hop))
    points, costs = [segment.start], [0.0]
    for second in seconds:
        begin = round(second / hop)
        here = loudness[begin : begin + cells]
        if len(here):
            quietest = int(np.argmin(here))
            points.append((begin + quietest + 0.5) * hop)
            costs.append(float(max(here[quietest], -120.0)) + 121.0)
    points.append(segment.end)
    costs.append(0.0)
    at, cost = np.array(points), np.array(costs)
    total = np.full(len(at), np.inf)
    before = np.zeros(len(at), int)
    total[0] = 0.0
    for i in range(1, len(at)):
        low = int(np.searchsorted(at, at[i] - max_duration - 1e-9))
        high = int(np.searchsorted(at, at[i] - min_duration + 1e-9, side="right"))
        if low < high:
            before[i] = low + int(np.argmin(total[low:high]))
            total[i] = total[before[i]] + cost[i]
    if not np.isfinite(total[-1]):  # max_duration is at least twice min_duration: even parts always fit
        parts = int(np.ceil(segment.duration / max_duration))
        bounds = np.linspace(segment.start, segment.end, parts + 1)
        return [Segment(float(a), float(b)) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    chosen = [len(at) - 1]
    while chosen[-1]:
        chosen.append(int(before[chosen[-1]]))
    bounds = at[chosen[::-1]]
    return [Segment(float(a), float(b)) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
