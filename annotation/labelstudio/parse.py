"""Parses the server's answers into records: one per version of an annotation, with times on the recording's clock."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

from manifests.identity import digest
from manifests.records import Annotation, Origin, Region, Task
from manifests.time import from_ms, to_ms

_ORIGINS: dict[str, Origin] = {name: name for name in get_args(Origin)}


def annotation_of(
    answer: Mapping[str, Any], task: Task, people: Mapping[int, str], pulled_at: datetime
) -> tuple[Annotation, list[str]]:
    """The record of an exported annotation, and its unreadable parts; `result` contains those, too.

    Regions are in seconds of the recording, on whole milliseconds, cut at the task's window.
    """
    results = list(answer.get("result") or [])
    regions, problems = _regions(results, task)
    annotator, updated_by = _person(answer.get("completed_by"), people), _person(answer.get("updated_by"), people)
    whole = [one for one in results if one.get("type") != "labels"]
    verdict = _choices(whole, "verdict")
    rating = _value(whole, "av_sync", "rating")
    caption = _value(whole, "caption", "text")
    text = json.dumps(results, sort_keys=True, ensure_ascii=False)
    record = Annotation(
        version_id="",
        annotation_id=str(answer["unique_id"]),
        task_key=task.task_key,
        recording_id=task.recording_id,
        start_ms=task.start_ms,
        end_ms=task.end_ms,
        annotator=annotator or "unknown",
        updated_by=updated_by,
        edited_by_other=updated_by is not None and updated_by != annotator,
        state="skipped" if answer.get("was_cancelled") else "submitted",
        ground_truth=bool(answer.get("ground_truth")),
        verdict=verdict[0] if len(verdict) == 1 else None,
        reasons=tuple(_choices(whole, "reasons")),
        caption=_joined(caption),
        av_sync=int(rating) if isinstance(rating, int | float) else None,
        regions=tuple(regions),
        lead_time=answer.get("lead_time"),
        created_at=_instant(answer["created_at"]),
        updated_at=_instant(answer["updated_at"]),
        pulled_at=pulled_at,
        result=text,
    )
    return named(record), problems


def named(record: Annotation) -> Annotation:
    """The record with its id, a digest of its content, so that the same version pulled again is the same row."""
    content = record.annotator, record.updated_by, record.state, record.ground_truth, record.lead_time, record.result
    return replace(record, version_id=digest(record.annotation_id, record.updated_at.isoformat(), *content))


def _regions(results: Iterable[Mapping[str, Any]], task: Task) -> tuple[list[Region], list[str]]:
    regions, problems = [], []
    results = list(results)
    for one in results:
        if one.get("type") != "labels":
            continue
        value, name = one.get("value", {}), f"task {task.task_key}: region {one.get('id')}"
        start, end, labels = value.get("start"), value.get("end"), value.get("labels") or []
        if not all(isinstance(t, int | float) and math.isfinite(t) for t in (start, end)):
            problems.append(f"{name} from {start} to {end} s: the times must be finite")
            continue
        first = max(to_ms(start) + task.start_ms, task.start_ms)
        last = min(to_ms(end) + task.start_ms, task.end_ms)
        if first >= last or len(labels) != 1:
            problems.append(
                f"{name} from {start} to {end} s with labels {labels}: it must not be empty and must have one label"
            )
            continue
        beside = [other for other in results if other.get("id") == one.get("id") and other is not one]
        presence = _choices(beside, "presence")
        regions.append(
            Region(
                region_id=str(one.get("id")),
                start=from_ms(first),
                end=from_ms(last),
                label=str(labels[0]),
                origin=_ORIGINS.get(str(one.get("origin")), "manual"),
                presence=presence[0] if presence else None,
                description=_joined(_value(beside, "event_desc", "text")),
            )
        )
    return sorted(regions, key=lambda region: (region.start, region.end, region.label, region.region_id)), problems


def _choices(results: Iterable[Mapping[str, Any]], name: str) -> list[str]:
    chosen = _value(results, name, "choices")
    return [str(one) for one in chosen] if isinstance(chosen, list) else []


def _value(results: Iterable[Mapping[str, Any]], name: str, key: str) -> Any:
    return next((one.get("value", {}).get(key) for one in results if one.get("from_name") == name), None)


def _joined(text: object) -> str | None:
    lines = [str(one) for one in text] if isinstance(text, list) else [] if text is None else [str(text)]
    return "\n".join(lines).strip() or None


def _person(who: object, people: Mapping[int, str]) -> str | None:
    """An e-mail address, or the server's user number if no user has it any more."""
    if isinstance(who, Mapping):
        who = who.get("id")
    return None if who is None else people.get(int(str(who)), f"user {who}")


def _instant(text: object) -> datetime:
    return datetime.fromisoformat(str(text).replace("Z", "+00:00")).astimezone(UTC)
