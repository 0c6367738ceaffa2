"""Tasks and answers made by hand for the tests of consensus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from manifests.records import Annotation, AnnotationState, Purpose, Region, Task

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
Said = tuple[float, float, str]


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def a_task(
    start_ms: int = 0,
    end_ms: int = 60_000,
    purpose: Purpose = "agreement",
    span: tuple[int, int] | None = None,
    recording: str = "r1",
) -> Task:
    first, last = (start_ms, end_ms) if span is None else span
    return Task(
        task_key=f"{recording}-{start_ms}-{end_ms}-{purpose}-{first}-{last}",
        purpose=purpose,
        round=1,
        recording_id=recording,
        start_ms=start_ms,
        end_ms=end_ms,
        span_start_ms=first,
        span_end_ms=last,
        prelabelled=purpose == "label",
        has_picture=True,
        annotators=3,
        priority=0.5,
        why="made by hand",
        recipe_hash="h",
        planned_at=NOON,
    )


def regions(said: Iterable[Said]) -> tuple[Region, ...]:
    return tuple(
        Region(region_id=f"{label}-{start}", start=start, end=end, label=label, origin="manual")
        for start, end, label in said
    )


def an_answer(
    task: Task,
    annotator: str,
    verdict: str | None = "keep",
    reasons: Sequence[str] = (),
    marked: Iterable[Said] = (),
    *,
    minutes: float = 0,
    pulled: float | None = None,
    state: AnnotationState = "submitted",
    edited_by_other: bool = False,
    answer_id: str | None = None,
) -> Annotation:
    """Changed `minutes` after noon, pulled `pulled` minutes after it; `marked` in seconds of the recording."""
    name = f"{task.task_key}-{annotator}" if answer_id is None else answer_id
    pulled = minutes if pulled is None else pulled
    return Annotation(
        version_id=f"{name}-{minutes}-{pulled}",
        annotation_id=name,
        task_key=task.task_key,
        recording_id=task.recording_id,
        start_ms=task.start_ms,
        end_ms=task.end_ms,
        annotator=annotator,
        updated_by="somebody else" if edited_by_other else annotator,
        edited_by_other=edited_by_other,
        state=state,
        ground_truth=False,
        verdict=verdict,
        reasons=tuple(reasons),
        regions=regions(marked),
        created_at=NOON,
        updated_at=at(minutes),
        pulled_at=at(pulled),
        result="{}",
    )
