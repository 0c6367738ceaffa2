"""Adjudication: converts answers into verdicts, and sends conflicts to an adjudicator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from curation.runner.progress import ProgressCallback
from manifests.labels import load_labels
from manifests.lock import exclusive
from manifests.records import Annotation, LabelledSegment, Task, Verdict
from manifests.store import Corpus
from manifests.verdicts import merge_parts, record

from ..agreement.answers import collect
from ..agreement.gold import known_answers
from ..consensus import (
    Conflict,
    ConsensusSettings,
    Incomplete,
    Window,
    collect_votes,
    decide,
    group_spans,
    new_verdicts,
    window_of,
)
from ..labelstudio.client import Server
from ..tasks.routing import Candidate, inside, span_tasks
from .push import Delivery, deliver


@dataclass(frozen=True)
class Adjudicated:
    """The result of an adjudication: rows written, what is still open, and the tasks sent to an adjudicator."""

    verdicts: tuple[Verdict, ...]
    conflicts: tuple[Conflict, ...]
    incomplete: tuple[Incomplete, ...]
    delivery: Delivery | None


def adjudicate(
    corpus: Corpus,
    settings: ConsensusSettings,
    server: Server | None = None,
    *,
    workers: int = 1,
    media_url: str | None = None,
    on_progress: ProgressCallback | None = None,
) -> Adjudicated:
    """Write the verdicts of the annotations, and send conflicts to the adjudicator's project on `server`.

    Without a server conflicts are only returned. Verdicts are written even if sending fails.
    """
    with exclusive(corpus.path / ".annotation.lock", "annotate"):
        with corpus.lock("annotate adjudicate"):
            recipe = corpus.active_recipe()  # read under the lock, which finishes the commit of a killed writer
        tasks = list(corpus.rows(Task))
        annotations = list(corpus.rows(Annotation))
        existing = list(corpus.rows(Verdict))
        votes = collect_votes(tasks, annotations)
        results = decide(votes, settings, gold_counts(tasks, annotations, existing))
        spans = group_spans([task for task in tasks if task.purpose != "adjudicate"], results)
        rows = new_verdicts(spans, existing)
        conflicts = [one for one in results.values() if isinstance(one, Conflict)]
        open_tasks = _conflict_tasks(conflicts, tasks, annotations, recipe.hash)
        known = {task.task_key for task in tasks}
        with corpus.lock("annotate adjudicate"):
            with corpus.commit("lpse annotate adjudicate") as change:
                record(corpus, rows, change)
                change.append("tasks", [task for task in open_tasks if task.task_key not in known])
            merge_parts(corpus)
        delivery = None
        if server is not None and open_tasks:
            server.whoami()
            delivery = deliver(
                corpus, server, open_tasks, recipe, workers=workers, media_url=media_url, on_progress=on_progress
            )
    return Adjudicated(tuple(rows), tuple(conflicts), spans.incomplete, delivery)


def gold_counts(
    tasks: Iterable[Task], annotations: Iterable[Annotation], verdicts: Iterable[Verdict]
) -> dict[str, tuple[int, int]]:
    """By annotator, right verdicts and number of answers to tasks with another person's gold answer."""
    by_key = {task.task_key: task for task in tasks}
    answers = collect(by_key, annotations)
    right: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    for key, gold in known_answers(by_key, answers, verdicts).items():
        if by_key[key].purpose == "adjudicate" or gold.verdict is None:
            continue
        for name, answer in answers.by_task.get(key, {}).items():
            if name != gold.author and answer.verdict is not None:
                judged[name] += 1
                right[name] += answer.verdict == gold.verdict
    return {name: (right[name], of) for name, of in judged.items()}


def _conflict_tasks(
    conflicts: Sequence[Conflict], tasks: Sequence[Task], annotations: Sequence[Annotation], recipe_hash: str
) -> list[Task]:
    """A task for an adjudicator per conflict, with all that the annotators marked; an unanswered one is reused.

    A conflict that begins again after it was settled gets a new task.
    """
    of_window: dict[Window, list[Task]] = {}
    for task in tasks:
        of_window.setdefault(window_of(task), []).append(task)
    by_key = {task.task_key: task for task in tasks}
    answers = collect(by_key, annotations)
    planned_at = datetime.now(UTC)
    made = []
    for conflict in conflicts:
        of_conflict = of_window[conflict.window]
        before = [task for task in of_conflict if task.purpose == "adjudicate"]
        unanswered = [task for task in before if not answers.by_task.get(task.task_key)]
        if unanswered:
            made.append(max(unanswered, key=lambda task: task.round))
            continue
        others = [task for task in of_conflict if task.purpose != "adjudicate"]
        given = {name: row for task in others for name, row in answers.by_task.get(task.task_key, {}).items()}
        window = Candidate(**conflict.window._asdict(), priority=1.0, why=conflict.cause)
        picture = any(task.has_picture for task in others)
        (task,) = span_tasks(window, "adjudicate", len(before) + 1, 1, picture, recipe_hash, planned_at)
        first = others[0]
        made.append(
            replace(
                task,
                span_start_ms=first.span_start_ms,
                span_end_ms=first.span_end_ms,
                prelabels=inside(_marked(given), task),
                votes=_described(conflict, given),
            )
        )
    return made


def _marked(answers: Mapping[str, Annotation]) -> list[LabelledSegment]:
    """The contaminants that any annotator marked."""
    contaminants = load_labels().contaminants
    return [
        LabelledSegment(start=region.start, end=region.end, label=region.label)
        for row in answers.values()
        for region in row.regions
        if region.label in contaminants
    ]


def _described(conflict: Conflict, answers: Mapping[str, Annotation]) -> str:
    """The answers without names: the adjudicator should not know the authors."""
    lines = [f"In conflict: {conflict.cause}."]
    for number, (_, row) in enumerate(sorted(answers.items()), 1):
        reasons = f" ({', '.join(row.reasons)})" if row.reasons else ""
        marks = ", ".join(
            f"{one.label} {one.start - row.segment.start:.1f}–{one.end - row.segment.start:.1f} s"
            for one in row.regions
            if one.label in load_labels().contaminants
        )
        lines.append(
            f"Annotator {number}: {row.verdict or 'no verdict'}{reasons}{'; marked ' + marks if marks else ''}"
        )
    return "\n".join(lines)
