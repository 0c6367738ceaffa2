"""From spans to tasks: windows that a labelling page can show, and the key that makes a task itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from manifests.identity import digest
from manifests.records import Purpose, Task

MAX_MS = 180_000  # a page with longer media hangs
OVERLAP_MS = 2_000  # so that a word on a border is heard whole in one window


def windows(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """The fewest windows of at most 180 s, alike in length, that cover the span and overlap their neighbours by 2 s."""
    length = end_ms - start_ms
    count = 1 if length <= MAX_MS else math.ceil((length - OVERLAP_MS) / (MAX_MS - OVERLAP_MS))
    step = (length - OVERLAP_MS) / count
    for index in range(count):
        first = start_ms + round(index * step)
        last = start_ms + round((index + 1) * step) + OVERLAP_MS
        yield first, end_ms if index == count - 1 else last


def task_key(recording_id: str, start_ms: int, end_ms: int, purpose: Purpose, round: int, prelabelled: bool) -> str:
    """What makes a task itself, wherever it is shown; one span may have several, for several purposes."""
    return digest("task", recording_id, start_ms, end_ms, purpose, round, prelabelled)


def prelabel_counts(tasks: Iterable[Task]) -> dict[str, int]:
    """How many regions each pre-labelled task was sent with, by its key."""
    return {task.task_key: len(task.prelabels) for task in tasks if task.prelabelled and task.purpose == "label"}
