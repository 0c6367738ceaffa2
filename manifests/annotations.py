"""Annotations: every version ever pulled is kept; `counted` is the one rule by which versions count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from .records import Annotation

_SAID = ("annotator", "task_key", "state", "verdict", "reasons", "caption", "av_sync", "regions")


@dataclass(frozen=True)
class Counted:
    """The latest versions of all annotations that were not deleted, in three groups, the oldest first.

    `answers` count: submitted, and the annotator's own. `skipped`: the annotator skipped the task. `rewritten`: another
    person changed the content, so they do not count.
    """

    answers: tuple[Annotation, ...]
    skipped: tuple[Annotation, ...]
    rewritten: tuple[Annotation, ...]


def counted(rows: Iterable[Annotation]) -> Counted:
    """Select the annotations that count from all versions of all annotations. No other code decides this.

    The latest version of an annotation counts if it is submitted and the annotator's own. It remains their own if
    another person saved it last with the content of one of the annotator's versions: marking an answer as gold saves
    such a version.
    """
    answers: list[Annotation] = []
    skipped: list[Annotation] = []
    rewritten: list[Annotation] = []
    for history in histories(rows):
        last = history[-1]
        if last.state == "deleted":
            continue
        if not is_own(history):
            rewritten.append(last)
        elif last.state == "skipped":
            skipped.append(last)
        else:
            answers.append(last)
    return Counted(tuple(answers), tuple(skipped), tuple(rewritten))


def age(row: Annotation) -> tuple[datetime, datetime, str]:
    """The order of the versions of one annotation: the largest is the latest."""
    return row.updated_at, row.pulled_at, row.version_id


def histories(rows: Iterable[Annotation]) -> list[list[Annotation]]:
    """The versions of each annotation, the latest last; annotations in the order of their latest versions."""
    versions: dict[str, list[Annotation]] = defaultdict(list)
    for row in rows:
        versions[row.annotation_id].append(row)
    return sorted((sorted(own, key=age) for own in versions.values()), key=lambda own: age(own[-1]))


def latest_versions(rows: Iterable[Annotation]) -> dict[str, Annotation]:
    """The latest version of each annotation, by annotation_id, whether it counts or not."""
    return {history[-1].annotation_id: history[-1] for history in histories(rows)}


def is_own(history: Sequence[Annotation]) -> bool:
    """True if the latest version has the content of one that the annotator wrote."""
    *before, last = history
    return not last.edited_by_other or any(_same(last, row) for row in before if not row.edited_by_other)


def _same(one: Annotation, other: Annotation) -> bool:
    return all(getattr(one, field) == getattr(other, field) for field in _SAID)
