"""From the tables to the figures: what counts, known answers, work, pre-labels, and the way through Parquet."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tests.support.made_up_annotators as made_up
from annotation.agreement import Agreement, agreement_table, measure_agreement, read_agreement
from annotation.agreement.alpha import NO_PAIR
from annotation.agreement.effort import UNKNOWN
from annotation.agreement.figures import SCHEMA, About, Figure, Group, Measure
from annotation.agreement.gold import exact_interval
from manifests.records import Annotation, Judgement, LabelledSegment, Task, Verdict
from manifests.schema import SchemaError

pytest.importorskip("sklearn", reason="the extra `labelstudio` is not installed")
pytest.importorskip("pyannote.metrics", reason="the extra `labelstudio` is not installed")

a_region, a_task, an_answer, Person = made_up.a_region, made_up.a_task, made_up.an_answer, made_up.Person
NOON = made_up.NOON

TWO = [a_task("one"), a_task("two")]


def measure(annotations: list[Annotation], tasks: list[Task] = TWO, verdicts: Any = (), **options: Any) -> Agreement:
    return measure_agreement(tasks, annotations, verdicts, draws=60, **options)


def the(agreement: Agreement, measure: Measure, about: About, name: str | None = None, **whom: Any) -> Figure:
    figure = agreement.find(measure, about, name, **{"group": "blind", **whom})
    assert figure is not None
    return figure


def four() -> list[Annotation]:
    """Two people on two tasks: they agree on the first, on the second they do not."""
    said = [("one", "Ann", "keep"), ("one", "Bo", "keep"), ("two", "Ann", "keep"), ("two", "Bo", "reject")]
    return [an_answer(TWO[key == "two"], who, verdict, minutes=n) for n, (key, who, verdict) in enumerate(said)]


def observed(annotations: list[Annotation]) -> float | None:
    return the(measure(annotations), "observed", "verdict").value


# ---- which annotations count ----


def test_only_the_latest_version_counts() -> None:
    ann, bo, two, last = four()
    assert observed([ann, bo, two, last]) == 0.5
    changed = replace(last, version_id="v2", verdict="keep", updated_at=last.updated_at + timedelta(minutes=1))
    assert observed([changed, ann, bo, two, last]) == 1.0
    pulled_again = replace(last, version_id="a", pulled_at=last.pulled_at + timedelta(days=1))
    assert observed([ann, bo, two, pulled_again, replace(last, verdict="keep")]) == 0.5
    assert observed([ann, bo, two, pulled_again, changed]) == 1.0


@pytest.mark.parametrize("state", ["deleted", "skipped"])
def test_what_was_taken_back_does_not_count(state: Any) -> None:
    ann, bo, two, last = four()
    gone = replace(last, version_id="v2", state=state, updated_at=last.updated_at + timedelta(minutes=1))
    found = measure([ann, bo, two, last, gone])
    assert the(found, "observed", "verdict").value == 1.0 and found.count("shared", "blind") == 1
    assert found.count("skipped", annotator="Bo") == (state == "skipped")


def test_the_later_of_two_answers_of_one_person_counts() -> None:
    ann, bo, two, last = four()
    second = replace(last, version_id="x", annotation_id="x", verdict="keep", updated_at=NOON + timedelta(hours=1))
    assert observed([second, ann, bo, two, last]) == 1.0
    assert measure([second, ann, bo, two, last]).count("annotations") == 4
    skipped = replace(second, state="skipped")
    assert observed([skipped, ann, bo, two, last]) == 0.5
    assert measure([skipped, ann, bo, two, last]).count("skipped", annotator="Bo") == 0


def test_a_forged_answer_is_listed_and_does_not_count() -> None:
    ann, bo, two, last = four()
    edited_by_other = replace(
        last, version_id="f", verdict="keep", edited_by_other=True, updated_by="Mallory", updated_at=NOON + timedelta(1)
    )
    found = measure([ann, bo, two, last, edited_by_other])
    assert found.count("shared", "blind") == 1
    (row,) = found.select("edited_by_other")
    assert (row.name, row.annotator, row.other, row.note) == (
        "two",
        "Bo",
        "Mallory",
        f"annotation {last.annotation_id}",
    )
    assert [found.count("edited_by_other", annotator=name) for name in ("Ann", "Bo")] == [0, 1]


def test_a_forgery_is_no_proof_of_another() -> None:
    ann, bo, two, last = four()
    first = replace(last, edited_by_other=True, verdict="keep", updated_by="Mallory")
    again = replace(first, version_id="f2", updated_at=NOON + timedelta(1))
    assert len(list(measure([ann, bo, two, first, again]).select("edited_by_other"))) == 1


def test_a_known_answer_that_is_unsure_is_none() -> None:
    ann, bo, _, _ = four()
    assert list(measure([replace(ann, ground_truth=True), bo]).select("accuracy"))
    assert not list(measure([replace(ann, ground_truth=True, verdict="unsure"), bo]).select("accuracy"))


def test_marking_an_answer_does_not_forge_it() -> None:
    """Whoever stars an answer as the known one is noted as its last writer; what it says stays the annotator's."""
    ann, bo, two, last = four()
    starred = replace(
        ann, version_id="s", edited_by_other=True, updated_by="boss", ground_truth=True, updated_at=NOON + timedelta(1)
    )
    found = measure([ann, bo, two, last, starred])
    assert not list(found.select("edited_by_other"))
    accuracy = the(found, "accuracy", "verdict", group="all", annotator="Bo")
    assert (accuracy.value, accuracy.units) == (1.0, 1)
    assert [figure.annotator for figure in found.select("accuracy")] == ["Bo"]  # nobody is measured by themselves
    assert found.count("shared", "blind") == 1  # and the known answer agrees with nobody
    unseen = measure([bo, two, last, starred])
    assert len(list(unseen.select("edited_by_other"))) == 1 and not list(unseen.select("accuracy"))


def test_answers_to_unknown_tasks_are_counted() -> None:
    found = measure([*four(), an_answer(a_task("three"), "Ann")])
    assert found.count("unplanned") == 1 and found.count("annotations") == 4


# ---- who agrees on what ----


def test_tasks_with_one_person_agree_with_nobody() -> None:
    found = measure([four()[0], four()[3]])
    alpha = the(found, "alpha", "verdict")
    assert (alpha.value, alpha.units, alpha.note) == (None, 0, NO_PAIR)
    assert found.count("tasks", "blind") == 2 and found.count("shared", "blind") == 0
    assert not list(found.select("kappa"))
    three = [*TWO, a_task("three")]
    more = measure([*four(), an_answer(three[2], "Ann", "unsure")], three)
    assert the(more, "ac1", "verdict") == the(measure(four()), "ac1", "verdict")


def test_prelabelled_tasks_stand_apart() -> None:
    """Where the machine spoke first people agree; where it did not they do not; neither figure knows of the other."""
    shown = [a_task("p1", "label"), a_task("p2", "label")]
    same = [
        an_answer(task, who, verdict) for task, verdict in zip(shown, ("keep", "reject"), strict=True) for who in "AB"
    ]
    differ = [an_answer(TWO[n], who, "keep" if (who == "A") == n else "reject") for n in (0, 1) for who in "AB"]
    found = measure([*same, *differ], [*TWO, *shown])
    assert the(found, "alpha", "verdict", group="prelabelled").value == 1.0
    assert the(found, "alpha", "verdict").value == pytest.approx(-0.5)
    assert the(found, "kappa", "verdict", group="prelabelled", annotator="A", other="B").value == 1.0
    assert not list(measure(differ).select("alpha", group="prelabelled"))


def test_adjudicators_do_not_count_as_hearing_anew() -> None:
    disputed = a_task("d", "adjudicate")
    found = measure([*four(), an_answer(disputed, "Ann"), an_answer(disputed, "Bo", "reject")], [*TWO, disputed])
    assert the(found, "observed", "verdict").value == 0.5 and found.count("shared", "blind") == 2


def test_reasons_are_present_or_absent_in_each_answer() -> None:
    tasks = [a_task(f"t{n}") for n in range(4)]
    ann = [("reject", ["speech"]), ("reject", ["music", "speech"]), ("keep", []), ("keep", [])]
    bo = [("reject", ["speech"]), ("reject", ["music"]), ("keep", []), (None, [])]
    answers = [an_answer(t, "Ann", *said) for t, said in zip(tasks, ann, strict=True)]
    answers += [an_answer(t, "Bo", *said) for t, said in zip(tasks, bo, strict=True)]
    found = measure(answers, tasks)
    assert sorted(figure.name or "" for figure in found.select("alpha", "reason")) == ["music", "speech"]
    speech = the(found, "observed", "reason", "speech")
    assert speech.value == pytest.approx(2 / 3) and speech.units == 3  # without a verdict nobody was asked
    assert the(found, "alpha", "reason", "music").value == 1.0
    assert the(found, "alpha", "reason", "speech").value == pytest.approx(1 - 5 * 2 / (2 * 3 * 3))


def test_what_only_a_picture_shows_is_not_asked_without_one() -> None:
    tasks = [replace(a_task(f"t{n}"), has_picture=n < 2) for n in range(4)]
    answers = [
        an_answer(t, who, "reject", ["speech", "av_mismatch"] if n == 0 else ["speech"])
        for who in "AB"
        for n, t in enumerate(tasks)
    ]
    answers[-1] = an_answer(tasks[-1], "B")
    found = measure(answers, tasks)
    assert the(found, "observed", "reason", "av_mismatch").units == 2
    assert the(found, "observed", "reason", "speech").units == 4
    assert the(found, "alpha", "reason", "av_mismatch").value == 1.0


def test_sync_is_a_matter_of_degree() -> None:
    tasks = [a_task(f"t{n}") for n in range(6)]

    def alpha(bo: list[int | None]) -> float | None:
        answers = [an_answer(t, "Ann", av_sync=n) for t, n in zip(tasks, (1, 2, 3, 4, 5, None), strict=True)]
        answers += [an_answer(t, "Bo", av_sync=n) for t, n in zip(tasks, bo, strict=True)]
        return the(measure(answers, tasks), "alpha", "av_sync").value

    near, far = alpha([2, 2, 3, 4, 5, 3]), alpha([5, 2, 3, 4, 5, 3])
    assert near is not None and far is not None and near > far + 0.2


# ---- known answers ----


def known(task: Task, decision: Judgement = "reject", **changes: Any) -> Verdict:
    truth = made_up.Truth(decision, ("speech",) if decision == "reject" else (), None, ())
    verdict: Verdict = replace(made_up.a_verdict(task, truth), **changes)
    return verdict


def accuracy(verdicts: list[Verdict], who: str = "Bo") -> tuple[float | None, int]:
    found = measure(four(), verdicts=verdicts).find("accuracy", "verdict", group="all", annotator=who)
    return (found.value, found.units) if found else (None, 0)


def test_annotators_are_measured_by_experts() -> None:
    verdicts = [known(TWO[0], "keep"), known(TWO[1], "reject")]
    assert (accuracy(verdicts, "Ann"), accuracy(verdicts, "Bo")) == ((0.5, 2), (1.0, 2))


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"method": "adjudicator"}, True),
        ({"method": "majority"}, False),
        ({"method": "dawid_skene"}, False),
        ({"decision": "unsure"}, False),
        ({"author": "Bo"}, False),
        ({"recording_id": "another"}, False),
        ({"start_ms": 30_001}, False),
        ({"start_ms": 0, "end_ms": 900_000}, True),
    ],
    ids=str,
)
def test_whose_verdict_is_a_known_answer(changes: dict[str, Any], counts: bool) -> None:
    assert accuracy([known(TWO[1], **changes)]) == ((1.0, 1) if counts else (None, 0))


def test_a_verdict_that_was_superseded_is_no_longer_known() -> None:
    first = known(TWO[1])
    second = known(TWO[1], "keep", verdict_id="second", supersedes=first.verdict_id)
    assert accuracy([first, second]) == (0.0, 1)
    assert accuracy([second, replace(first, method="majority")]) == (0.0, 1)


def test_the_verdict_over_the_shortest_span_counts_then_the_latest() -> None:
    wide = known(TWO[1], "keep", verdict_id="wide", start_ms=0, end_ms=900_000, made_at=NOON + timedelta(2))
    assert accuracy([wide, known(TWO[1])]) == (1.0, 1)
    later = known(TWO[1], "keep", verdict_id="later", made_at=NOON + timedelta(1))
    assert accuracy([later, known(TWO[1])]) == (0.0, 1)


def test_adjudicated_tasks_are_told_apart() -> None:
    found = measure(four(), verdicts=[known(TWO[0], "keep"), known(TWO[1], method="adjudicator")])
    assert the(found, "accuracy", "verdict", group="all", annotator="Bo").note == (
        "1 of 2 tasks were adjudicated after annotators disagreed"
    )


@pytest.mark.parametrize(("right", "of"), [(0, 5), (3, 7), (19, 20), (12, 12)])
def test_the_exact_interval_leaves_a_fortieth_on_either_side(right: int, of: int) -> None:
    """The binomial tails at its ends, summed in fractions."""

    def at_least(k: int, p: float) -> float:
        share = Fraction(p)
        return float(
            sum((math.comb(of, n) * share**n * (1 - share) ** (of - n) for n in range(k, of + 1)), Fraction(0))
        )

    low, high = exact_interval(right, of)
    assert at_least(right, low) == pytest.approx(0.025, abs=1e-9) if right else low == 0
    assert 1 - at_least(right + 1, high) == pytest.approx(0.025, abs=1e-9) if right < of else high == 1


def test_reasons_and_contaminants_against_the_known_answer() -> None:
    task, plain = TWO
    verdicts = [
        known(
            task,
            reasons=("speech", "music"),
            excised=(
                LabelledSegment(start=40, end=50, label="speech"),
                LabelledSegment(start=60, end=70, label="music"),
            ),
        ),
        known(plain, "reject", reasons=("speech",)),  # where the speech is, this one does not say
    ]
    heard = [a_region(45, 55), a_region(60, 70, "singing"), a_region(80, 90, "sfx")]
    answers = [
        an_answer(task, "Ann", "reject", ["speech", "singing"], regions=heard),
        an_answer(plain, "Ann", "reject", ["speech"], regions=[a_region(40, 50)]),
    ]
    found = measure(answers, verdicts=verdicts)
    assert the(found, "reasons_f1", "reason", group="all", annotator="Ann").value == pytest.approx(2 * 2 / (3 + 3))
    iou = the(found, "gold_iou", "contaminants", group="all", annotator="Ann")
    assert iou.value == pytest.approx(5 / (15 + 10 + 10)) and iou.units == 1


# ---- work and pre-labels ----


def test_times_are_medians_and_quartiles() -> None:
    tasks = [a_task(f"t{n}", length_ms=length) for n, length in enumerate((60_000, 120_000, 180_000, 60_000))]
    answers = [an_answer(t, "Ann", lead_time=s) for t, s in zip(tasks, (60, 240, 180, None), strict=True)]
    found = measure([*answers, an_answer(tasks[0], "Bo", lead_time=10.0)], tasks)
    time = the(found, "lead_time", "work", group="all", annotator="Ann")
    assert (time.low, time.value, time.high, time.units) == (120, 180, 210, 3)
    assert the(found, "lead_time_per_minute", "work", group="all", annotator="Ann").value == 60  # of 60, 120 and 60
    assert the(found, "lead_time", "work", group="all").value == 120  # of 10, 60, 180 and 240
    assert the(found, "lead_time", "work", group="blind") == replace(
        the(found, "lead_time", "work", group="all"), group="blind"
    )


def test_what_became_of_prelabels() -> None:
    shown = [a_task("p1", "label"), a_task("p2", "label")]
    first = [
        a_region(40, 50, origin="prediction"),
        a_region(60, 70, origin="prediction-changed"),
        a_region(80, 90, origin="manual"),
    ]
    answers = [
        an_answer(shown[0], "Ann", regions=first),
        an_answer(shown[1], "Ann", regions=[a_region(40, 50, origin="prediction")]),
        an_answer(shown[1], "Bo"),
        an_answer(TWO[0], "Ann", regions=[a_region(40, 50)]),  # nothing was shown here
    ]
    found = measure(answers, [*TWO, *shown], predicted={"p1": 3, "p2": 1, "one": 9})
    parts: dict[Measure, tuple[float, int]] = {
        "kept": (2 / 4, 4),
        "changed": (1 / 4, 4),
        "removed": (1 / 4, 4),
        "added": (1 / 4, 4),
    }
    for name, (value, units) in parts.items():
        figure = the(found, name, "regions", group="prelabelled", annotator="Ann")
        assert figure.value == pytest.approx(value) and figure.units == units
    assert the(found, "removed", "regions", group="prelabelled", annotator="Bo").value == 1.0
    assert the(found, "kept", "regions", group="prelabelled").value == pytest.approx(2 / 5)
    nobody = the(found, "added", "regions", group="prelabelled", annotator="Bo")
    assert (nobody.value, nobody.note) == (None, "no answer has a region")


def test_without_the_number_of_prelabels_nothing_is_said_of_them() -> None:
    shown = a_task("p", "label")
    found = measure([an_answer(shown, "Ann", regions=[a_region(40, 50, origin="prediction")])], [shown])
    assert (the(found, "kept", "regions", group="prelabelled").note, found.count("tasks", "prelabelled")) == (
        UNKNOWN,
        1,
    )


def test_a_prelabel_that_was_copied_is_not_removed_below_nothing() -> None:
    shown = a_task("p", "label")
    twice = [a_region(40, 50, origin="prediction"), a_region(60, 70, origin="prediction")]
    found = measure([an_answer(shown, "Ann", regions=twice)], [shown], predicted={"p": 1})
    assert the(found, "kept", "regions", group="prelabelled").value == 1.0
    assert the(found, "removed", "regions", group="prelabelled").value == 0.0


# ---- all of it ----

PEOPLE = (Person("Ann", wrong=0.05), Person("Bo", wrong=0.15), Person("Cy <b>", wrong=0.4, misses=0.4, jitter=1.0))


@pytest.fixture(scope="module")
def everything() -> Any:
    return made_up.make_up(PEOPLE, blind=20, prelabelled=12, gold=30, seed=5)


@pytest.fixture(scope="module")
def measured(everything: Any) -> Agreement:
    return measure_agreement(
        everything.tasks, everything.annotations, everything.verdicts, predicted=everything.predicted, draws=200
    )


def test_rows_in_any_order_give_the_same_figures(everything: Any, measured: Agreement) -> None:
    tasks, annotations, verdicts = ([*rows] for rows in (everything.tasks, everything.annotations, everything.verdicts))
    for rows in (tasks, annotations, verdicts):
        random.Random(1).shuffle(rows)
    again = measure_agreement(tasks, annotations, verdicts, predicted=everything.predicted, draws=200)
    assert again == measured
    assert (
        measure_agreement(tasks, annotations, verdicts, predicted=everything.predicted, draws=200, seed=1) != measured
    )


def test_every_measure_is_there_with_a_value_or_a_reason(measured: Agreement) -> None:
    assert {figure.measure for figure in measured.figures} == {*get_args(Measure)} - {"edited_by_other"}
    assert {figure.about for figure in measured.figures} == {*get_args(About)}
    assert {figure.group for figure in measured.figures} == {*get_args(Group)}
    for figure in measured.figures:
        assert figure.note or figure.value is not None, figure
        for value in (figure.value, figure.low, figure.high):
            assert value is None or math.isfinite(value), figure
        if figure.low is not None and figure.value is not None and figure.high is not None:
            assert figure.low <= figure.value + 1e-9 and figure.value <= figure.high + 1e-9, figure
    keys = [(f.measure, f.about, f.name, f.group, f.annotator, f.other) for f in measured.figures]
    assert len(keys) == len(set(keys))


def test_those_who_err_more_are_seen_to(everything: Any, measured: Agreement) -> None:
    assert measured.annotators == ("Ann", "Bo", "Cy <b>")
    assert measured.count("annotators") == 3 and measured.count("shared", "blind") == 50
    accuracy = [
        the(measured, "accuracy", "verdict", group="all", annotator=name).value or 0 for name in ("Ann", "Cy <b>")
    ]
    iou = [
        the(measured, "gold_iou", "contaminants", group="all", annotator=name).value or 0 for name in ("Ann", "Cy <b>")
    ]
    assert accuracy[0] > accuracy[1] and iou[0] > iou[1] + 0.1
    kappas = {(f.annotator, f.other): f.value or 0 for f in measured.select("kappa", group="blind")}
    assert kappas["Ann", "Bo"] > max(kappas["Ann", "Cy <b>"], kappas["Bo", "Cy <b>"])
    events = [
        the(measured, "event_f1", "label", "speech", annotator="Ann", other=o).value or 0 for o in ("Bo", "Cy <b>")
    ]
    assert events[0] > events[1]
    kept = the(measured, "kept", "regions", group="prelabelled", annotator="Ann")
    assert kept.value == pytest.approx(0.9 * 0.7, abs=0.15)


def test_no_annotations_are_no_figures_but_counts() -> None:
    found = measure([])
    assert found.count("annotations") == 0 and found.annotators == ()
    assert all(f.value in (None, 0.0) for f in found.figures)


def test_figures_come_back_from_parquet_as_they_were(measured: Agreement, tmp_path: Path) -> None:
    path = tmp_path / "agreement.parquet"
    pq.write_table(agreement_table(measured), path)
    back = pq.read_table(path)
    assert read_agreement(back) == measured
    assert back.schema.equals(SCHEMA) and back.num_rows == len(measured.figures)


def test_a_foreign_table_is_refused(measured: Agreement) -> None:
    table = agreement_table(measured)
    with pytest.raises(SchemaError, match="agreement: version '', must be '1'"):
        read_agreement(pa.table({"measure": ["alpha"]}))
    with pytest.raises(SchemaError, match="agreement: columns are"):
        read_agreement(table.drop_columns(["note"]))
