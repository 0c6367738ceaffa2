"""Where contaminants are: what enough annotators marked, and what only some did.

Everything in whole milliseconds, so that no result turns on the noise of floats.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from manifests.time import to_ms

from .votes import Marks, Span

SLACK = 1.0


@dataclass(frozen=True, slots=True)
class MarkedSpan:
    """A stretch [start_ms, end_ms) that the same annotators marked; `share`: their weight among all, 0 to 1."""

    start_ms: int
    end_ms: int
    share: float
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contested:
    """A stretch that some marked, but too few; `most`: how many at the same time at most."""

    label: str
    start_ms: int
    end_ms: int
    most: int


@dataclass(frozen=True, slots=True)
class WeighedMarks:
    """What is agreed, by label, and what is contested, in order of time."""

    agreed: Mapping[str, tuple[Span, ...]]
    contested: tuple[Contested, ...]


def sweep(spans: Mapping[str, Sequence[Span]], weights: Mapping[str, float]) -> list[MarkedSpan]:
    """The stretches of one label that anybody marked, in order, from each annotator's spans.

    Everybody in `weights` heard it all, with or without spans. Weights are 0 or more; all 0 count as all the same.
    """
    if not sum(weights.values()):
        weights = dict.fromkeys(weights, 1.0)
    total = math.fsum(weights.values())
    edges = [(start, name, 1) for name, marked in spans.items() for start, _ in marked]
    edges += [(end, name, -1) for name, marked in spans.items() for _, end in marked]
    stretches: list[MarkedSpan] = []
    open_spans: Counter[str] = Counter()  # an annotator's own spans may overlap
    since = 0
    for at, name, step in sorted(edges):
        by = tuple(sorted(name for name, count in open_spans.items() if count > 0))
        if by and since < at:
            if stretches and (stretches[-1].end_ms, stretches[-1].by) == (since, by):
                since = stretches.pop().start_ms
            stretches.append(MarkedSpan(since, at, math.fsum(weights[name] for name in by) / total, by))
        open_spans[name] += step
        since = at
    return stretches


def weigh_marks(
    marks: Mapping[str, Marks], weights: Mapping[str, float] | None = None, slack: float = SLACK
) -> WeighedMarks:
    """What the annotators together say about where contaminants are; `marks` has an entry for each who tells.

    A stretch of a label is agreed where those who marked it have at least half of all the weight (None: all the same);
    a tie counts as present, since a missed contaminant costs more than a lost second. What was marked otherwise is
    contested, when it is farther than `slack` seconds from all that is agreed: nearer, people differ in where to set
    an edge, and what is agreed under another label is lost anyway.
    """
    share = dict.fromkeys(marks, 1.0) if weights is None else weights
    labels = sorted({label for own in marks.values() for label in own})
    swept = {label: sweep({name: own.get(label, ()) for name, own in marks.items()}, share) for label in labels}
    agreed = {label: merged((s.start_ms, s.end_ms) for s in found if _enough(s)) for label, found in swept.items()}
    reach = to_ms(slack)
    near = merged((start - reach, end + reach) for spans in agreed.values() for start, end in spans)
    contested = []
    for label, found in swept.items():
        few = [stretch for stretch in found if not _enough(stretch)]
        for start, end in without(merged((s.start_ms, s.end_ms) for s in few), near):
            most = max(len(s.by) for s in few if s.start_ms < end and start < s.end_ms)
            contested.append(Contested(label, start, end, most))
    return WeighedMarks(
        agreed={label: spans for label, spans in agreed.items() if spans},
        contested=tuple(sorted(contested, key=lambda one: (one.start_ms, one.end_ms, one.label))),
    )


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same time in spans that neither overlap nor touch, in order."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return tuple(found)


def without(spans: Iterable[Span], holes: Iterable[Span]) -> tuple[Span, ...]:
    """What of `spans` is in no hole; both are as `merged` leaves them."""
    left = []
    taken = tuple(holes)
    for start, end in spans:
        for hole_start, hole_end in taken:
            if hole_end <= start or end <= hole_start:
                continue
            if start < hole_start:
                left.append((start, hole_start))
            start = hole_end
        if start < end:
            left.append((start, end))
    return tuple(left)


def _enough(stretch: MarkedSpan) -> bool:
    return stretch.share >= 0.5 - 1e-9
