"""Decides from matches which of several similar recordings is kept, and which time of the others it contains."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from manifests.records import Duplicate
from manifests.time import Segment, Timeline

from .align import Match, OnFault
from .fingerprint import Kind

_NOISE_SECONDS = 1e-9
_SHORTEST = 1e-3  # seconds: a piece below a millisecond is rounding, whatever a recipe's `min_overlap`


@dataclass(frozen=True)
class Rule:
    """Thresholds for one recording to be a duplicate of another.

    `min_overlap`: seconds in one piece. `min_share`: share of the shorter recording, in pieces of at least that length;
    with less they only share a sample.
    """

    min_overlap: float = 10.0
    min_share: float = 0.5


@dataclass(frozen=True, order=True)
class _Piece:
    """[start, end) seconds of a recording, `offset` seconds later in another one."""

    start: float
    end: float
    offset: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def time(self) -> Timeline:
        return Timeline([Segment(self.start, self.end)])

    def flipped(self) -> _Piece:
        return _Piece(self.start + self.offset, self.end + self.offset, -self.offset)

    def then(self, other: _Piece) -> _Piece | None:
        """The part of this piece that the other recording's piece continues to a third recording."""
        start, end = max(self.start, other.start - self.offset), min(self.end, other.end - self.offset)
        return _Piece(start, end, self.offset + other.offset) if start < end else None


@dataclass(frozen=True)
class _Shared:
    """Content that two recordings share: the pieces, longest first, and the method."""

    pieces: tuple[_Piece, ...]
    method: Kind

    @property
    def seconds(self) -> float:
        return sum(piece.seconds for piece in self.pieces)

    def flipped(self) -> _Shared:
        return _Shared(tuple(piece.flipped() for piece in self.pieces), self.method)


@dataclass(frozen=True)
class _Held:
    """A recording that a kept one contains: its number of matches away, the piece, and the method."""

    steps: int
    piece: _Piece
    method: Kind


def duplicates(
    matches: Iterable[Match],
    durations: Mapping[str, float],
    rank: Callable[[str], Any],
    rule: Rule | None = None,
    on_fault: OnFault | None = None,
) -> list[Duplicate]:
    """A row for each recording that another one contains, with the longest piece they share; the rest are kept.

    A recording of which `min_share` is in another is dropped in favour of that one. If each contains the other to that
    share, the one with the smaller `rank` is kept. So an excerpt is dropped at any quality, and so are both of two
    recordings in a compilation, unless one of them is most of it and ranks first. A recording without a direct match to
    the kept one points to it along a chain of matches, with the piece that remains at its end; if that is too short,
    the recording is kept. A kept recording has no row.

    A pair whose pieces cannot be compared goes to `on_fault` and is left out; without `on_fault` its error is raised.
    Raises ValueError if a duration is missing.
    """
    bound = rule or Rule()
    links = _links(matches, durations, bound, on_fault)
    wider = {
        one: {other for other in others if _covers(links, durations, bound, one, other) > 0}
        for one, others in links.items()
    }
    waiting = {one: len(others) for one, others in wider.items()}
    narrower: dict[str, list[str]] = defaultdict(list)
    for one, others in wider.items():
        for other in others:
            narrower[other].append(one)
    ready = [(rank(one), one) for one, count in waiting.items() if not count]
    heapq.heapify(ready)
    holders: dict[str, list[tuple[int, float, int, str, _Held]]] = defaultdict(list)
    rows, kept = [], 0
    while ready:
        _, one = heapq.heappop(ready)
        if holders[one]:
            *_, keeper, held = min(holders[one], key=lambda entry: entry[:4])
            piece = held.piece
            rows.append(
                Duplicate(
                    recording_id=one,
                    kept_id=keeper,
                    method=held.method,
                    offset=piece.offset,
                    start=piece.start,
                    end=piece.end,
                )
            )
        else:
            for other, held in _contained(links, durations, bound, one).items():
                holders[other].append((held.steps > 1, -held.piece.seconds, kept, one, held))
            kept += 1
        for other in narrower[one]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, (rank(other), other))
    return sorted(rows, key=lambda row: row.recording_id)


def copied_time(recording_id: str, rows: Iterable[Duplicate], matches: Iterable[Match]) -> Timeline:
    """The time of a recording that other recordings contain, by audio or video; empty for a kept one.

    Others are the kept ones, and those with a row and a smaller id: so content of several of them that is in no kept
    one is left in the first.
    """
    kept_by = {row.recording_id: row for row in rows}
    own = kept_by.get(recording_id)
    if own is None:
        return Timeline()
    spans = [Segment(own.start, own.end)]
    for match in matches:
        if recording_id not in (match.recording_id, match.other_id):
            continue
        first = match.recording_id == recording_id
        other, shift = (match.other_id, 0.0) if first else (match.recording_id, match.offset)
        if other not in kept_by or other < recording_id:
            spans.append(Segment(match.start + shift, match.end + shift))
    return Timeline(spans)


_Links = dict[str, dict[str, _Shared]]


def _links(matches: Iterable[Match], durations: Mapping[str, float], rule: Rule, on_fault: OnFault | None) -> _Links:
    """For every recording, the others that share enough with it, and the shared pieces in its own time."""
    grouped: dict[tuple[str, str], dict[Kind, list[_Piece]]] = defaultdict(lambda: defaultdict(list))
    for match in sorted(matches):
        for name in (match.recording_id, match.other_id):
            if name not in durations:
                raise ValueError(f"recording {name} has a match but no duration")
        piece = _Piece(match.start, match.end, match.offset)
        grouped[match.recording_id, match.other_id][match.kind].append(piece)
    links: _Links = defaultdict(dict)
    for (one, other), kinds in grouped.items():
        try:
            ways = [_Shared(one_to_one(pieces, rule.min_overlap), kind) for kind, pieces in sorted(kinds.items())]
        except Exception as error:  # a fault of ours in one pair must not end the run over all others
            if on_fault is None:
                raise
            on_fault(one, other, error)
            continue
        shared = max(ways, key=lambda way: way.seconds)
        shorter = min(durations[one], durations[other])
        if shared.pieces and shared.seconds >= rule.min_share * shorter - _NOISE_SECONDS:
            links[one][other], links[other][one] = shared, shared.flipped()
    return links


def one_to_one(pieces: Iterable[_Piece], least: float) -> tuple[_Piece, ...]:
    """Pieces of at least `least` seconds, longest first, so that no second of either recording counts twice.

    If a sample occurs in a recording several times, every use matches every use elsewhere: only one of those counts,
    because a repeated sample is one sample. Time that another piece connects to counted time is counted with it.
    """
    least = max(least, _SHORTEST)
    left = sorted((p for p in pieces if p.seconds >= least - _NOISE_SECONDS), key=lambda p: (-p.seconds, p.start))
    chosen: list[_Piece] = []
    mine, theirs = Timeline(), Timeline()
    while left:
        best = left.pop(0)
        chosen.append(best)
        mine, theirs = _counted_time(best, left, mine, theirs)
        rests = [rest for piece in left for rest in _without(piece, mine, theirs)]
        left = sorted((p for p in rests if p.seconds >= least - _NOISE_SECONDS), key=lambda p: (-p.seconds, p.start))
    return tuple(chosen)


def _counted_time(best: _Piece, others: list[_Piece], mine: Timeline, theirs: Timeline) -> tuple[Timeline, Timeline]:
    """The time of both sides that is counted now, with the time that other pieces connect to it."""
    mine |= best.time
    theirs |= best.time.shift(best.offset)
    while True:
        more_mine, more_theirs = mine, theirs
        for piece in others:
            more_theirs |= (more_mine & piece.time).shift(piece.offset)
            more_mine |= (more_theirs & piece.time.shift(piece.offset)).shift(-piece.offset)
        if more_mine.duration - mine.duration < 0.01 and more_theirs.duration - theirs.duration < 0.01:
            return mine, theirs
        mine, theirs = more_mine, more_theirs


def _without(piece: _Piece, mine: Timeline, theirs: Timeline) -> list[_Piece]:
    """The parts of the piece that neither side has counted."""
    taken = (theirs & piece.time.shift(piece.offset)).shift(-piece.offset)
    return [_Piece(s.start, s.end, piece.offset) for s in piece.time - mine - taken]


def _covers(links: _Links, durations: Mapping[str, float], rule: Rule, one: str, other: str) -> int:
    """1 if only `one` is covered by `other`, -1 if only `other` is covered by `one`, 0 if both are."""
    seconds = links[one][other].seconds
    first, second = (seconds >= rule.min_share * durations[name] - _NOISE_SECONDS for name in (one, other))
    return int(first) - int(second)


def _contained(links: _Links, durations: Mapping[str, float], rule: Rule, kept: str) -> dict[str, _Held]:
    """The recordings of which `kept` contains enough, directly or along a chain: the longest piece that remains.

    Widest path first (Dijkstra's order): a piece only shrinks along the chain.
    """
    arrived: dict[str, _Held] = {}
    queue: list[tuple[float, str, _Piece, Kind, int]] = []

    def offer(other: str, piece: _Piece | None, method: Kind, steps: int) -> None:
        if piece is not None and piece.seconds >= rule.min_overlap - _NOISE_SECONDS:
            heapq.heappush(queue, (-piece.seconds, other, piece, method, steps))

    for other, shared in links[kept].items():
        arrived[other] = _Held(1, shared.flipped().pieces[0], shared.method)
        for piece in shared.flipped().pieces:
            offer(other, piece, shared.method, 1)
    expanded = {kept}
    while queue:
        _, one, piece, method, steps = heapq.heappop(queue)
        if one in expanded:
            continue
        expanded.add(one)
        arrived.setdefault(one, _Held(steps, piece, method))
        for other, shared in links[one].items():
            if other not in expanded:
                for edge in shared.flipped().pieces:
                    offer(other, edge.then(piece), shared.method, steps + 1)
    return {
        other: held
        for other, held in arrived.items()
        if (links[kept][other].seconds if held.steps == 1 else held.piece.seconds)
        >= rule.min_share * durations[other] - _NOISE_SECONDS
    }
