"""Measures how far the regions of two annotators agree: temporal IoU, segment F1 and event F1, label by label.

Segment F1 (1 s segments, active if touched) and event F1 (onset and offset within a collar, matched one to one) are
those of A. Mesaros, T. Heittola, T. Virtanen, "Metrics for Polyphonic Sound Event Detection" (2016), computed with
pyannote.metrics' detection measure and matcher. All are symmetric in the two annotators.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from manifests.records import Annotation, LabelledSegment, MsSpan, Region
from manifests.time import Segment, Timeline, from_ms, to_ms

from .bootstrap import Bootstrap, Floats, ratio
from .figures import Estimate, Measure
from .optional_imports import library
from .pairs import pairs_of

SEGMENT_MS = 1000
COLLAR_MS = 200

# The terms summed for two annotators and one label over tasks; each F1's second term counts both annotators'.
_TERMS = ("iou", "marked", "shared", "union", "segments", "of_segments", "events", "of_events")
MEASURES: Mapping[Measure, tuple[float, int, int]] = {
    "iou_mean": (1.0, 0, 1),
    "iou": (1.0, 2, 3),
    "segment_f1": (2.0, 4, 5),
    "event_f1": (2.0, 6, 7),
}
NOT_MARKED = "no annotator marked it"

Marks = Mapping[str, Timeline]


def marks(window: MsSpan, regions: tuple[Region, ...] | tuple[LabelledSegment, ...]) -> dict[str, Timeline]:
    """The time that regions mark in a window, by label: seconds from its start, whole milliseconds, cut at its ends."""
    segments: dict[str, list[Segment]] = defaultdict(list)
    for region in regions:
        start = max(to_ms(region.start), window.start_ms) - window.start_ms
        end = min(to_ms(region.end), window.end_ms) - window.start_ms
        if start < end:
            segments[region.label].append(Segment(from_ms(start), from_ms(end)))
    return {label: Timeline(marked) for label, marked in segments.items()}


def overlap(one: Timeline, other: Timeline) -> tuple[float, float]:
    """Seconds that both cover, and that either covers."""
    shared = (one & other).duration
    return shared, one.duration + other.duration - shared


def compare(one: Timeline, other: Timeline, length_ms: int) -> Floats:
    """The terms (8,) of two annotators' timelines of one label in a window of `length_ms`; all 0 if both are empty."""
    terms = np.zeros(len(_TERMS))
    if not one and not other:
        return terms
    shared, union = overlap(one, other)
    terms[:4] = shared / union, 1, shared, union
    terms[4:6] = _segments(one, other, length_ms)
    terms[6:] = _events(one, other), len(one) + len(other)
    return terms


def agreement_of_regions(
    tasks: Mapping[str, MsSpan],
    answers: Mapping[str, Mapping[str, Annotation]],
    labels: tuple[str, ...],
    boot: Bootstrap,
) -> dict[tuple[str, str | None, str | None], dict[Measure, Estimate]]:
    """The four measures for each label, over all pairs of annotators (None, None) and for each pair that marked it.

    `answers`: by task and annotator. `labels` come first; other labels in use follow. `units` of an estimate are the
    tasks in which one of two annotators marked the label.
    """
    rows: dict[tuple[str, str | None, str | None], dict[str, Floats]] = {(label, None, None): {} for label in labels}
    for key in sorted(answers):
        window = tasks[key]
        marked = {name: marks(window, answer.regions) for name, answer in answers[key].items()}
        for first, second in pairs_of(marked):
            for label in sorted({*marked[first], *marked[second]}):
                nothing = Timeline()
                one, other = marked[first].get(label, nothing), marked[second].get(label, nothing)
                terms = compare(one, other, window.end_ms - window.start_ms)
                for whom in ((label, None, None), (label, first, second)):
                    of_task = rows.setdefault(whom, {})
                    of_task[key] = of_task.get(key, 0) + terms
    order = {label: index for index, label in enumerate(labels)}
    sequence = sorted(rows, key=lambda key: (order.get(key[0], len(order)), key[0], key[1] or "", key[2] or ""))
    return {key: _measures(list(rows[key].values()), boot) for key in sequence}


def _measures(rows: list[Floats], boot: Bootstrap) -> dict[Measure, Estimate]:
    if not rows:
        return dict.fromkeys(MEASURES, Estimate(None, note=NOT_MARKED))
    contributions = np.stack(rows)
    return {
        name: boot.estimate(contributions[:, [above, below]] * [factor, 1.0], lambda s: ratio(s[..., 0], s[..., 1]))
        for name, (factor, above, below) in MEASURES.items()
    }


def _segments(one: Timeline, other: Timeline, length_ms: int) -> tuple[float, float]:
    """Segments active in both, and the sum of those active in each; the last one may be shorter than the others."""
    lib = library()
    count = -(-length_ms // SEGMENT_MS)
    components = lib.Detection().compute_components(
        _whole_segments(one), _whole_segments(other), uem=lib.Timeline([lib.Segment(0, count)])
    )
    return components["relevant retrieved"], components["retrieved"] + components["relevant"]


def _whole_segments(timeline: Timeline) -> Any:
    """The timeline as pyannote's annotation, extended to whole segments, in numbers of segments."""
    lib = library()
    annotation = lib.Annotation()
    for segment in timeline:
        first, end = to_ms(segment.start) // SEGMENT_MS, -(-to_ms(segment.end) // SEGMENT_MS)
        annotation[lib.Segment(first, end)] = "active"
    return annotation


def _events(one: Timeline, other: Timeline) -> int:
    """The number of events of one that match an event of the other, one to one."""
    first, second = ([(to_ms(s.start), to_ms(s.end)) for s in timeline] for timeline in (one, other))
    counts, _ = _matcher()(first, second)
    correct: int = counts["correct"]
    return correct


@cache
def _matcher() -> Any:
    """pyannote's one-to-one matching with the most matches, of events given as (onset, offset) in milliseconds."""

    def near(self: object, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return all(abs(a - b) <= COLLAR_MS for a, b in zip(one, other, strict=True))

    return type("Near", (library().LabelMatcher,), {"match": near})()
