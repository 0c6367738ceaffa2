"""Annotations: every version ever seen is kept; which one counts, and whose it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from .records import Annotation

_SAID = ("annotator", "task_key", "state", "verdict", "reasons", "caption", "av_sync", "regions")


def age(row: Annotation) -> tuple[datetime, datetime, str]:
    """What versions of one annotation are ordered by: the largest counts."""
    return row.updated_at, row.pulled_at, row.version_id


def histories(rows: Iterable[Annotation]) -> list[list[Annotation]]:
    """The versions of each annotation, the one that counts last; annotations in the order of those."""
    versions: dict[str, list[Annotation]] = defaultdict(list)
    for row in rows:
        versions[row.annotation_id].append(row)
    return sorted((sorted(own, key=age) for own in versions.values()), key=lambda own: age(own[-1]))


def latest_versions(rows: Iterable[Annotation]) -> dict[str, Annotation]:
    """The version of each annotation that counts, by annotation_id."""
    return {history[-1].annotation_id: history[-1] for history in histories(rows)}


def is_own(history: Sequence[Annotation]) -> bool:
    """Whether the version that counts says what its annotator said.

    Somebody else may have written it anew without changing what it says, as whoever marks it as a known answer does.
    """
    *before, last = history
    return not last.edited_by_other or any(_same(last, row) for row in before if not row.edited_by_other)


def _same(one: Annotation, other: Annotation) -> bool:
    return all(getattr(one, field) == getattr(other, field) for field in _SAID)
