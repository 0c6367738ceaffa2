"""Divides spans into windows that a labelling page can show, and computes the keys of tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from manifests.identity import digest
from manifests.records import Purpose, Task

MAX_MS = 180_000  # a page with longer media hangs
OVERLAP_MS = 2_000  # so that a word on a border is complete in one window


class Window(NamedTuple):
    """A segment of a recording for annotation: a task's window, or a span, which may need several windows."""

    recording_id: str
    start_ms: int
    end_ms: int


def window_of(task: Task) -> Window:
    """The window of a task."""
    return Window(task.recording_id, task.start_ms, task.end_ms)


def windows(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """The fewest windows of at most 180 s and equal length that cover the span and overlap their neighbours by 2 s."""
    length = end_ms - start_ms
    count = 1 if length <= MAX_MS else math.ceil((length - OVERLAP_MS) / (MAX_MS - OVERLAP_MS))
    step = (length - OVERLAP_MS) / count
    for index in range(count):
        first = start_ms + round(index * step)
        last = start_ms + round((index + 1) * step) + OVERLAP_MS
        yield first, end_ms if index == count - 1 else last


def task_key(recording_id: str, start_ms: int, end_ms: int, purpose: Purpose, round: int, prelabelled: bool) -> str:
    """Content key of a task, the same wherever it is shown; a span may have several tasks, for several purposes."""
    return digest("task", recording_id, start_ms, end_ms, purpose, round, prelabelled)


def prelabel_counts(tasks: Iterable[Task]) -> dict[str, int]:
    """Number of regions that each pre-labelled task was sent with, by its key."""
    return {task.task_key: len(task.prelabels) for task in tasks if task.prelabelled and task.purpose == "label"}
