"""Annotators that nobody paid: they hear made-up windows and err as often as they are told to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import numpy as np

from manifests.records import Annotation, Judgement, LabelledSegment, Origin, Purpose, Region, Task, Verdict
from manifests.time import from_ms

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
JUDGEMENTS: tuple[Judgement, ...] = get_args(Judgement)
CONTAMINANTS = ("speech", "music", "singing")


@dataclass(frozen=True)
class Person:
    """`wrong`, `misses`: shares of verdicts and regions. `jitter`: of a region's ends, in seconds (standard deviation).

    `off`: share of sync ratings one step away. `trusts`: share of pre-labels taken over unchanged. `pace`: seconds of
    work for a minute of sound.
    """

    name: str
    wrong: float = 0.1
    misses: float = 0.1
    jitter: float = 0.1
    off: float = 0.3
    trusts: float = 0.7
    pace: float = 90.0


@dataclass(frozen=True)
class Truth:
    """What is to be heard in a window."""

    verdict: Judgement
    reasons: tuple[str, ...]
    av_sync: int | None
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class MadeUp:
    """The tables, how many regions each pre-labelled task was sent with, and the truth by task."""

    tasks: tuple[Task, ...]
    annotations: tuple[Annotation, ...]
    verdicts: tuple[Verdict, ...]
    predicted: dict[str, int]
    truth: dict[str, Truth]


def make_up(
    people: Sequence[Person],
    blind: int = 24,
    prelabelled: int = 0,
    gold: int = 0,
    seed: int = 0,
    each: int | None = None,
) -> MadeUp:
    """Everybody (or `each` of them, by turns) on `blind`, `prelabelled` and `gold` tasks; gold ones have verdicts."""
    rng = np.random.default_rng(seed)
    wanted: list[tuple[Purpose, int]] = [("agreement", blind), ("label", prelabelled), ("gold", gold)]
    purposes = [purpose for purpose, count in wanted for _ in range(count)]
    tasks, annotations, verdicts, truths = [], [], [], {}
    for number, purpose in enumerate(purposes):
        task = a_task(f"task{number:03d}", purpose, length_ms=int(rng.integers(60_000, 180_001)))
        truth = _truth(task, rng)
        tasks.append(task)
        truths[task.task_key] = truth
        here = people if each is None else [people[(number + turn) % len(people)] for turn in range(each)]
        annotations += [_answer(person, task, truth, rng) for person in here]
        if purpose == "gold":
            verdicts.append(a_verdict(task, truth))
    predicted = {task.task_key: len(truths[task.task_key].regions) for task in tasks if task.prelabelled}
    return MadeUp(tuple(tasks), tuple(annotations), tuple(verdicts), predicted, truths)


def a_task(key: str, purpose: Purpose = "agreement", start_ms: int = 30_000, length_ms: int = 120_000) -> Task:
    """A window of a recording of its own."""
    return Task(
        task_key=key,
        purpose=purpose,
        round=1,
        recording_id=f"r-{key}",
        start_ms=start_ms,
        end_ms=start_ms + length_ms,
        span_start_ms=start_ms,
        span_end_ms=start_ms + length_ms,
        prelabelled=purpose == "label",
        has_picture=True,
        annotators=3,
        priority=0.5,
        why="made up",
        recipe_hash="h",
        planned_at=NOON,
    )


def an_answer(
    task: Task,
    annotator: str,
    verdict: str | None = "keep",
    reasons: Sequence[str] = (),
    *,
    regions: Sequence[Region] = (),
    av_sync: int | None = None,
    lead_time: float | None = None,
    minutes: int = 0,
) -> Annotation:
    """A submitted answer, `minutes` after noon."""
    when = NOON + timedelta(minutes=minutes)
    said = {"verdict": verdict, "reasons": [*reasons], "av_sync": av_sync, "regions": [asdict(r) for r in regions]}
    return Annotation(
        version_id=f"v-{task.task_key}-{annotator}-{minutes}",
        annotation_id=f"a-{task.task_key}-{annotator}",
        task_key=task.task_key,
        recording_id=task.recording_id,
        start_ms=task.start_ms,
        end_ms=task.end_ms,
        annotator=annotator,
        updated_by=annotator,
        edited_by_other=False,
        state="submitted",
        ground_truth=False,
        verdict=verdict,
        reasons=tuple(reasons),
        av_sync=av_sync,
        regions=tuple(regions),
        lead_time=lead_time,
        created_at=NOON,
        updated_at=when,
        pulled_at=when,
        result=json.dumps(said),
    )


def a_verdict(task: Task, truth: Truth) -> Verdict:
    """An expert's verdict over the task's window."""
    found = [LabelledSegment(start=r.start, end=r.end, label=r.label) for r in truth.regions if r.label in CONTAMINANTS]
    return Verdict(
        verdict_id=f"gold-{task.task_key}",
        recording_id=task.recording_id,
        start_ms=task.start_ms,
        end_ms=task.end_ms,
        decision=truth.verdict,
        reasons=truth.reasons,
        excised=tuple(found),
        method="expert",
        author="the expert",
        made_at=NOON,
    )


def a_region(start: float, end: float, label: str = "speech", origin: Origin = "manual") -> Region:
    """A region in seconds of the recording."""
    return Region(region_id=f"{label}{start}", start=start, end=end, label=label, origin=origin)


def _truth(task: Task, rng: np.random.Generator) -> Truth:
    """Half of the windows hold contaminants, one to three stretches of them; those are rejected."""
    start, end = from_ms(task.start_ms), from_ms(task.end_ms)
    regions = [a_region(round(start + 2, 3), round(end - 2, 3), "sfx")]
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 4)):
            label = str(rng.choice(CONTAMINANTS, p=[0.6, 0.3, 0.1]))
            first = rng.uniform(start, end - 20)
            regions.append(a_region(round(first, 3), round(first + rng.uniform(1, 15), 3), label))
    reasons = sorted({region.label for region in regions} - {"sfx"})
    if rng.random() < 0.1:
        reasons.append("noise_or_clipping")
    verdict: Judgement = "reject" if reasons else "keep"
    return Truth(verdict, tuple(reasons), int(rng.choice([1, 2, 3, 4, 5], p=[0.1, 0.1, 0.1, 0.2, 0.5])), tuple(regions))


def _answer(person: Person, task: Task, truth: Truth, rng: np.random.Generator) -> Annotation:
    verdict = truth.verdict
    if rng.random() < person.wrong:
        verdict = JUDGEMENTS[int(rng.choice([n for n, j in enumerate(JUDGEMENTS) if j != verdict]))]
    regions = []
    for region in truth.regions:
        if rng.random() < person.misses:
            continue
        if task.prelabelled and rng.random() < person.trusts:
            regions.append(replace(region, origin="prediction"))
            continue
        start, end = region.start + rng.normal(0, person.jitter), region.end + rng.normal(0, person.jitter)
        origin: Origin = "prediction-changed" if task.prelabelled else "manual"
        regions.append(
            replace(region, start=round(start, 3), end=max(round(end, 3), round(start, 3) + 0.1), origin=origin)
        )
    heard = [r for r in truth.reasons if r == "noise_or_clipping" or any(region.label == r for region in regions)]
    sync = truth.av_sync
    if sync is not None and rng.random() < person.off:
        sync = int(np.clip(sync + rng.choice([-1, 1]), 1, 5))
    return an_answer(
        task,
        person.name,
        verdict,
        () if verdict == "keep" else heard or ["other"],
        regions=regions,
        av_sync=sync,
        lead_time=round(person.pace * (task.end_ms - task.start_ms) / 60_000 * float(rng.lognormal(0, 0.35)), 1),
    )
