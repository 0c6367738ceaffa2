"""Collects one answer per task and annotator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manifests.annotations import counted
from manifests.records import Annotation, Task


@dataclass(frozen=True)
class Answers:
    """The annotators' answers. `by_task`: by task and annotator, without gold answers. `known`: gold answers, by task.

    `edited_by_other`: annotations that another person rewrote. `skipped`: number of skipped tasks, by annotator.
    `unplanned`: number of annotations of tasks that are not in the table.
    """

    by_task: Mapping[str, Mapping[str, Annotation]]
    known: Mapping[str, Annotation]
    edited_by_other: tuple[Annotation, ...]
    skipped: Mapping[str, int]
    unplanned: int


def collect(tasks: Mapping[str, Task], annotations: Iterable[Annotation]) -> Answers:
    """The answers to `tasks`, given by key, among all versions of all annotations.

    `manifests.annotations.counted` chooses them. A gold answer is a reference for others and no vote.
    """
    chosen = counted(annotations)
    by_task: dict[str, dict[str, Annotation]] = defaultdict(dict)
    known: dict[str, Annotation] = {}
    for row in chosen.answers:
        if row.task_key in tasks and row.ground_truth:
            known[row.task_key] = row
        elif row.task_key in tasks:
            by_task[row.task_key][row.annotator] = row  # the later answer of the same person replaces the earlier
    skips: dict[str, set[str]] = defaultdict(set)
    for row in chosen.skipped:
        if row.task_key in tasks:
            skips[row.annotator].add(row.task_key)
    edited_by_other = [row for row in chosen.rewritten if row.task_key in tasks]
    return Answers(
        by_task={key: dict(sorted(by_task[key].items())) for key in sorted(by_task)},
        known=known,
        edited_by_other=tuple(
            sorted(edited_by_other, key=lambda row: (row.annotator, row.task_key, row.annotation_id))
        ),
        skipped={name: sum(name not in by_task.get(key, {}) for key in keys) for name, keys in sorted(skips.items())},
        unplanned=sum(row.task_key not in tasks for row in (*chosen.answers, *chosen.skipped, *chosen.rewritten)),
    )
