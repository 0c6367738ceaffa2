"""Compares annotators with gold answers: the decisions of experts and adjudicators about the same audio."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from manifests.labels import load_labels
from manifests.records import Annotation, Task, Verdict
from manifests.time import Timeline
from manifests.verdicts import GOLD_METHODS

from .answers import Answers
from .bootstrap import Bootstrap, ratio
from .figures import Estimate, Measure
from .optional_imports import library
from .regions import Marks, marks, overlap


@dataclass(frozen=True)
class Gold:
    """The gold answer to a task; `marks` None if it does not locate the events.

    `disputed`: it was decided after annotators disagreed.
    """

    verdict: str | None
    reasons: frozenset[str]
    marks: Marks | None
    author: str
    disputed: bool


def known_answers(tasks: Mapping[str, Task], answers: Answers, verdicts: Iterable[Verdict]) -> dict[str, Gold]:
    """The gold answers by task: an annotation marked as gold, else a current verdict over the window.

    Of several verdicts the one over the shortest span counts, then the latest. "unsure" is no gold answer.
    """
    by_recording: dict[str, list[Verdict]] = defaultdict(list)
    rows = list(verdicts)
    superseded = {row.supersedes for row in rows}
    for row in rows:
        if row.method in GOLD_METHODS and row.decision != "unsure" and row.verdict_id not in superseded:
            by_recording[row.recording_id].append(row)
    gold: dict[str, Gold] = {}
    for key, task in sorted(tasks.items()):
        if key in answers.known:
            known = answers.known[key]
            if known.verdict != "unsure":
                regions = marks(task, known.regions)
                gold[key] = Gold(known.verdict, frozenset(known.reasons), regions, known.annotator, False)
            continue
        over = [v for v in by_recording[task.recording_id] if v.start_ms <= task.start_ms and task.end_ms <= v.end_ms]
        if over:
            best = min(over, key=lambda v: (v.end_ms - v.start_ms, -v.made_at.timestamp(), v.verdict_id))
            # a span is rejected as a whole: its events need no location
            is_located = best.decision == "keep" or best.excised
            excised = marks(task, best.excised) if is_located else None
            disputed = best.method == "adjudicator"
            gold[key] = Gold(best.decision, frozenset(best.reasons), excised, best.author, disputed)
    return gold


def against_gold(
    tasks: Mapping[str, Task], answers: Answers, known: Mapping[str, Gold], boot: Bootstrap
) -> dict[str, dict[Measure, Estimate]]:
    """By annotator, over the tasks with another person's gold answer.

    accuracy: share of right verdicts, with the Clopper-Pearson interval. reasons_f1: over all reasons of all tasks.
    gold_iou: seconds of contaminants that both mark by seconds that either marks, label by label.
    """
    measured: dict[str, list[tuple[Annotation, Task, Gold]]] = defaultdict(list)
    for key, gold in known.items():
        for name, answer in answers.by_task.get(key, {}).items():
            if name != gold.author and tasks[key].purpose != "adjudicate":
                measured[name].append((answer, tasks[key], gold))
    return {
        name: {"accuracy": _accuracy(rows), "reasons_f1": _reasons(rows, boot), "gold_iou": _regions(rows, boot)}
        for name, rows in sorted(measured.items())
    }


def exact_interval(right: int, of: int) -> tuple[float, float]:
    """The 95 % Clopper-Pearson interval of a share."""
    interval = library().binomtest(right, of).proportion_ci(0.95, method="exact")
    return float(interval.low), float(interval.high)


def _accuracy(rows: list[tuple[Annotation, Task, Gold]]) -> Estimate:
    judged = [(answer, gold) for answer, _, gold in rows if answer.verdict is not None and gold.verdict is not None]
    if not judged:
        return Estimate(None, note="no task with a gold verdict")
    right = sum(answer.verdict == gold.verdict for answer, gold in judged)
    disputed = sum(gold.disputed for _, gold in judged)
    note = f"{disputed} of {len(judged)} tasks were adjudicated after annotators disagreed" if disputed else None
    return Estimate(right / len(judged), *exact_interval(right, len(judged)), len(judged), note)


def _reasons(rows: list[tuple[Annotation, Task, Gold]], boot: Bootstrap) -> Estimate:
    pairs = [(set(answer.reasons), gold.reasons) for answer, _, gold in rows]
    terms = [(2.0 * len(given & wanted), len(given) + len(wanted)) for given, wanted in pairs if given or wanted]
    return _ratio(terms, boot, "no reasons in the answers or the gold answers")


def _regions(rows: list[tuple[Annotation, Task, Gold]], boot: Bootstrap) -> Estimate:
    contaminants, nothing, terms = load_labels().contaminants, Timeline(), []
    for answer, task, gold in rows:
        if gold.marks is not None:
            given = marks(task, answer.regions)
            parts = [overlap(given.get(c, nothing), gold.marks.get(c, nothing)) for c in contaminants]
            shared, union = (sum(column) for column in zip(*parts, strict=True))
            if union:
                terms.append((shared, union))
    return _ratio(terms, boot, "no contaminants marked in the answers or the gold answers")


def _ratio(terms: Sequence[tuple[float, float]], boot: Bootstrap, nothing: str) -> Estimate:
    if not terms:
        return Estimate(None, note=nothing)
    return boot.estimate(np.array(terms, np.float64), lambda sums: ratio(sums[..., 0], sums[..., 1]))
