"""Locates contaminants: time that enough annotators marked, and time that only some marked.

All times are whole milliseconds, so that no result depends on float rounding.
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
    """A segment [start_ms, end_ms) that the same annotators marked; `share`: their weight among all, 0 to 1."""

    start_ms: int
    end_ms: int
    share: float
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contested:
    """A segment that some annotators marked, but too few; `most`: the largest number at the same time."""

    label: str
    start_ms: int
    end_ms: int
    most: int


@dataclass(frozen=True, slots=True)
class WeighedMarks:
    """Agreed time, by label, and contested segments, in order of time."""

    agreed: Mapping[str, tuple[Span, ...]]
    contested: tuple[Contested, ...]


def sweep(spans: Mapping[str, Sequence[Span]], weights: Mapping[str, float]) -> list[MarkedSpan]:
    """The marked segments of one label, in order, from each annotator's spans.

    All annotators in `weights` judged the whole window, with or without spans. Weights are 0 or more; if all are 0,
    they count as equal.
    """
    if not sum(weights.values()):
        weights = dict.fromkeys(weights, 1.0)
    total = math.fsum(weights.values())
    edges = [(start, name, 1) for name, marked in spans.items() for start, _ in marked]
    edges += [(end, name, -1) for name, marked in spans.items() for _, end in marked]
    segments: list[MarkedSpan] = []
    open_spans: Counter[str] = Counter()  # an annotator's own spans may overlap
    since = 0
    for at, name, step in sorted(edges):
        by = tuple(sorted(name for name, count in open_spans.items() if count > 0))
        if by and since < at:
            if segments and (segments[-1].end_ms, segments[-1].by) == (since, by):
                since = segments.pop().start_ms
            segments.append(MarkedSpan(since, at, math.fsum(weights[name] for name in by) / total, by))
        open_spans[name] += step
        since = at
    return segments


def weigh_marks(
    marks: Mapping[str, Marks], weights: Mapping[str, float] | None = None, slack: float = SLACK
) -> WeighedMarks:
    """Combine the annotators' marks of contaminants; `marks` has an entry for each annotator who locates them.

    A segment of a label is agreed if the annotators who marked it have at least half of the total weight (None: equal
    weights); a tie counts as present, since a missed contaminant costs more than a lost second. Other marked time is
    contested if it is more than `slack` seconds from all agreed time: nearby, people differ in where to set an edge,
    and time agreed under another label is cut out anyway.
    """
    share = dict.fromkeys(marks, 1.0) if weights is None else weights
    labels = sorted({label for own in marks.values() for label in own})
    swept = {label: sweep({name: own.get(label, ()) for name, own in marks.items()}, share) for label in labels}
    agreed = {label: merged((s.start_ms, s.end_ms) for s in marked if _enough(s)) for label, marked in swept.items()}
    reach = to_ms(slack)
    near = merged((start - reach, end + reach) for spans in agreed.values() for start, end in spans)
    contested = []
    for label, marked in swept.items():
        few = [segment for segment in marked if not _enough(segment)]
        for start, end in without(merged((s.start_ms, s.end_ms) for s in few), near):
            most = max(len(s.by) for s in few if s.start_ms < end and start < s.end_ms)
            contested.append(Contested(label, start, end, most))
    return WeighedMarks(
        agreed={label: spans for label, spans in agreed.items() if spans},
        contested=tuple(sorted(contested, key=lambda one: (one.start_ms, one.end_ms, one.label))),
    )


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same time as spans that neither overlap nor touch, in order."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def without(spans: Iterable[Span], holes: Iterable[Span]) -> tuple[Span, ...]:
    """The parts of `spans` in no hole; both in the form of `merged`."""
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


def _enough(segment: MarkedSpan) -> bool:
    return segment.share >= 0.5 - 1e-9
