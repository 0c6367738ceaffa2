"""Collects votes: one answer per window and person; adjudicators' answers are separate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from manifests.annotations import age, counted
from manifests.labels import load_labels
from manifests.records import Annotation, Judgement, Region, Task
from manifests.time import to_ms

from ..tasks.windows import Window, window_of

JUDGEMENTS: tuple[Judgement, ...] = get_args(Judgement)

Span = tuple[int, int]
"""[start, end) in whole milliseconds of a recording."""
Marks = Mapping[str, tuple[Span, ...]]
"""By contaminant, the spans that one person marked; none is empty, in order of time."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's answer about a window; `marks` are cut at its ends. `made_at`: the time of its last change."""

    annotator: str
    judgement: Judgement
    reasons: tuple[str, ...]
    marks: Marks
    made_at: datetime


@dataclass(frozen=True)
class Votes:
    """The votes by window and annotator, and the adjudicators' answers by window.

    Left out, besides older versions, skipped tasks and deleted answers: `edited_by_other`, rewritten by another person;
    `unanswered`, without a valid verdict; `unplanned`, to tasks that are not in the table.
    """

    by_window: Mapping[Window, Mapping[str, Vote]]
    adjudicated: Mapping[Window, Vote]
    edited_by_other: tuple[Annotation, ...] = ()
    unanswered: tuple[Annotation, ...] = ()
    unplanned: tuple[Annotation, ...] = ()


def collect_votes(tasks: Iterable[Task], annotations: Iterable[Annotation]) -> Votes:
    """The votes among all versions of all annotations.

    `manifests.annotations.counted` chooses the answers; of several answers of one person about one window, for any
    purpose, the latest is the vote.
    """
    by_key = {task.task_key: task for task in tasks}
    chosen = counted(annotations)
    edited_by_other = [row for row in chosen.rewritten if row.state == "submitted"]
    by_window: dict[Window, dict[str, Vote]] = defaultdict(dict)
    adjudicated: dict[Window, Vote] = {}
    unanswered = []
    for row in chosen.answers:
        if row.task_key not in by_key:
            continue
        if row.verdict not in JUDGEMENTS:
            unanswered.append(row)
            continue
        task = by_key[row.task_key]
        window = window_of(task)
        vote = Vote(
            annotator=row.annotator,
            judgement=row.verdict,
            reasons=tuple(sorted(set(row.reasons))),
            marks=_marks(window, row.regions),
            made_at=row.updated_at,
        )
        if task.purpose == "adjudicate":
            adjudicated[window] = vote  # rows are in order of age: the later one replaces the earlier
        else:
            by_window[window][row.annotator] = vote
    return Votes(
        by_window={window: dict(sorted(by_window[window].items())) for window in sorted(by_window)},
        adjudicated=dict(sorted(adjudicated.items())),
        edited_by_other=tuple(row for row in edited_by_other if row.task_key in by_key),
        unanswered=tuple(unanswered),
        unplanned=tuple(
            sorted((row for row in (*chosen.answers, *edited_by_other) if row.task_key not in by_key), key=age)
        ),
    )


def _marks(window: Window, regions: Iterable[Region]) -> dict[str, tuple[Span, ...]]:
    marks: dict[str, list[Span]] = {label: [] for label in load_labels().contaminants}
    for region in regions:
        start, end = max(to_ms(region.start), window.start_ms), min(to_ms(region.end), window.end_ms)
        if region.label in marks and start < end:
            marks[region.label].append((start, end))
    return {label: tuple(sorted(spans)) for label, spans in marks.items() if spans}
