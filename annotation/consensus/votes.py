"""Which answers count: by window, one vote a person; what adjudicators said stands apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, get_args

from manifests.annotations import histories, is_own
from manifests.labels import load_labels
from manifests.records import Annotation, Judgement, Region, Task
from manifests.time import to_ms

JUDGEMENTS: tuple[Judgement, ...] = get_args(Judgement)

Span = tuple[int, int]
"""[start, end) in whole milliseconds of a recording."""
Marks = Mapping[str, tuple[Span, ...]]
"""By contaminant, the spans that one person marked; never empty ones, in order of time."""


class Window(NamedTuple):
    """A stretch of a recording that people hear: what a task asks for, or a span, which may take several windows."""

    recording_id: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's answer about a window; `marks` end where the window ends. `made_at`: when it was last changed."""

    annotator: str
    judgement: Judgement
    reasons: tuple[str, ...]
    marks: Marks
    made_at: datetime


@dataclass(frozen=True)
class Votes:
    """The votes by window and annotator, and the adjudicators' answers by window.

    Left out, besides older versions, skipped tasks and deleted answers: `edited_by_other`, last written by another
    person; `unanswered`, without a known verdict; `unplanned`, to tasks that are not in the table.
    """

    by_window: Mapping[Window, Mapping[str, Vote]]
    adjudicated: Mapping[Window, Vote]
    edited_by_other: tuple[Annotation, ...] = ()
    unanswered: tuple[Annotation, ...] = ()
    unplanned: tuple[Annotation, ...] = ()


def window_of(task: Task) -> Window:
    """The window that a task asks to hear."""
    return Window(task.recording_id, task.start_ms, task.end_ms)


def collect_votes(tasks: Iterable[Task], annotations: Iterable[Annotation]) -> Votes:
    """The votes among all versions of all annotations.

    Of an annotation the latest version counts, when it is submitted and its annotator's own; of several answers of one
    person about one window, whatever the tasks' purposes, the latest. Whoever only marks an answer as the known one
    writes it anew: a version that says what an earlier one of the annotator's own said is not edited_by_other.
    """
    asked = {task.task_key: task for task in tasks}
    by_window: dict[Window, dict[str, Vote]] = defaultdict(dict)
    adjudicated: dict[Window, Vote] = {}
    edited_by_other, unanswered, unplanned = [], [], []
    for history in histories(annotations):
        last = history[-1]
        if last.state != "submitted":
            continue
        if last.task_key not in asked:
            unplanned.append(last)
        elif not is_own(history):
            edited_by_other.append(last)
        elif last.verdict not in JUDGEMENTS:
            unanswered.append(last)
        else:
            task = asked[last.task_key]
            window = window_of(task)
            vote = Vote(
                annotator=last.annotator,
                judgement=last.verdict,
                reasons=tuple(sorted(set(last.reasons))),
                marks=_marks(window, last.regions),
                made_at=last.updated_at,
            )
            if task.purpose == "adjudicate":
                adjudicated[window] = vote  # rows come in order of age: the later one takes the place
            else:
                by_window[window][last.annotator] = vote
    return Votes(
        by_window={window: dict(sorted(by_window[window].items())) for window in sorted(by_window)},
        adjudicated=dict(sorted(adjudicated.items())),
        edited_by_other=tuple(edited_by_other),
        unanswered=tuple(unanswered),
        unplanned=tuple(unplanned),
    )


def _marks(window: Window, regions: Iterable[Region]) -> dict[str, tuple[Span, ...]]:
    found: dict[str, list[Span]] = {label: [] for label in load_labels().contaminants}
    for region in regions:
        start, end = max(to_ms(region.start), window.start_ms), min(to_ms(region.end), window.end_ms)
        if region.label in found and start < end:
            found[region.label].append((start, end))
    return {label: tuple(sorted(spans)) for label, spans in found.items() if spans}
