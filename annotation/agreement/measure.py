"""Computes all figures of agreement from the tables."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import TypeVar, get_args

from manifests.labels import load_labels
from manifests.records import Annotation, Judgement, Task, Verdict

from .ac1 import ac1, observed
from .alpha import alpha
from .answers import Answers, collect
from .bootstrap import Bootstrap
from .effort import acceptance, times
from .figures import About, Agreement, Estimate, Figure, Group, Measure
from .gold import against_gold, known_answers
from .pairs import count_matrix, kappas
from .regions import agreement_of_regions

Category = TypeVar("Category", bound=Hashable)
By = Mapping[str, Mapping[str, Annotation]]
SYNC = (1, 2, 3, 4, 5)


def measure_agreement(
    tasks: Iterable[Task],
    annotations: Iterable[Annotation],
    verdicts: Iterable[Verdict],
    *,
    predicted: Mapping[str, int] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Agreement:
    """Every figure that the tables allow; one that they do not allow has no value and a note with the reason.

    `predicted`: number of pre-labelled regions, by task key; without it their acceptance is not measured. Agreement is
    measured on tasks that two or more annotators answered, separately for tasks without pre-labels and with them:
    annotators with the same pre-labels agree with the detectors, not only with each other. Adjudication is not
    independent and counts only for working times. The order of the rows does not change the figures. Raises
    AgreementUnavailable if a package that the rows need is missing.
    """
    by_key = {task.task_key: task for task in tasks}
    answers = collect(by_key, annotations)
    boot = Bootstrap(draws, seed)
    figures = [
        *_counts(by_key, answers),
        *_together(by_key, answers, boot),
        *_against_gold(by_key, answers, verdicts, boot),
        *_work(by_key, answers, predicted or {}, boot),
    ]
    return Agreement(tuple(figures), draws, seed)


def _group(task: Task) -> Group:
    return "prelabelled" if task.prelabelled else "blind"


def _counts(tasks: Mapping[str, Task], answers: Answers) -> Iterator[Figure]:
    def count(name: str, number: int, group: Group = "all", annotator: str | None = None) -> Figure:
        return Figure.of(Estimate(float(number), units=number), "count", "work", name, group=group, annotator=annotator)

    people = sorted({name for given in answers.by_task.values() for name in given})
    yield count("annotators", len(people))
    yield count("annotations", sum(map(len, answers.by_task.values())))
    yield count("tasks", len(answers.by_task))
    yield count("unplanned", answers.unplanned)
    for group in ("blind", "prelabelled"):
        given_in = _of_group(tasks, answers, group)
        yield count("tasks", len(given_in), group)
        yield count("shared", sum(len(given) >= 2 for given in given_in.values()), group)
    for name in sorted({*people, *answers.skipped, *(row.annotator for row in answers.edited_by_other)}):
        yield count("tasks", sum(name in given for given in answers.by_task.values()), annotator=name)
        yield count("skipped", answers.skipped.get(name, 0), annotator=name)
        yield count("edited_by_other", sum(row.annotator == name for row in answers.edited_by_other), annotator=name)
    for row in answers.edited_by_other:
        edited = Estimate(1.0, units=1, note=f"annotation {row.annotation_id}")
        yield Figure.of(
            edited, "edited_by_other", "work", row.task_key, group="all", annotator=row.annotator, other=row.updated_by
        )


def _of_group(tasks: Mapping[str, Task], answers: Answers, group: Group) -> By:
    """The answers to the tasks of a group, without adjudication."""
    return {
        key: given
        for key, given in answers.by_task.items()
        if _group(tasks[key]) == group and tasks[key].purpose != "adjudicate"
    }


def _together(tasks: Mapping[str, Task], answers: Answers, boot: Bootstrap) -> Iterator[Figure]:
    for group in ("blind", "prelabelled"):
        shared = {key: given for key, given in _of_group(tasks, answers, group).items() if len(given) >= 2}
        if group == "prelabelled" and not shared:
            continue
        yield from _verdicts(tasks, shared, group, boot)
        sync = count_matrix(_values(shared, lambda answer: answer.av_sync), SYNC)
        yield Figure.of(alpha(sync, "ordinal", boot), "alpha", "av_sync", group=group)
        yield Figure.of(observed(sync, boot), "observed", "av_sync", group=group)
        for (label, one, other), estimates in agreement_of_regions(tasks, shared, load_labels().names, boot).items():
            for name, estimate in estimates.items():
                yield Figure.of(estimate, name, "label", label, group=group, annotator=one, other=other)


def _verdicts(tasks: Mapping[str, Task], shared: By, group: Group, boot: Bootstrap) -> Iterator[Figure]:
    """Agreement on the verdict, and on each reason that an annotator gave."""
    verdicts = _values(shared, lambda answer: answer.verdict)
    offered: tuple[str, ...] = get_args(Judgement)
    used = {verdict for given in verdicts.values() for verdict in given.values()}
    counts = count_matrix(verdicts, [*offered, *sorted(used - {*offered})])
    yield Figure.of(alpha(counts, "nominal", boot), "alpha", "verdict", group=group)
    yield Figure.of(ac1(counts, boot), "ac1", "verdict", group=group)
    yield Figure.of(observed(counts, boot), "observed", "verdict", group=group)
    for (one, other), kappa in kappas(verdicts).items():
        yield Figure.of(kappa, "kappa", "verdict", group=group, annotator=one, other=other)
    reasons = load_labels().reasons
    for reason in sorted(
        {reason for given in shared.values() for answer in given.values() for reason in answer.reasons}
    ):
        # without a video the page does not offer reasons about the video
        needs_video = reason in reasons and reasons[reason].picture
        asked = {key: given for key, given in shared.items() if tasks[key].has_picture or not needs_video}
        binary = count_matrix(_values(asked, partial(_gives, reason=reason)), (False, True))
        yield Figure.of(alpha(binary, "nominal", boot), "alpha", "reason", reason, group=group)
        yield Figure.of(ac1(binary, boot), "ac1", "reason", reason, group=group)
        yield Figure.of(observed(binary, boot), "observed", "reason", reason, group=group)


def _gives(answer: Annotation, reason: str) -> bool | None:
    """True if the answer gives the reason; None without a verdict: the page shows reasons below some verdicts only."""
    return None if answer.verdict is None else reason in answer.reasons


def _values(answers: By, value: Callable[[Annotation], Category | None]) -> dict[str, dict[str, Category]]:
    """One value of every answer, by task and annotator; answers with None are left out."""
    return {
        key: {name: one for name, answer in given.items() if (one := value(answer)) is not None}
        for key, given in answers.items()
    }


def _against_gold(
    tasks: Mapping[str, Task], answers: Answers, verdicts: Iterable[Verdict], boot: Bootstrap
) -> Iterator[Figure]:
    known = known_answers(tasks, answers, verdicts)
    about: dict[Measure, About] = {"accuracy": "verdict", "reasons_f1": "reason", "gold_iou": "contaminants"}
    for name, estimates in against_gold(tasks, answers, known, boot).items():
        for measure, estimate in estimates.items():
            yield Figure.of(estimate, measure, about[measure], group="all", annotator=name)


def _work(
    tasks: Mapping[str, Task], answers: Answers, predicted: Mapping[str, int], boot: Bootstrap
) -> Iterator[Figure]:
    work = [(key, name, answer) for key, given in answers.by_task.items() for name, answer in given.items()]
    for group in ("all", "blind", "prelabelled"):
        of_group = [(tasks[key], answer) for key, _, answer in work if group in ("all", _group(tasks[key]))]
        if of_group:
            for measure, estimate in times(of_group).items():
                yield Figure.of(estimate, measure, "work", group=group)
    for person in sorted({name for _, name, _ in work}):
        for measure, estimate in times((tasks[key], answer) for key, name, answer in work if name == person).items():
            yield Figure.of(estimate, measure, "work", group="all", annotator=person)
    prelabelled = [(key, name, answer) for key, name, answer in work if tasks[key].prelabelled]
    for whom in (None, *sorted({name for _, name, _ in prelabelled})) if prelabelled else ():
        theirs = [(key, answer) for key, name, answer in prelabelled if whom in (None, name)]
        for measure, estimate in acceptance(theirs, predicted, boot).items():
            yield Figure.of(estimate, measure, "regions", group="prelabelled", annotator=whom)
