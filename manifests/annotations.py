"""Annotations: every version ever seen is kept; which one counts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from .records import Annotation


def age(row: Annotation) -> tuple[datetime, datetime, str]:
    """What versions of one annotation are ordered by: the largest counts."""
    return row.updated_at, row.pulled_at, row.version_id


def latest_versions(rows: Iterable[Annotation]) -> dict[str, Annotation]:
    """The version of each annotation that counts, by annotation_id."""
    latest: dict[str, Annotation] = {}
    for row in rows:
        known = latest.get(row.annotation_id)
        if known is None or age(row) >= age(known):
            latest[row.annotation_id] = row
    return latest
