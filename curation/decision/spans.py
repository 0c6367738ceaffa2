"""Salvages spans: keeps as much of a recording as possible in pieces that are long enough.

Three steps: find the maximal pure spans; divide each into pieces to accept and pieces for review; split pieces that are
longer than a cut may be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifests.time import Segment, Timeline

PieceKind = Literal["accept", "review", "discard"]

# Seconds of cost. The same pieces shifted, or summed in another order, differ by less than 1e-5 over a day. `partition`
# skips a candidate only if another is cheaper by more than this: rounding never decides what is skipped, and all that
# cost nearly the same are compared exactly.
_SLACK = 1e-3


@dataclass(frozen=True, order=True)
class Piece:
    """A part of a pure span: accepted, for review by a person, or discarded."""

    segment: Segment
    kind: PieceKind


def pure_spans(within: Segment, excluded: Timeline, min_duration: float) -> Timeline:
    """The maximal spans of `within` without excluded time, of at least `min_duration` seconds."""
    return excluded.gaps(within).at_least(min_duration)


def is_too_short(duration: float, min_duration: float) -> bool:
    """True if a recording of `duration` seconds has no room for a cut of `min_duration`."""
    return not Timeline([Segment(0.0, duration)] if duration > 0 else ()).at_least(min_duration)


def partition(span: Segment, uncertain: Timeline, min_duration: float, discard_weight: float) -> list[Piece]:
    """`span` (at least `min_duration` long) as consecutive pieces, in order, without loss or overlap.

    `uncertain` is the time that a person must judge; times are 0 or later. Accepted pieces and pieces for review last
    at least `min_duration`, and no uncertain time touches an accepted one. The seconds for review plus
    `discard_weight` (above 1) times those discarded are as few as that allows: a short uncertain segment at the edge of
    a long span is discarded, one in the middle of a short span is reviewed.

    Dynamic programme over the uncertain segments in time order. Between two of them there is an accepted piece, or
    both lie in one piece that is not; its cheapest placements are few. Of two states after the same segment and with
    the same kind of last piece, one that costs no more and ends no later makes the other useless.

    The last piece is tried over one segment, then over it and the one before, and so on, until no longer one can win.
    A piece of `min_duration` or more ends where its last segment ends, or later, and so do all longer ones. A review
    that ends there and costs less than the lower bound of all longer pieces makes them useless. It is found after a few
    segments, however many there are: two segments and the gap between them last `min_duration`, so a piece over six
    can be three reviews of two segments each, with accepted pieces between them. That saves twice `min_duration`. The
    bound counts the cheapest state before the piece, which may end too late for that; a state that ends with its
    segment costs at most `min_duration` more.

    The work is the number of segments times that of the states kept after one: two or three in recordings. Many are
    kept only if segments nearly 2 `min_duration` apart grow longer one after the other.
    """
    # an accepted piece between two segments is at least min_duration long: nearer ones share their piece in any case
    inside = list(uncertain.crop(span).merge_gaps(min_duration - 1e-6))
    if not inside:
        return [Piece(span, "accept")]
    states = [_State(0.0, span.start, span.start, "accept", None)]  # those after a segment that no other makes useless
    begins = [_Begin(span.start, states, -span.start)]
    for segment in inside:
        if origins := [state for state in states if state.end + min_duration <= segment.start]:
            bound = min(begins[-1].bound, origins[0].cost - segment.start)
            begins.append(_Begin(segment.start, origins, bound))
        candidates: list[_State] = []
        review = math.inf  # cost of the cheapest that ends with the segment
        for begin in reversed(begins):
            if segment.end - begin.start >= min_duration and review + _SLACK < begin.bound + segment.end:
                break
            for state in _placements(begin, segment.end, span, min_duration, discard_weight, segment is inside[-1]):
                candidates.append(state)
                if state.kind == "review" and state.end <= segment.end:
                    review = min(review, state.cost)
        states = _undominated(candidates)
    # all candidates, not only the undominated: one that ends later costs less up to the span's end
    best = _least(_closed(state, span, min_duration, discard_weight) for state in candidates)
    pieces = best.pieces()
    gaps = Timeline(piece.segment for piece in pieces).gaps(span)
    return sorted([*pieces, *(Piece(gap, "accept") for gap in gaps)])


class _State(NamedTuple):
    """The last piece that is not accepted, the state before it, and the cost of all such pieces so far."""

    cost: float
    end: float
    start: float
    kind: PieceKind
    origin: _State | None

    def then(self, start: float, end: float, kind: PieceKind, weight: float) -> _State:
        return _State(self.cost + weight * (end - start), end, start, kind, self)

    def piece(self) -> Piece:
        return Piece(Segment(self.start, self.end), self.kind)

    def pieces(self) -> list[Piece]:
        """All pieces that are not accepted, the last one first."""
        pieces, state = [], self
        while state.origin is not None:
            pieces.append(state.piece())
            state = state.origin
        return pieces

    def sorts_before(self, other: _State) -> bool:
        """Order by cost, then by end, then by the first piece in time that differs: the winner of a tie is defined.

        That piece follows the last state that both share. Ends grow along a chain of states, so of two different states
        the one that ends later is not shared.
        """
        if self[:2] != other[:2]:
            return self[:2] < other[:2]
        mine, theirs = self, other
        while mine is not theirs:
            if mine.end >= theirs.end:
                assert mine.origin is not None, "all chains begin with the same state"
                my_piece, mine = mine.piece(), mine.origin
            else:
                assert theirs.origin is not None, "all chains begin with the same state"
                their_piece, theirs = theirs.piece(), theirs.origin
        return my_piece < their_piece


class _Begin(NamedTuple):
    """A time at which a piece that is not accepted may begin: the span's start, or that of an uncertain segment.

    `origins` leave room for an accepted piece before it, cheapest first. A piece from here or from an earlier `_Begin`
    up to `end`, together with those before it, costs at least `bound + end`.
    """

    start: float
    origins: list[_State]
    bound: float


def _placements(
    begin: _Begin, end: float, span: Segment, min_duration: float, discard_weight: float, is_last: bool
) -> Iterator[_State]:
    """The pieces worth trying over the uncertain segments from `begin` to `end`, each after an origin."""
    if begin.start == span.start:  # no accepted piece before it
        (nothing,) = begin.origins
        yield nothing.then(span.start, max(end, span.start + min_duration), "review", 1.0)
        yield nothing.then(span.start, end, "discard", discard_weight)
        return
    length = max(min_duration, end - begin.start)
    enough = math.inf
    for origin in begin.origins:
        if origin.cost > enough:
            return
        earliest = origin.end + min_duration
        yield origin.then(begin.start, end, "discard", discard_weight)
        # end - length + length is `end`, also in floats, if length is end - begin.start: one of the two subtractions is
        # exact, the first if begin.start >= end / 2, the second otherwise.
        start = max(earliest, end - length)
        if start + length <= span.end:  # as short as it may be, and as early: it leaves most room for what follows
            yield origin.then(start, start + length, "review", 1.0)
        if is_last and earliest <= span.end - length:  # up to the span's end, with no accepted piece after it
            yield origin.then(min(begin.start, span.end - min_duration), span.end, "review", 1.0)
        if earliest <= end - length:  # no origin allows an earlier start: those that cost more are useless
            enough = min(enough, origin.cost + _SLACK)


def _undominated(candidates: Sequence[_State]) -> list[_State]:
    """Those that cost less or end earlier than each other of their kind, cheapest first."""
    kept: list[_State] = []
    for kind in ("review", "discard"):
        end = math.inf
        for state in sorted((state for state in candidates if state.kind == kind), key=itemgetter(0, 1)):
            if state.end < end:
                kept.append(state)
                end = state.end
            elif state[:2] == kept[-1][:2] and state.sorts_before(kept[-1]):
                kept[-1] = state
    return sorted(kept, key=itemgetter(0))


def _closed(state: _State, span: Segment, min_duration: float, discard_weight: float) -> _State:
    """The last piece reaches the span's end if the rest is too short for a piece."""
    rest = span.end - state.end
    if rest <= 0 or rest >= min_duration:
        return state
    weight = discard_weight if state.kind == "discard" else 1.0
    return state._replace(cost=state.cost + weight * rest, end=span.end)


def _least(states: Iterable[_State]) -> _State:
    return reduce(lambda best, state: state if state.sorts_before(best) else best, states)


def split_at_quiet(
    segment: Segment, loudness: NDArray[np.float32], hop: float, *, min_duration: float, max_duration: float
) -> list[Segment]:
    """`segment` in parts of `min_duration` to `max_duration` seconds, split where it is quietest.

    `loudness` in dBFS on cells of `hop` seconds from 0. Each second offers its quietest cell; a dynamic programme takes
    the splits with the smallest sum of levels above the floor, so that a needless split never pays.
    """
    if segment.duration <= max_duration:
        return [segment]
    seconds = np.arange(np.ceil(segment.start + min_duration), np.floor(segment.end - min_duration) + 1)
    cells = max(1, round(1 / hop))
    points, costs = [segment.start], [0.0]
    for second in seconds:
        begin = round(second / hop)
        levels = loudness[begin : begin + cells]
        if len(levels):
            quietest = int(np.argmin(levels))
            points.append((begin + quietest + 0.5) * hop)
            costs.append(float(max(levels[quietest], -120.0)) + 121.0)
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
        return [Segment(a, b) for a, b in pairwise(bounds.tolist())]
    chosen = [len(at) - 1]
    while chosen[-1]:
        chosen.append(int(before[chosen[-1]]))
    bounds = at[chosen[::-1]]
    return [Segment(a, b) for a, b in pairwise(bounds.tolist())]
