"""Which annotations count: the latest version of each, submitted, its annotator's own, one a person and task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manifests.annotations import histories, is_own
from manifests.records import Annotation, Task


@dataclass(frozen=True)
class Answers:
    """What people answered. `by_task`: by task and annotator, without known answers. `known`: those, by task.

    `edited_by_other`: annotations whose latest version somebody else wrote. `skipped`: by annotator, tasks skipped.
    `unplanned`: annotations of tasks that are not in the table.
    """

    by_task: Mapping[str, Mapping[str, Annotation]]
    known: Mapping[str, Annotation]
    edited_by_other: tuple[Annotation, ...]
    skipped: Mapping[str, int]
    unplanned: int


def collect(tasks: Mapping[str, Task], annotations: Iterable[Annotation]) -> Answers:
    """The answers to `tasks`, given by key, among all versions of all annotations.

    Whoever only marks an answer as the known one rewrites it too: with the same content as a version that was the
    annotator's own, it is not edited by another. A known answer is a measure for others and no vote.
    """
    by_task: dict[str, dict[str, Annotation]] = defaultdict(dict)
    known: dict[str, Annotation] = {}
    edited_by_other: list[Annotation] = []
    skips: dict[str, set[str]] = defaultdict(set)
    unplanned = 0
    for history in histories(annotations):
        last = history[-1]
        if last.state == "deleted":
            continue
        if last.task_key not in tasks:
            unplanned += 1
        elif not is_own(history):
            edited_by_other.append(last)
        elif last.state == "skipped":
            skips[last.annotator].add(last.task_key)
        elif last.ground_truth:
            known[last.task_key] = last
        else:
            by_task[last.task_key][last.annotator] = last  # the later one of the same person takes the place
    return Answers(
        by_task={key: dict(sorted(by_task[key].items())) for key in sorted(by_task)},
        known=known,
        edited_by_other=tuple(
            sorted(edited_by_other, key=lambda row: (row.annotator, row.task_key, row.annotation_id))
        ),
        skipped={name: sum(name not in by_task.get(key, {}) for key in keys) for name, keys in sorted(skips.items())},
        unplanned=unplanned,
    )
