"""Oracle of `curation.decision.spans.partition`: the same dynamic programme over all candidates, in cubic time.

This is the former code: cut ids are made of the times of its pieces. One thing differs: after the last segment all
candidates are compared by their cost up to the end of the span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curation.decision.spans import Piece, PieceKind
from manifests.time import Segment, Timeline


def reference_partition(span: Segment, doubts: Timeline, min_duration: float, discard_weight: float) -> list[Piece]:
    """`span` (at least `min_duration` long) as consecutive pieces, in order, without loss or overlap.

    Accepted pieces and pieces for review last at least `min_duration`, and no doubt touches an accepted one. The
    seconds for review plus `discard_weight` (above 1) times those discarded are as few as that allows: a short doubt
    at the edge of a long span is given up, one in the middle of a short span is heard.

    Dynamic programme over the doubts in time order. Between two doubts there is an accepted piece, or both lie in one
    piece that is not; its cheapest placements are few. Of two states after the same doubt and with the same kind of
    last piece, one that costs no more and ends no later makes the other useless.
    """
    # an accepted piece between two doubts is at least min_duration long: nearer ones share their piece in any case
    inside = list(doubts.crop(span).merge_gaps(min_duration - 1e-6))
    if not inside:
        return [Piece(span, "accept")]
    states: list[list[_State]] = []  # after each doubt, those that no other makes useless
    for last in range(len(inside)):
        candidates: list[_State] = []
        for first in range(last + 1):
            need = Segment(inside[first].start, inside[last].end)
            origins = [_State(0.0, span.start, ())] if first == 0 else states[first - 1]
            for origin in origins:
                candidates += [
                    origin.then(piece, discard_weight)
                    for piece in _placements(origin.end, need, span, min_duration, is_first=first == 0)
                ]
        states.append(_undominated(candidates))
    best = min(_closed(state, span, min_duration, discard_weight) for state in candidates)
    gaps = Timeline(piece.segment for piece in best.pieces).gaps(span)
    return sorted([*best.pieces, *(Piece(gap, "accept") for gap in gaps)])


@dataclass(frozen=True, order=True)
class _State:
    """The pieces so far that are not accepted, what they cost, and where the last one ends."""

    cost: float
    end: float
    pieces: tuple[Piece, ...]

    def then(self, piece: Piece, discard_weight: float) -> _State:
        weight = discard_weight if piece.kind == "discard" else 1.0
        return _State(self.cost + weight * piece.segment.duration, piece.segment.end, (*self.pieces, piece))


def _placements(after: float, need: Segment, span: Segment, min_duration: float, *, is_first: bool) -> Iterator[Piece]:
    """The pieces over `need` worth trying, given that the one before ends at `after`."""
    if is_first:  # from the span's beginning, with no accepted piece before it
        yield Piece(Segment(span.start, max(need.end, span.start + min_duration)), "review")
        yield Piece(Segment(span.start, need.end), "discard")
    earliest = after + min_duration
    if earliest > need.start:
        return
    yield Piece(need, "discard")
    length = max(min_duration, need.duration)
    start = max(earliest, need.end - length)
    if start + length <= span.end:  # as short as it may be, and as early: it leaves most room for what follows
        yield Piece(Segment(start, start + length), "review")
    if earliest <= span.end - length:  # up to the span's end, with no accepted piece after it
        yield Piece(Segment(min(need.start, span.end - min_duration), span.end), "review")


def _undominated(states: Sequence[_State]) -> list[_State]:
    kept: dict[PieceKind, list[_State]] = {"review": [], "discard": []}
    for state in sorted(states):
        rivals = kept[state.pieces[-1].kind]
        if all(state.end < other.end for other in rivals):
            rivals.append(state)
    return [*kept["review"], *kept["discard"]]


def _closed(state: _State, span: Segment, min_duration: float, discard_weight: float) -> _State:
    """The last piece reaches the span's end when what follows is too short to stand alone."""
    rest = span.end - state.end
    if rest <= 0 or rest >= min_duration:
        return state
    *before, last = state.pieces
    stretched = Piece(Segment(last.segment.start, span.end), last.kind)
    weight = discard_weight if last.kind == "discard" else 1.0
    return _State(state.cost + weight * rest, span.end, (*before, stretched))
